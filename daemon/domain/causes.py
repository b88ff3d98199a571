"""One cause behind several incidents: a record of what is held for it, and who was told. Without I/O."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from daemon.domain.values import canonical, timestamp


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
    """A cause on record, from the first hold for it until it holds nobody. Of a kind and what there is one at a time.

    `version` counts its commits; a commit against an older version conflicts.
    """

    id: str
    kind: CauseKind
    what: str
    incidents: tuple[str, ...] = ()  #: those that share it; once it is released, those that are freed
    servers: tuple[str, ...] = ()  #: in the order in which they were found
    since: datetime
    told: int = 0  #: so many of the servers, from the first one on, were named in a page
    told_at: datetime | None = None  #: when humans had the latest page of them
    covered: tuple[str, ...] = ()  #: the incidents that such a page told of: they need none of their own
    ended: datetime | None = None
    ended_by: str = ""  #: the operator who released it; empty: it ended by itself
    version: int = 0

    def same(self, kind: CauseKind, what: str) -> bool:
        """Whether it is the cause of that kind and name."""
        return self.kind is kind and self.what.lower() == what.lower()

    @property
    def named(self) -> frozenset[str]:
        """The servers that a page has named."""
        return frozenset(self.servers[: self.told])

    @property
    def untold(self) -> bool:
        """Whether humans should hear of it: at first, and when its servers have doubled."""
        return len(self.servers) >= 2 * self.told

    def tells(self, incident_id: str, since: datetime) -> bool:
        """Whether a page that is not older than `since` told of an incident: then it needs none of its own."""
        return incident_id in self.covered and self.told_at is not None and self.told_at >= since

    def frees(self, incident_id: str) -> bool:
        """Whether an operator released the cause, and the incident with it: that acts by itself then."""
        return bool(self.ended_by) and incident_id in self.incidents


def joined(known: Cause | None, found: Found, incident_id: str, now: datetime) -> Cause:
    """The cause with all that is found of it, and with the incident that it holds."""
    before = known or Cause(id=_id(found, now), kind=found.kind, what=found.what, since=now)
    return replace(
        before,
        incidents=_with(before.incidents, (*found.incidents, incident_id)),
        servers=_with(before.servers, found.servers),
    )


def told(cause: Cause, at: datetime) -> Cause:
    """The cause once a page of that time tells of it as it is."""
    return replace(cause, told=len(cause.servers), told_at=at, covered=_with(cause.covered, cause.incidents))


def covering(cause: Cause, incident_id: str, server: str, since: datetime, now: datetime) -> Cause:
    """The cause with one more incident that its page covers, if that named its server and is not older than `since`."""
    # A page of the future was made before the clock was set back: nobody knows how old it is.
    if cause.told_at is None or not since <= cause.told_at <= now or server not in cause.named:
        return cause
    return replace(cause, covered=_with(cause.covered, (incident_id,)))


def _with(known: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))


def _id(found: Found, now: datetime) -> str:
    """Short enough to type, and not to be taken for an incident's or a server's."""
    about = canonical([found.kind, found.what, timestamp(now)])
    return f"c-{hashlib.sha256(about.encode()).hexdigest()[:6]}"
