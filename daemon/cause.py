"""One cause behind several incidents: a record of what is held for it, and who was told. Without I/O."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from daemon.domain import canonical, timestamp


class CauseKind(StrEnum):
    """What the incidents of a cause have in common."""

    MONITOR = "monitor"  # the same one ails on several servers
    DEPENDENCY = "dependency"  # something that monitors depend on is unhealthy, be it on one server


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A cause as a hold has found it: what it is, whom it holds, and on which servers."""

    kind: CauseKind
    what: str  #: in words; without regard to case it says which cause it is
    servers: tuple[str, ...]
    incidents: tuple[str, ...] = ()  #: beside the one that has found it


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause on record, from the first hold for it until it is over. Of a kind and what there is one at a time.

    `version` counts its commits; a commit against an older version conflicts.
    """

    id: str
    kind: CauseKind
    what: str
    incidents: tuple[str, ...] = ()  #: in the order in which they were found; those that ended stay
    servers: tuple[str, ...] = ()  #: in the same order
    since: datetime
    told: int = 0  #: so many of the servers, from the first one on, were named in a page
    ended: datetime | None = None
    ended_by: str = ""  #: the operator who released it; empty: it ended by itself
    version: int = 0

    def same(self, found: Found) -> bool:
        """Whether it is the cause that a hold has found."""
        return self.kind is found.kind and self.what.lower() == found.what.lower()

    @property
    def named(self) -> frozenset[str]:
        """The servers that a page has named."""
        return frozenset(self.servers[: self.told])

    def frees(self, server: str, opened_at: datetime) -> bool:
        """Whether an incident on a server was open when an operator released the cause: it acts by itself then."""
        return bool(self.ended_by) and self.ended is not None and server in self.servers and opened_at <= self.ended


def joined(known: Cause | None, found: Found, now: datetime) -> Cause:
    """The cause with all that is found of it. Humans are told at first, and when its servers have doubled since."""
    before = known or Cause(id=_id(found, now), kind=found.kind, what=found.what, since=now)
    servers = _with(before.servers, found.servers)
    told = len(servers) if len(servers) >= 2 * before.told else before.told
    return replace(before, incidents=_with(before.incidents, found.incidents), servers=servers, told=told)


def _with(known: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    return (*known, *(each for each in more if each not in known))


def _id(found: Found, now: datetime) -> str:
    """Short enough to type, and not to be taken for an incident's or a server's."""
    about = canonical([found.kind, found.what, timestamp(now)])
    return f"c-{hashlib.sha256(about.encode()).hexdigest()[:6]}"
