"""The records everything else passes around: frozen, without I/O. The words are those of docs/words.md.

All times are aware datetimes in UTC. Server names are fully qualified and in lower case once they come from the
inventory; health set and monitor names keep their spelling and are compared through `Key`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from statemachines.actions import Effect

Json = Mapping[str, Any]  #: a JSON object: str, int, float, bool, None, lists and objects of them


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


class IncidentStatus(StrEnum):
    """How an incident stands. `OPEN` is the only one that may still act."""

    OPEN = "open"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """How a step stands. `WITHDRAWN`: proven never to have happened; the state is entered afresh."""

    OPEN = "open"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class UndoStatus(StrEnum):
    """How a recorded change stands. `LEFT`: not put back; the escalation says so."""

    PENDING = "pending"
    DONE = "done"
    LEFT = "left"


class Channel(StrEnum):
    """Where an outgoing message goes."""

    BUS = "bus"
    NOTIFY = "notify"


class PageKind(StrEnum):
    """What a page to humans is about, which decides whether it wakes somebody.

    A row of the outbox may be of another version, without a kind or with one unknown here: rather wake somebody.
    """

    TROUBLE = "trouble"  # a human is needed
    QUESTION = "question"  # an answer is wanted
    OVER = "over"  # what was told is over; nothing pages that yet

    @classmethod
    def _missing_(cls, value: object) -> "PageKind":
        del value
        return cls.TROUBLE


class Mode(StrEnum):
    """What the daemon may do to a server."""

    OBSERVE = "observe"
    APPROVE = "approve"  # it asks, and waits for an operator
    AUTO = "auto"


class AuditKind(StrEnum):
    """The kinds of audit rows. Each has a MESSAGE_ID in `daemon.audit` and an entry in the journal catalogue."""

    ALERT_ACCEPTED = "alert_accepted"
    ALERT_REJECTED = "alert_rejected"
    ALERT_JOINED = "alert_joined"
    ALERT_SUPPRESSED = "alert_suppressed"
    INCIDENT_OPENED = "incident_opened"
    DECISION = "decision"
    INTENT = "intent"
    OUTCOME = "outcome"
    WITHDRAWN = "withdrawn"
    TRANSITION = "transition"
    UNDO_LEFT = "undo_left"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    CANCELLED = "cancelled"
    LATCH_LIFTED = "latch_lifted"
    NOTIFIED = "notified"
    NOT_NOTIFIED = "not_notified"
    QUARANTINED = "quarantined"
    QUARANTINE_LIFTED = "quarantine_lifted"
    CAUSE_FOUND = "cause_found"
    CAUSE_OVER = "cause_over"
    PAUSED = "paused"
    RESUMED = "resumed"
    WINDOW_ADDED = "window_added"
    WINDOW_ENDED = "window_ended"
    STARTED = "started"
    STOPPED = "stopped"
    STORE_OLDER = "store_older"
    LOGON_REFUSED = "logon_refused"
    LEDGER_MISMATCH = "ledger_mismatch"
    LEDGER_BALANCED = "ledger_balanced"


def timestamp(moment: datetime) -> str:
    """A moment as fixed-width ISO 8601 in UTC, which sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment(text: str) -> datetime:
    """The moment that `timestamp` wrote."""
    return datetime.fromisoformat(text)


def canonical(value: object) -> str:
    """JSON with one spelling: sorted keys, no spaces, non-ASCII kept. Hashes are taken over this."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Key:
    """What an incident is about, folded to lower case so that names compare without regard to case."""

    server: str
    health_set: str
    monitor: str

    @classmethod
    def of(cls, server: str, health_set: str, monitor: str) -> "Key":
        """The key of these names, whatever their case."""
        return cls(server.lower(), health_set.lower(), monitor.lower())

    def __str__(self) -> str:
        return f"{self.monitor} ({self.health_set}) on {self.server}"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The case for one key. `version` counts its commits; a commit against an older version conflicts.

    `facts` holds what states produced, by state then field. `latched` keeps the key taken after escalation.
    `due_at` is its one durable timer; None when nothing is waited for. `waiting_since` is when its current hold
    began. `verify_requested`: somebody said it is over, so verify before the next effect.
    """

    id: str
    key: Key
    health_set: str
    monitor: str
    status: IncidentStatus
    state: str
    runbook: str = ""  #: empty: no runbook handles the monitor
    runbook_hash: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)
    opened_at: datetime
    due_at: datetime | None = None
    waiting_since: datetime | None = None
    held_by: str = ""  #: the kind of the present hold ...
    held_since: datetime | None = None  #: ... and since when
    waiting_for: str = ""
    ended_at: datetime | None = None
    reason: str = ""
    latched: bool = False
    verify_requested: bool = False
    close_by: str = ""  #: the operator who closed it; the way out is taken at the next step
    undo_by: str = ""  #: the operator who ordered what was left to be put back after all
    parent: str = ""  #: the incident that waits for this one; one that has a parent never waits for another
    transient: bool = False  #: resolved without any effect: the problem was gone by itself
    version: int = 0

    @property
    def server(self) -> str:
        """The server's name as the inventory has it."""
        return self.key.server


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run of a state's action: intent, then outcome.

    `baseline` is what was read on the servers before the intent; a lost answer is settled against it. `memo` is what
    a polling action remembers between polls. `executor` is the server whose WinRM endpoint carries it out.
    """

    id: str
    incident_id: str
    number: int  #: 1, 2, 3 ... within the incident
    state: str
    action: str
    effect: Effect
    server: str
    executor: str = ""
    params: Json = field(default_factory=dict)
    baseline: Json = field(default_factory=dict)
    memo: Json = field(default_factory=dict)
    status: StepStatus = StepStatus.OPEN
    outcome: str = ""
    detail: str = ""
    result: Json = field(default_factory=dict)
    started_at: datetime
    deadline_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoItem:
    """Something a ladder changed and must put back: recorded in the commit of the intent that changes it."""

    id: str
    incident_id: str
    server: str
    setting: str
    earlier: Json
    applied: Json
    status: UndoStatus = UndoStatus.PENDING
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A server on which a disruptive step is unsettled: reads only, until evidence or an operator's release."""

    server: str
    incident_id: str
    step_id: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRunbook:
    """The text of a runbook as an incident was pinned to it."""

    hash: str
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Something to put on record. `fields` are short facts in lower-case names; values are JSON scalars or objects."""

    kind: AuditKind
    at: datetime
    message: str
    incident_id: str = ""
    server: str = ""
    health_set: str = ""
    monitor: str = ""
    fields: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """An entry in the chain. `hash` covers the entry, its number and the hash before it."""

    seq: int
    entry: AuditEntry
    prev_hash: str
    hash: str


GENESIS = "0" * 64  #: the hash before the first audit row


def chain_hash(seq: int, entry: AuditEntry, prev_hash: str) -> str:
    """SHA-256, in hex, over an audit row's number, content and predecessor's hash."""
    content = [
        seq,
        prev_hash,
        entry.kind.value,
        timestamp(entry.at),
        entry.message,
        entry.incident_id,
        entry.server,
        entry.health_set,
        entry.monitor,
        entry.fields,
    ]
    return hashlib.sha256(canonical(content).encode()).hexdigest()
