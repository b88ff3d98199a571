"""The two transactions of the SQLite store that matter: ingesting messages, and committing a unit of work.

The schema refuses what must not be. Here its refusals are explained: each statement is tried first and the reason
looked up only when it fails, so a commit that succeeds pays nothing for the sentences.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from daemon.adapters.sqlite import guard_rows, notice_writes, rows
from daemon.adapters.sqlite.file import queries, transaction
from daemon.domain import conflicts, store_rules
from daemon.domain.alerts import AlertStatus, Received, StoredAlert
from daemon.domain.audit import GENESIS, AuditEntry
from daemon.domain.causes import Cause
from daemon.domain.commits import Commit, Outgoing, Routing
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, Quarantine, Step, UndoItem
from daemon.domain.values import timestamp

Connection = sqlite3.Connection


def ingest(connection: Connection, batch: Sequence[Received], deadletter_topic: str) -> list[StoredAlert]:
    """Store a batch in one transaction; see `AlertStore.ingest`."""
    stored: list[StoredAlert] = []
    with transaction(connection):
        for received in batch:
            status, reason = store_rules.initial_status(received), store_rules.initial_reason(received)
            row = _one(connection, "ingest", rows.message_row(received, status, reason))
            if row is None:
                raise AssertionError("an upsert that returns no row")  # RETURNING always gives one
            alert = rows.stored_alert(row)
            stored.append(alert)
            if alert.seen > 1:
                continue
            append_audit(connection, [store_rules.ingested(alert.id, received)])
            tally(connection, f"alerts {alert.status.value}", 1)
            if alert.status is AlertStatus.REJECTED:
                send(connection, [store_rules.dead_letter(deadletter_topic, received)], received.received_at)
                notice_writes.note(connection, store_rules.rejection(alert.id, received))
        count(connection, "accepted", len(batch))
    return stored


def commit(connection: Connection, work: Commit) -> Incident | None:
    """Make a unit of work durable; see `Commits.commit`. What depends on what decides the order."""
    progress, guards = work.progress, work.guards
    with transaction(connection):
        if progress.runbook is not None:
            book = progress.runbook
            _do(connection, "insert_runbook", {"hash": book.hash, "name": book.name, "text": book.text})
        _has_room(connection, work)
        if progress.incident is not None:
            _put_incident(connection, progress.incident)
        for scope in progress.claim:
            _claim(connection, progress.incident, scope, work.at)
        if guards.lift is not None:
            _do(connection, "lift_quarantine", {"server": guards.lift})
        _stay_within(connection, work)
        if progress.step is not None:
            _put_step(connection, progress.step)
        for item in progress.undo:
            _record_undo(connection, item)
        if work.told.ledger_told is not None:
            _tell(connection, work.told.ledger_told)
        if guards.quarantine is not None:
            _quarantine(connection, guards.quarantine)
        if work.alerts.routing is not None:
            _route(connection, work.alerts.routing)
        _defer(connection, work)
        notice_writes.commit(connection, work)
        _put_window(connection, work)
        _put_cause(connection, guards.cause)
        _give_back(connection, work)  # last: an outcome or a quarantine of this commit may allow it
        append_audit(connection, work.told.audit)
        send(connection, work.told.outgoing, work.at)
    incident = progress.incident
    return None if incident is None else replace(incident, version=incident.version + 1)


def _stay_within(connection: Connection, work: Commit) -> None:
    """Refuse what would go beyond a limit. The step of this commit is not written yet, so it does not count itself."""
    incident = work.progress.incident
    for limit in work.guards.limits:
        row = _one(connection, "spent", {**rows.limit_row(limit, "" if incident is None else incident.id)})
        count = 0 if row is None else int(row["ladders" if limit.of_ladders else "steps"])
        if count >= limit.most:
            raise conflicts.spent(limit, count)


def _has_room(connection: Connection, work: Commit) -> None:
    for room in work.guards.room:
        row = _one(connection, "opened", {**guard_rows.room_row(room)})
        count = 0 if row is None else int(row["count"])
        if count >= room.most:
            raise conflicts.no_room(room, count)


def _do(connection: Connection, query: str, row: rows.Row) -> int:
    return connection.execute(queries()[query], row).rowcount


def _one(connection: Connection, query: str, row: rows.Row) -> sqlite3.Row | None:
    found: list[sqlite3.Row] = connection.execute(queries()[query], row).fetchall()  # to its end, or it stays open
    return found[0] if found else None


@contextmanager
def _explained(explain: Callable[[], Conflict | None]) -> Iterator[None]:
    """Run a statement; when the schema refuses it, raise what `explain` finds to be the reason."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        reason = explain()
        if reason is None:
            raise
        raise reason from error


