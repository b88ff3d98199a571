"""Alerts, as they were understood and as they are stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """Which payload form an alert came in."""

    SCOM = "scom"
    NATIVE = "native"


class AlertStatus(StrEnum):
    """Where an accepted message stands. Their sum is the number of messages stored (the ledger)."""

    PENDING = "pending"
    JOINED = "joined"
    SUPPRESSED = "suppressed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One event from the bus, normalised. `server` is as the alert spelt it; the inventory resolves it."""

    source: Source
    source_id: str
    server: str
    health_set: str
    monitor: str  #: empty when the alert names only the health set
    raised_at: datetime | None
    closed: bool  #: the source says that the problem is over; never trusted by itself
    summary: str
    suppress: str = ""  #: why it must never be remediated, although it was understood; empty when it may be


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message from the bus as it is about to be stored: understood (`alert`) or not (`rejection`)."""

    topic: str
    payload: bytes  #: at most the first 64 KiB of it
    size: int  #: of the whole payload, in bytes
    dedup_key: str
    received_at: datetime
    alert: Alert | None
    rejection: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlert:
    """A stored message. `seen` counts its deliveries, duplicates included."""

    id: int
    topic: str
    received_at: datetime
    alert: Alert | None
    status: AlertStatus
    reason: str
    incident_id: str | None
    seen: int
