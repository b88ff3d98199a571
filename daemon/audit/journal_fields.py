"""What an audit row is in the journal: its fields, its message and its priority."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from daemon.domain.audit import AuditEntry, AuditKind, AuditRow
from daemon.domain.values import canonical, timestamp

IDENTIFIER = "exmedic"  #: SYSLOG_IDENTIFIER of all we write


_CRITICAL, _ERROR, _WARNING, _NOTICE, _INFO = "2", "3", "4", "5", "6"  # syslog(3)


@dataclass(frozen=True, slots=True)
class Label:
    """How a kind of audit row shows in the journal. The catalogue (systemd/exmedic.catalog) explains each id."""

    message_id: str  #: 128 random bits, in hex; never to be changed
    priority: str


LABELS: Mapping[AuditKind, Label] = MappingProxyType(
    {
        AuditKind.ALERT_ACCEPTED: Label("64ed09b27afe0aedf55ec436c0d27e44", _INFO),
        AuditKind.ALERT_REJECTED: Label("bd57c8ca9031bbc9aa79d48d3b1a8e38", _WARNING),
        AuditKind.ALERT_JOINED: Label("e22b07dd555da3e42e309e2ba5fcc09a", _INFO),
        AuditKind.ALERT_SUPPRESSED: Label("f960699e26047a3abcf5e2757dc2b1bf", _NOTICE),
        AuditKind.INCIDENT_OPENED: Label("0588c71cc3a3e636a6e84ec22d3ebb8d", _WARNING),
        AuditKind.DECISION: Label("07368d4fe0669c700cee31acda5a183d", _INFO),
        AuditKind.INTENT: Label("71c829f225572dcfbb52dbcfd5700bfe", _NOTICE),
        AuditKind.OUTCOME: Label("a2e5632d12f01d0d12d10324c002c966", _NOTICE),
        AuditKind.WITHDRAWN: Label("7fb7239be612e11332738d1209c1ae6c", _WARNING),
        AuditKind.TRANSITION: Label("bdc4548545a2d1845d0a5d497c14be25", _INFO),
        AuditKind.UNDO_LEFT: Label("0014c34c63619c437dc300864edd3719", _ERROR),
        AuditKind.RESOLVED: Label("6bf623a7ad65de71bb1646b4fde8b0da", _NOTICE),
        AuditKind.ESCALATED: Label("e1b4d7392b4213147c3d1718d1c1cbcb", _CRITICAL),
        AuditKind.CANCELLED: Label("f1b31af1191778872d39f60286ac4069", _WARNING),
        AuditKind.LATCH_LIFTED: Label("825be919723d9ac000a39f633bb38f7a", _NOTICE),
        AuditKind.NOTIFIED: Label("46436e355936b188de9e965130ccbe4c", _NOTICE),
        AuditKind.NOT_NOTIFIED: Label("a078a0c6df22ec9119f35dbed65b5282", _WARNING),
        AuditKind.QUARANTINED: Label("988fc1906dabebce4f6188ea786dce13", _CRITICAL),
        AuditKind.QUARANTINE_LIFTED: Label("1ec741294ae4e0d352fc3202939b3b58", _WARNING),
        AuditKind.CAUSE_FOUND: Label("5d1c0e7f2b8a4c63a0f49e6d73b1c582", _CRITICAL),
        AuditKind.CAUSE_OVER: Label("b7a3f6092c4d4e18935c1de08f62a7d4", _NOTICE),
        AuditKind.PAUSED: Label("60609c486068da74e17603bcf7b1200d", _WARNING),
        AuditKind.RESUMED: Label("2a83d89a22563dae5219e30e1a581c06", _WARNING),
        AuditKind.WINDOW_ADDED: Label("a0f7dd846e3b0645b3a2702b05893289", _NOTICE),
        AuditKind.WINDOW_ENDED: Label("77395353aa6b5c33b402090e693a49d3", _NOTICE),
        AuditKind.STARTED: Label("f6467bb108ffb8f3a190d4b7343056f4", _NOTICE),
        AuditKind.STOPPED: Label("0eb34908e1d34c326c2f13a240904992", _NOTICE),
        AuditKind.STORE_OLDER: Label("6f8617b2fd2fbb0e44a41b7b1b2642f1", _CRITICAL),
        AuditKind.LOGON_REFUSED: Label("4d0b8c1e95f74a2db6a3e1702c58f9d6", _CRITICAL),
        AuditKind.SESSION_LOST: Label("2af2c0088c98cf2f55d5a3db5b2643d3", _ERROR),
        AuditKind.PRUNED: Label("f58209d2d2aa47a1ac96f333557423c7", _NOTICE),
        AuditKind.LEDGER_MISMATCH: Label("e3ced12adf3232be92d4caea368fac36", _CRITICAL),
        AuditKind.LEDGER_BALANCED: Label("7bc8d67024d6c195b2af27d4b137b256", _NOTICE),
    },
)


MESSAGE_IDS: Mapping[AuditKind, str] = MappingProxyType({kind: each.message_id for kind, each in LABELS.items()})


# journald drops a field whose name it does not like without a word (systemd.journal-fields(7)).
_FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


_RENAMED = {"step": "STEP_ID"}


AUDIT_FIELDS = frozenset(
    {
        "MESSAGE",
        "MESSAGE_ID",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "INCIDENT_ID",
        "SERVER",
        "HEALTH_SET",
        "MONITOR",
        "AUDIT_SEQ",
        "AUDIT_HASH",
        "AUDIT_KIND",
        "AUDIT_AT",
    },
)


def field_name(name: str, taken: frozenset[str] = AUDIT_FIELDS) -> str:
    """The journal's name for a fact: one that journald keeps, and that is none of those `taken`."""
    upper = _RENAMED.get(name, name.upper())
    if _FIELD.fullmatch(upper) and upper not in taken:
        return upper
    return ("FIELD_" + re.sub(r"[^A-Z0-9_]", "_", upper))[:64]


def misnamed_fields(entry: AuditEntry) -> list[str]:
    """Facts of an entry that do not show under their own name in a journal; a mistake that tests look for."""
    return [name for name in entry.fields if field_name(name) != _RENAMED.get(name, name.upper())]


def journal_fields(row: AuditRow) -> dict[str, str]:
    """An audit row as fields of a journal entry. Facts that are not text are JSON; empty ones are left out."""
    entry = row.entry
    facts = {
        field_name(name): value if isinstance(value, str) else canonical(value)
        for name, value in entry.fields.items()
        if value is not None
    }
    ours = {
        "MESSAGE": entry.message,
        "MESSAGE_ID": LABELS[entry.kind].message_id,
        "PRIORITY": LABELS[entry.kind].priority,
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "INCIDENT_ID": entry.incident_id,
        "SERVER": entry.server,
        "HEALTH_SET": entry.health_set,
        "MONITOR": entry.monitor,
        "AUDIT_SEQ": str(row.seq),
        "AUDIT_HASH": row.hash,
        "AUDIT_KIND": entry.kind.value,
        "AUDIT_AT": timestamp(entry.at),
    }
    return {name: value for name, value in (facts | ours).items() if value}