def _missing(connection: Connection, what: str, name: str, wanted_by: str) -> Conflict | None:
    query, column = {"incident": ("incident", "id"), "step": ("step", "id"), "runbook": ("runbook", "hash")}[what]
    if _one(connection, query, {column: name}) is None:
        return conflicts.not_stored(what, name, wanted_by)
    return None


def _put_incident(connection: Connection, incident: Incident) -> None:
    row = rows.incident_row(incident)
    if incident.version == 0:
        with _explained(lambda: _why_not_incident(connection, incident)):
            _do(connection, "insert_incident", row)
        count(connection, "opened", 1)
        tally(connection, f"incidents {incident.status.value}", 1)
        return
    before = _one(connection, "incident_status", {"id": incident.id})
    with _explained(lambda: _why_not_incident(connection, incident)):
        changed = _do(connection, "update_incident", row)
    if not changed or before is None:
        raise _version_conflict(connection, incident) or AssertionError("no row changed, though the version fits")
    if before["status"] != incident.status:
        tally(connection, f"incidents {before['status']}", -1)
        tally(connection, f"incidents {incident.status.value}", 1)


def _version_conflict(connection: Connection, incident: Incident) -> Conflict | None:
    found = _one(connection, "incident", {"id": incident.id})
    if found is None:
        return conflicts.not_stored("incident", incident.id, "the commit") if incident.version else None
    if incident.version == 0:
        return conflicts.already_stored(incident.id, found["version"])
    if found["version"] != incident.version:
        return conflicts.moved_on(incident.id, found["version"], incident.version)
    return None


def _why_not_incident(connection: Connection, incident: Incident) -> Conflict | None:
    reason = _version_conflict(connection, incident)
    if reason is not None:
        return reason
    if incident.latched and incident.status is not IncidentStatus.ESCALATED:
        return conflicts.latched_unless_escalated(incident)
    if incident.runbook_hash:
        reason = _missing(connection, "runbook", incident.runbook_hash, f"incident {incident.id}")
        if reason is not None:
            return reason
    key = incident.key
    holder = _one(
        connection,
        "current_incident",
        {"server": key.server, "health_set": key.health_set, "monitor": key.monitor},
    )
    return conflicts.key_taken(key, holder["id"]) if holder is not None and holder["id"] != incident.id else None


def _claim(connection: Connection, incident: Incident | None, scope: str, at: datetime) -> None:
    if incident is None:
        raise conflicts.claim_without_incident(f"claim {scope}")
    if incident.status is not IncidentStatus.OPEN:
        raise conflicts.claim_after_the_end(incident, scope)
    row: rows.Row = {"scope": scope, "incident_id": incident.id, "since": timestamp(at)}
    if not _do(connection, "claim", row):
        holder = _holder(connection, scope)
        if holder != incident.id:
            raise conflicts.claimed(scope, str(holder), incident.id)


def _holder(connection: Connection, scope: str) -> str | None:
    found = _one(connection, "claim_holder", {"scope": scope})
    return None if found is None else found["incident_id"]


def _put_step(connection: Connection, step: Step) -> None:
    row = rows.step_row(step)
    with _explained(lambda: _why_not_step(connection, step)):
        # Not an upsert: BEFORE INSERT triggers run for one even when it turns out to be an update.
        if not _do(connection, "update_step", row):
            _do(connection, "insert_step", row)


def _why_not_step(connection: Connection, step: Step) -> Conflict | None:
    reason = _missing(connection, "incident", step.incident_id, f"step {step.id}")
    if reason is not None:
        return reason
    found = _one(connection, "step", {"id": step.id})
    stored = None if found is None else rows.step(found)
    if stored is not None and not store_rules.same_run(step, stored):
        return conflicts.step_changed(step)
    numbered = _one(connection, "step_of_number", {"incident_id": step.incident_id, "number": step.number})
    if numbered is not None and numbered["id"] != step.id:
        return conflicts.step_number_taken(step, numbered["id"])
    return _why_not_begin(connection, step)


def _why_not_begin(connection: Connection, step: Step) -> Conflict | None:
    other = _one(connection, "open_step", {"incident_id": step.incident_id})
    if other is not None and other["id"] != step.id:
        return conflicts.step_open(step, other["id"])
    quarantine = _one(connection, "quarantine", {"server": step.server})
    if quarantine is not None:
        return conflicts.quarantined(step, quarantine["step_id"])
    holder = _holder(connection, step.server)
    return conflicts.not_claimed(step, holder) if holder != step.incident_id else None


def _record_undo(connection: Connection, item: UndoItem) -> None:
    with _explained(lambda: _missing(connection, "incident", item.incident_id, f"undo {item.id}")):
        _do(connection, "record_undo", rows.undo_row(item))


