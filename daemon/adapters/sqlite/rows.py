"""Records as rows of the SQLite store and back. JSON is text of `domain.canonical`, times are `domain.timestamp`."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from daemon.adapters.sqlite import kept
from daemon.domain import values
from daemon.domain.alerts import Alert, AlertStatus, Received, Source, StoredAlert
from daemon.domain.audit import AuditEntry, AuditKind, AuditRow
from daemon.domain.commits import Channel, Limit, OutboxRow, Outgoing
from daemon.domain.incidents import (
    Incident,
    IncidentStatus,
    Key,
    Quarantine,
    Step,
    StepStatus,
    StoredRunbook,
    UndoItem,
    UndoStatus,
)
from daemon.domain.ledger import Ledger
from daemon.domain.values import canonical, moment, timestamp
from daemon.domain.verdicts import HoldKind
from statemachines.actions import Effect

Row = dict[str, str | int | bytes | None]


def _when(value: datetime | None) -> str | None:
    return None if value is None else timestamp(value)


def _then(value: str | None) -> datetime | None:
    return None if value is None else moment(value)


def message_row(received: Received, status: AlertStatus, reason: str) -> Row:
    """A message as it is stored for the first time."""
    return {
        "dedup_key": received.dedup_key,
        "topic": received.topic,
        "payload": received.payload,
        "size": received.size,
        "received_at": timestamp(received.received_at),
        "alert": None if received.alert is None else _alert_text(received.alert),
        "status": status.value,
        "reason": reason,
    }


def _alert_text(alert: Alert) -> str:
    return canonical(
        {
            "source": alert.source.value,
            "source_id": alert.source_id,
            "server": alert.server,
            "health_set": alert.health_set,
            "monitor": alert.monitor,
            "raised_at": _when(alert.raised_at),
            "closed": alert.closed,
            "summary": alert.summary,
            "suppress": alert.suppress,
            "names": list(alert.names),
            "hints": list(alert.hints),
            "resolution_state": alert.resolution_state,
            "state": alert.state,
            "owner": alert.owner,
            "in_maintenance": alert.in_maintenance,
        }
    )


def _alert(text: str) -> Alert:
    found: dict[str, Any] = json.loads(text)  # one that was stored by an earlier version has fewer fields
    named = {name: tuple(found.get(name, ())) for name in ("names", "hints")}
    return Alert(**found | named | {"source": Source(found["source"]), "raised_at": _then(found["raised_at"])})


def stored_alert(row: sqlite3.Row) -> StoredAlert:
    """A row of alerts."""
    return StoredAlert(
        id=row["id"],
        topic=row["topic"],
        received_at=moment(row["received_at"]),
        alert=None if row["alert"] is None else _alert(row["alert"]),
        status=AlertStatus(row["status"]),
        reason=row["reason"],
        incident_id=row["incident_id"],
        seen=row["seen"],
    )


def incident_row(incident: Incident) -> Row:
    """The columns of incidents."""
    return {
        "id": incident.id,
        "server": incident.key.server,
        "health_set_key": incident.key.health_set,
        "monitor_key": incident.key.monitor,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        "status": incident.status.value,
        "state": incident.state,
        "runbook": incident.runbook,
        "runbook_hash": incident.runbook_hash or None,
        "facts": canonical(kept.facts(incident)),
        "opened_at": timestamp(incident.opened_at),
        "due_at": _when(incident.due_at),
        "waiting_since": _when(incident.waiting_since),
        "held_by": str(incident.held_by or ""),
        "held_since": _when(incident.held_since),
        "waiting_for": incident.waiting_for,
        "ended_at": _when(incident.ended_at),
        "reason": incident.reason,
        "latched": incident.latched,
        "verify_requested": incident.verify_requested,
        "close_by": incident.close_by,
        "undo_by": incident.undo_by,
        "parent": incident.parent,
        "transient": incident.transient,
        "version": incident.version,
    }


def incident(row: sqlite3.Row) -> Incident:
    """A row of incidents."""
    facts: kept.Facts = json.loads(row["facts"])
    return Incident(
        id=row["id"],
        key=Key(row["server"], row["health_set_key"], row["monitor_key"]),
        health_set=row["health_set"],
        monitor=row["monitor"],
        status=IncidentStatus(row["status"]),
        state=row["state"],
        runbook=row["runbook"],
        runbook_hash=row["runbook_hash"] or "",
        produced=kept.produced(facts),
        question=kept.question(facts),
        approval=kept.approval(facts),
        recommended=kept.recommended(facts),
        last_look=kept.last_look(facts),
        watched=kept.watched(facts),
        joined=kept.joined(facts),
        ordered_undo=kept.ordered_undo(facts),
        taken=kept.taken(facts),
        told_by=kept.told_by(facts),
        ends_others=kept.ends_others(facts),
        opened_at=moment(row["opened_at"]),
        due_at=_then(row["due_at"]),
        waiting_since=_then(row["waiting_since"]),
        held_by=HoldKind.of(row["held_by"]),
        held_since=_then(row["held_since"]),
        waiting_for=row["waiting_for"],
        ended_at=_then(row["ended_at"]),
        reason=row["reason"],
        latched=bool(row["latched"]),
        verify_requested=bool(row["verify_requested"]),
        close_by=row["close_by"],
        undo_by=row["undo_by"],
        parent=row["parent"],
        transient=bool(row["transient"]),
        version=row["version"],
    )


def step_row(step: Step) -> Row:
    """The columns of steps."""
    return {
        "id": step.id,
        "incident_id": step.incident_id,
        "number": step.number,
        "state": step.state,
        "action": step.action,
        "effect": step.effect.value,
        "server": step.server,
        "executor": step.executor,
        "params": canonical(step.params),
        "baseline": canonical(step.baseline),
        "memo": canonical(step.memo),
        "status": step.status.value,
        "outcome": step.outcome,
        "detail": step.detail,
        "result": canonical(step.result),
        "started_at": timestamp(step.started_at),
        "deadline_at": timestamp(step.deadline_at),
        "ended_at": _when(step.ended_at),
    }


def step(row: sqlite3.Row) -> Step:
    """A row of steps."""
    return Step(
        id=row["id"],
        incident_id=row["incident_id"],
        number=row["number"],
        state=row["state"],
        action=row["action"],
        effect=Effect(row["effect"]),
        server=row["server"],
        executor=row["executor"],
        params=json.loads(row["params"]),
        baseline=json.loads(row["baseline"]),
        memo=json.loads(row["memo"]),
        status=StepStatus(row["status"]),
        outcome=row["outcome"],
        detail=row["detail"],
        result=json.loads(row["result"]),
        started_at=moment(row["started_at"]),
        deadline_at=moment(row["deadline_at"]),
        ended_at=_then(row["ended_at"]),
    )


def limit_row(limit: Limit, incident_id: str) -> dict[str, str]:
    """What a limit counts."""
    return {
        "incident_id": incident_id,
        "since": values.timestamp(limit.since),
        "servers": json.dumps(limit.servers),
        "actions": json.dumps(limit.actions),
    }


def undo_row(item: UndoItem) -> Row:
    """The columns of undo_items."""
    return {
        "id": item.id,
        "incident_id": item.incident_id,
        "server": item.server,
        "setting": item.setting,
        "earlier": canonical(item.earlier),
        "applied": canonical(item.applied),
        "status": item.status.value,
        "reason": item.reason,
    }


def undo_item(row: sqlite3.Row) -> UndoItem:
    """A row of undo_items."""
    return UndoItem(
        id=row["id"],
        incident_id=row["incident_id"],
        server=row["server"],
        setting=row["setting"],
        earlier=json.loads(row["earlier"]),
        applied=json.loads(row["applied"]),
        status=UndoStatus(row["status"]),
        reason=row["reason"],
    )


def quarantine_row(quarantine: Quarantine) -> Row:
    """The columns of quarantines."""
    return {
        "server": quarantine.server,
        "incident_id": quarantine.incident_id,
        "step_id": quarantine.step_id,
        "reason": quarantine.reason,
        "since": timestamp(quarantine.since),
    }


def quarantine(row: sqlite3.Row) -> Quarantine:
    """A row of quarantines."""
    return Quarantine(
        server=row["server"],
        incident_id=row["incident_id"],
        step_id=row["step_id"],
        reason=row["reason"],
        since=moment(row["since"]),
    )


def runbook(row: sqlite3.Row) -> StoredRunbook:
    """A row of runbooks."""
    return StoredRunbook(hash=row["hash"], name=row["name"], text=row["text"])


def audit_columns(row: AuditRow) -> Row:
    """The columns of audit."""
    return {
        "seq": row.seq,
        "kind": row.entry.kind.value,
        "at": timestamp(row.entry.at),
        "message": row.entry.message,
        "incident_id": row.entry.incident_id,
        "server": row.entry.server,
        "health_set": row.entry.health_set,
        "monitor": row.entry.monitor,
        "fields": canonical(row.entry.fields),
        "prev_hash": row.prev_hash,
        "hash": row.hash,
    }


def audit_row(row: sqlite3.Row) -> AuditRow:
    """A row of audit."""
    entry = AuditEntry(
        kind=AuditKind(row["kind"]),
        at=moment(row["at"]),
        message=row["message"],
        incident_id=row["incident_id"],
        server=row["server"],
        health_set=row["health_set"],
        monitor=row["monitor"],
        fields=json.loads(row["fields"]),
    )
    return AuditRow(seq=row["seq"], entry=entry, prev_hash=row["prev_hash"], hash=row["hash"])


def outgoing_row(message: Outgoing, at: datetime) -> Row:
    """The columns of outbox for a message that is due at once."""
    return {
        "channel": message.channel.value,
        "topic": message.topic,
        "body": canonical(message.body),
        "retain": message.retain,
        "at": timestamp(at),
    }


def outbox_row(row: sqlite3.Row) -> OutboxRow:
    """A row of outbox."""
    message = Outgoing(
        channel=Channel(row["channel"]),
        topic=row["topic"],
        body=json.loads(row["body"]),
        retain=bool(row["retain"]),
    )
    return OutboxRow(
        seq=row["seq"],
        message=message,
        created_at=moment(row["created_at"]),
        attempts=row["attempts"],
        due_at=moment(row["due_at"]),
    )


def ledger(rows: Iterable[sqlite3.Row], *, thorough: bool) -> Ledger:
    """The counts, each from its own source; every status is named, also with none of it."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        counts[row["source"]][row["name"]] = row["number"]
    return Ledger(
        accepted=counts["counter"].get("accepted", 0),
        stored=counts["stored"][""],
        duplicates=counts["duplicates"][""],
        alerts={status.value: counts["alerts"].get(status.value, 0) for status in AlertStatus},
        opened=counts["counter"].get("opened", 0),
        incidents={status.value: counts["incidents"].get(status.value, 0) for status in IncidentStatus},
        counted=counts["tally"],
        told=counts["told"],
        dropped=counts["counter"].get("dropped", 0),
        forgotten=counts["counter"].get("forgotten", 0),
        strays=counts["stray"] if thorough else None,
    )
