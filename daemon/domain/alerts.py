"""Alerts, as they were understood and as they are stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """Which payload form an alert came in; each is also the name of its topic filter in `[bus]`."""

    SCOM = "scom"
    NATIVE = "native"
    LOGIC_APPS = "logic_apps"
    CLOUDEVENTS = "cloudevents"
    AZURE = "azure"
    ALERTMANAGER = "alertmanager"


class AlertStatus(StrEnum):
    """Where an accepted message stands. Their sum is the number of messages stored (the ledger)."""

    PENDING = "pending"
    JOINED = "joined"
    SUPPRESSED = "suppressed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One event from the bus, normalised. `server` is as the alert spelt it; the inventory resolves it.

    A source often names several machines: `names` are all that its fields give, `hints` those of its object's full
    name, which count only where no other names a server of ours, and then only for a human.
    """

    source: Source
    source_id: str
    server: str
    health_set: str
    monitor: str  #: empty when the alert names only the health set
    raised_at: datetime | None
    closed: bool  #: the source says that the problem is over; never trusted by itself
    summary: str
    suppress: str = ""  #: why it must never be remediated, although it was understood; empty when it may be
    names: tuple[str, ...] = ()  #: every machine that it names, the best first; empty: only `server`
    hints: tuple[str, ...] = ()
    resolution_state: int | None = None  #: SCOM's, 0 to 255; None: there is none, or only a name that is not known
    state: str = ""  #: its resolution state as it was written, a number or a name
    owner: str = ""  #: who has it at its source
    in_maintenance: bool = False  #: its object is in maintenance mode at its source


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


@dataclass(frozen=True, slots=True)
class Payload:
    """What is kept of a payload, and how many bytes it had."""

    kept: bytes
    size: int

    @property
    def whole(self) -> bool:
        """Whether all of it is kept."""
        return len(self.kept) == self.size


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