def _quarantine(connection: Connection, quarantine: Quarantine) -> None:
    wanted_by = f"the quarantine of {quarantine.server}"
    with _explained(
        lambda: (
            _missing(connection, "incident", quarantine.incident_id, wanted_by)
            or _missing(connection, "step", quarantine.step_id, wanted_by)
        )
    ):
        changed = _do(connection, "set_quarantine", rows.quarantine_row(quarantine))
    if not changed:
        found = _one(connection, "quarantine", {"server": quarantine.server})
        raise conflicts.quarantined_already(quarantine.server, found["step_id"] if found else "")


def _route(connection: Connection, routing: Routing) -> None:
    for alert_id in routing.alert_ids:
        _route_one(connection, routing, alert_id)
    tally(connection, f"alerts {AlertStatus.PENDING.value}", -len(routing.alert_ids))
    tally(connection, f"alerts {routing.status.value}", len(routing.alert_ids))


def _route_one(connection: Connection, routing: Routing, alert_id: int) -> None:
    row: rows.Row = {
        "alert_id": alert_id,
        "status": routing.status.value,
        "reason": routing.reason,
        "incident_id": routing.incident_id,
    }
    with _explained(lambda: _why_not_route(connection, routing, alert_id)):
        changed = _do(connection, "route", row)
    if not changed:
        raise conflicts.not_stored("alert", str(alert_id), "the routing")


def _why_not_route(connection: Connection, routing: Routing, alert_id: int) -> Conflict | None:
    found = _one(connection, "alert_status", {"id": alert_id})
    if found is not None and found["status"] != AlertStatus.PENDING:
        return conflicts.routed_already(alert_id, found["status"])
    if not store_rules.decides(routing):
        return conflicts.routed_nowhere(alert_id, routing.status)
    return _missing(connection, "incident", routing.incident_id or "", f"the routing of alert {alert_id}")


def _defer(connection: Connection, work: Commit) -> None:
    for key in work.alerts.undefer:
        _do(connection, "undefer", guard_rows.key_row(key))
    for deferred in work.alerts.defer:
        _do(connection, "defer", guard_rows.deferred_row(deferred))


def _put_window(connection: Connection, work: Commit) -> None:
    if work.guards.window is not None:
        _do(connection, "put_window", guard_rows.window_row(work.guards.window))


def _put_cause(connection: Connection, cause: Cause | None) -> None:
    if cause is None:
        return
    with _explained(lambda: conflicts.cause_moved_on(cause)):
        changed = _do(connection, "update_cause" if cause.version else "insert_cause", guard_rows.cause_row(cause))
    if not changed:
        raise conflicts.cause_moved_on(cause)


def _give_back(connection: Connection, work: Commit) -> None:
    """Give the claims of the incident back when it says so, and when it has ended."""
    incident = work.progress.incident
    if incident is None:
        if work.progress.release or work.progress.release_wide:
            raise conflicts.claim_without_incident("release")
        return
    if work.progress.release or incident.status is not IncidentStatus.OPEN:
        with _explained(lambda: _unsettled(connection, incident.id)):
            _do(connection, "release", {"incident_id": incident.id})
    elif work.progress.release_wide:
        with _explained(lambda: _unsettled(connection, incident.id)):
            _do(connection, "release_wide", {"incident_id": incident.id, "server": incident.server})


def _unsettled(connection: Connection, incident_id: str) -> Conflict | None:
    found = _one(connection, "open_step", {"incident_id": incident_id})
    return None if found is None else conflicts.unsettled(rows.step(found))


def append_audit(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Put entries behind the last row of the chain."""
    if not entries:
        return
    last = _one(connection, "last_audit", {})
    seq, prev_hash = (0, GENESIS) if last is None else (last["seq"], last["hash"])
    chain = store_rules.chained(entries, seq, prev_hash)
    connection.executemany(queries()["append_audit"], [rows.audit_columns(row) for row in chain])


def send(connection: Connection, messages: Sequence[Outgoing], at: datetime) -> None:
    """Put messages into the outbox."""
    for message in messages:
        _do(connection, "send", rows.outgoing_row(message, at))


def _tell(connection: Connection, told: Mapping[str, int]) -> None:
    _do(connection, "forget_told", {})
    for name, size in told.items():
        _do(connection, "tell", {"name": name, "size": size})


def tally(connection: Connection, name: str, by: int) -> None:
    """Count how alerts or incidents should stand."""
    _do(connection, "tally", {"name": name, "by": by})


def count(connection: Connection, name: str, by: int) -> None:
    """Count what happened."""
    _do(connection, "count", {"name": name, "by": by})
