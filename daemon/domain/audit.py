"""The audit trail as records: each row has the hash of the one before it."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from daemon.domain.values import Json, canonical, timestamp


class AuditKind(StrEnum):
    """The kinds of audit rows. Each has a MESSAGE_ID in `audit.journal_fields` and an entry in the catalogue."""

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
    SESSION_LOST = "session_lost"
    PRUNED = "pruned"
    LEDGER_MISMATCH = "ledger_mismatch"
    LEDGER_BALANCED = "ledger_balanced"


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
