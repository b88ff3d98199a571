"""What is kept how long: one slice of forgetting, and what the trail keeps of the part that was cut off."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.audit import GENESIS, AuditEntry, AuditKind, AuditRow
from daemon.domain.commits import CLEARED, Channel, Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """What may go, at most `limit` rows of each kind. What is pending, open, latched or left changed never does."""

    at: datetime
    before: datetime  #: understood alerts, ended incidents with all that belongs to them, and the trail
    rejected_before: datetime
    rejected_most: int  #: rejected messages to keep, the newest
    rejected_bytes: int  #: of their payloads
    limit: int
    follower: str  #: whose cursor the trail is never cut beyond
    topics: str  #: below which the retained states of incidents are


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much went in one slice. `more`: there may be more to go."""

    rejected: int = 0
    alerts: int = 0
    incidents: int = 0
    audit: int = 0
    more: bool = False

    @property
    def anything(self) -> bool:
        """Whether it was anything at all."""
        return bool(self.rejected or self.alerts or self.incidents or self.audit)


@dataclass(frozen=True, slots=True)
class AuditCut:
    """The last audit row that was cut off; the chain goes on from its hash."""

    seq: int = 0
    hash: str = GENESIS


def beginning(rows: Iterable[AuditRow], before: datetime) -> list[AuditRow]:
    """The rows that may be cut off: all up to the first that is young enough."""
    old = []
    for row in rows:
        if row.entry.at >= before:
            break
        old.append(row)
    return old


def pruned_entry(order: Prune, pruned: Pruned, cut: AuditCut) -> AuditEntry:
    """The record of a slice. It carries the cut, so that the chain itself vouches for what is no longer there."""
    message = (
        f"forgotten: {pruned.rejected} rejected messages, {pruned.alerts} alerts, {pruned.incidents} incidents, "
        f"{pruned.audit} audit rows; the trail begins behind row {cut.seq}"
    )
    fields = {"cut_seq": cut.seq, "cut_hash": cut.hash}
    return AuditEntry(kind=AuditKind.PRUNED, at=order.at, message=message, fields=fields)


def forgotten_topic(order: Prune, incident_id: str) -> Outgoing:
    """Clears the retained state of an incident."""
    return Outgoing(channel=Channel.BUS, topic=f"{order.topics}/{incident_id}", body=CLEARED, retain=True)
