"""What the memory store holds, and its two transactions: each changes a copy, which replaces the original or not."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from daemon.domain import conflicts, notices, store_rules
from daemon.domain.alerts import AlertStatus, Payload, Received, StoredAlert
from daemon.domain.audit import GENESIS, AuditEntry, AuditRow
from daemon.domain.causes import Cause
from daemon.domain.commits import Commit, Deferred, Limit, OutboxRow, Outgoing, Room, Routing
from daemon.domain.incidents import Incident, IncidentStatus, Key, Quarantine, Step, StepStatus, StoredRunbook, UndoItem
from daemon.domain.notices import Note, Notice, NoticeKind
from daemon.domain.retention import AuditCut
from daemon.domain.windows import Span, Window
from statemachines.actions import Effect


@dataclass(slots=True)
class State:
    """All that is stored, in the order it was stored. Records are frozen: copying the containers copies everything."""

    alerts: dict[int, StoredAlert] = field(default_factory=dict)
    payloads: dict[int, Payload] = field(default_factory=dict)  # by alert
    alert_ids: dict[str, int] = field(default_factory=dict)  # by dedup_key
    incidents: dict[str, Incident] = field(default_factory=dict)
    current: dict[Key, str] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    step_ids: dict[str, list[str]] = field(default_factory=dict)  # by incident
    undo: dict[str, UndoItem] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    quarantines: dict[str, Quarantine] = field(default_factory=dict)
    deferred: dict[Key, Deferred] = field(default_factory=dict)
    notices: dict[tuple[NoticeKind, str], Notice] = field(default_factory=dict)  # by kind and what they are about
    causes: dict[str, Cause] = field(default_factory=dict)
    windows: dict[tuple[str, datetime], Window] = field(default_factory=dict)  # by name, and when it was added
    runbooks: dict[str, StoredRunbook] = field(default_factory=dict)
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    audit: list[AuditRow] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)  # by `alerts pending` and so on
    told: dict[str, int] = field(default_factory=dict)
    cut: tuple[AuditCut, ...] = (AuditCut(),)  # one: where the trail begins
    sent: int = 0
    dropped: int = 0
    forgotten: int = 0
    accepted: int = 0
    opened: int = 0

    def copy(self) -> "State":
        """A state that can be changed without changing this one."""
        copied: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        copied = {name: value if isinstance(value, int | tuple) else value.copy() for name, value in copied.items()}
        return State(**copied)

    def steps_of(self, incident_id: str) -> list[Step]:
        """The steps of an incident, in order."""
        found = [self.steps[step_id] for step_id in self.step_ids.get(incident_id, ())]
        return sorted(found, key=lambda step: step.number)

    def spent(self, limit: Limit, incident_id: str) -> int:
        """How much of a limit is spent, for an intent of that incident."""
        counted = [
            step.incident_id
            for step in self.steps.values()
            if step.server in limit.servers and step.action in limit.actions and step.started_at > limit.since
            if step.executor and step.status is not StepStatus.WITHDRAWN and step.outcome != "refused"
        ]
        return len({*counted} - {incident_id}) if limit.of_ladders else len(counted)

    def opened_in(self, room: Room) -> int:
        """How many incidents were opened within a room."""
        found = (each for each in self.incidents.values() if each.server in room.servers)
        return sum(room.since < each.opened_at <= room.until for each in found)

    def causes_where(self, wanted: Callable[[Cause], bool]) -> list[Cause]:
        """Some causes, the oldest first."""
        return sorted(filter(wanted, self.causes.values()), key=lambda each: (each.since, each.id))

    def windows_since(self, since: datetime) -> list[Window]:
        """The windows that end after a moment, in the order they begin."""
        found = [
            (each.when.begins, *known, each)
            for known, each in self.windows.items()
            if isinstance(each.when, Span) and each.when.ends > since
        ]
        return [each[-1] for each in sorted(found, key=lambda each: each[:3])]

    def open_step(self, incident_id: str) -> Step | None:
        """The step of an incident without an outcome."""
        return _first(step for step in self.steps_of(incident_id) if step.status is StepStatus.OPEN)


def _first(steps: Iterable[Step]) -> Step | None:
    return next(iter(steps), None)


def ingest(state: State, batch: Sequence[Received], deadletter_topic: str) -> list[StoredAlert]:
    """Store a batch; see `AlertStore.ingest`."""
    stored = []
    for received in batch:
        known = state.alert_ids.get(received.dedup_key)
        if known is None:
            alert = _first_delivery(state, received, deadletter_topic)
        else:
            alert = replace(state.alerts[known], seen=state.alerts[known].seen + 1)
        state.alerts[alert.id] = alert
        stored.append(alert)
    state.accepted += len(batch)
    return stored


def _first_delivery(state: State, received: Received, deadletter_topic: str) -> StoredAlert:
    alert = StoredAlert(
        id=max(state.alerts, default=0) + 1,
        topic=received.topic,
        received_at=received.received_at,
        alert=received.alert,
        status=store_rules.initial_status(received),
        reason=store_rules.initial_reason(received),
        incident_id=None,
        seen=1,
    )
    state.alert_ids[received.dedup_key] = alert.id
    state.payloads[alert.id] = Payload(received.payload, received.size)
    state.counted[f"alerts {alert.status.value}"] += 1
    append_audit(state, [store_rules.ingested(alert.id, received)])
    if alert.status is AlertStatus.REJECTED:
        send(state, [store_rules.dead_letter(deadletter_topic, received)], received.received_at)
        _note(state, store_rules.rejection(alert.id, received))
    return alert


def commit(state: State, work: Commit) -> Incident | None:
    """Carry out a unit of work; see `Commits.commit`. A Conflict leaves the state half changed: throw it away."""
    progress, guards = work.progress, work.guards
    if progress.runbook is not None:
        state.runbooks.setdefault(progress.runbook.hash, progress.runbook)
    _has_room(state, work)
    incident = None if progress.incident is None else _put_incident(state, progress.incident)
    for scope in progress.claim:
        _claim(state, progress.incident, scope)
    if guards.lift is not None:
        state.quarantines.pop(guards.lift, None)
    _stay_within(state, work)
    if progress.step is not None:
        _put_step(state, progress.step)
    for item in progress.undo:
        _require(state.incidents, "incident", item.incident_id, f"undo {item.id}")
        state.undo[item.id] = item
    if work.told.ledger_told is not None:
        state.told = dict(work.told.ledger_told)
    if guards.quarantine is not None:
        _quarantine(state, guards.quarantine)
    if work.alerts.routing is not None:
        _route(state, work.alerts.routing)
    _defer(state, work)
    _notices(state, work)
    _put_window(state, guards.window)
    _put_cause(state, guards.cause)
    _give_back(state, work)
    append_audit(state, work.told.audit)
    send(state, work.told.outgoing, work.at)
    return incident


def _require(where: dict[str, Incident] | dict[str, Step], what: str, name: str, wanted_by: str) -> None:
    if name not in where:
        raise conflicts.not_stored(what, name, wanted_by)


def _put_incident(state: State, incident: Incident) -> Incident:
    stored = state.incidents.get(incident.id)
    if stored is None and incident.version:
        raise conflicts.not_stored("incident", incident.id, "the commit")
    if stored is not None and incident.version == 0:
        raise conflicts.already_stored(incident.id, stored.version)
    if stored is not None and stored.version != incident.version:
        raise conflicts.moved_on(incident.id, stored.version, incident.version)
    if incident.latched and incident.status is not IncidentStatus.ESCALATED:
        raise conflicts.latched_unless_escalated(incident)
    if incident.runbook_hash and incident.runbook_hash not in state.runbooks:
        raise conflicts.not_stored("runbook", incident.runbook_hash, f"incident {incident.id}")
    if stored is not None and state.current.get(stored.key) == stored.id:
        del state.current[stored.key]
    if incident.status is IncidentStatus.OPEN or incident.latched:
        holder = state.current.setdefault(incident.key, incident.id)
        if holder != incident.id:
            raise conflicts.key_taken(incident.key, holder)
    state.opened += stored is None
    if stored is not None:
        state.counted[f"incidents {stored.status.value}"] -= 1
    state.counted[f"incidents {incident.status.value}"] += 1
    state.incidents[incident.id] = replace(incident, version=incident.version + 1)
    return state.incidents[incident.id]


def _claim(state: State, incident: Incident | None, scope: str) -> None:
    if incident is None:
        raise conflicts.claim_without_incident(f"claim {scope}")
    if incident.status is not IncidentStatus.OPEN:
        raise conflicts.claim_after_the_end(incident, scope)
    holder = state.claims.setdefault(scope, incident.id)
    if holder != incident.id:
        raise conflicts.claimed(scope, holder, incident.id)


def _stay_within(state: State, work: Commit) -> None:
    for limit in work.guards.limits:
        count = state.spent(limit, "" if work.progress.incident is None else work.progress.incident.id)
        if count >= limit.most:
            raise conflicts.spent(limit, count)


def _put_step(state: State, step: Step) -> None:
    _require(state.incidents, "incident", step.incident_id, f"step {step.id}")
    stored = state.steps.get(step.id)
    if stored is not None and not store_rules.same_run(step, stored):
        raise conflicts.step_changed(step)
    others = [other for other in state.steps_of(step.incident_id) if other.id != step.id]
    same_number = _first(other for other in others if other.number == step.number)
    if same_number is not None:
        raise conflicts.step_number_taken(step, same_number.id)
    begins = step.status is StepStatus.OPEN and (stored is None or stored.status is not StepStatus.OPEN)
    if begins:
        _may_begin(state, step, others)
    if stored is None:
        state.step_ids[step.incident_id] = [*state.step_ids.get(step.incident_id, ()), step.id]
    state.steps[step.id] = step


def _may_begin(state: State, step: Step, others: Sequence[Step]) -> None:
    other_open = _first(other for other in others if other.status is StepStatus.OPEN)
    if other_open is not None:
        raise conflicts.step_open(step, other_open.id)
    if step.effect is Effect.READ:
        return
    if step.server in state.quarantines:
        raise conflicts.quarantined(step, state.quarantines[step.server].step_id)
    holder = state.claims.get(step.server)
    if holder != step.incident_id:
        raise conflicts.not_claimed(step, holder)


def _has_room(state: State, work: Commit) -> None:
    for room in work.guards.room:
        count = state.opened_in(room)
        if count >= room.most:
            raise conflicts.no_room(room, count)


def _quarantine(state: State, quarantine: Quarantine) -> None:
    earlier = state.quarantines.get(quarantine.server)
    if earlier is not None and earlier.step_id != quarantine.step_id:
        raise conflicts.quarantined_already(quarantine.server, earlier.step_id)
    wanted_by = f"the quarantine of {quarantine.server}"
    _require(state.incidents, "incident", quarantine.incident_id, wanted_by)
    _require(state.steps, "step", quarantine.step_id, wanted_by)
    state.quarantines[quarantine.server] = quarantine


def _route(state: State, routing: Routing) -> None:
    for alert_id in routing.alert_ids:
        _route_one(state, routing, alert_id)


def _route_one(state: State, routing: Routing, alert_id: int) -> None:
    alert = state.alerts.get(alert_id)
    if alert is None:
        raise conflicts.not_stored("alert", str(alert_id), "the routing")
    if alert.status is not AlertStatus.PENDING:
        raise conflicts.routed_already(alert.id, alert.status)
    if not store_rules.decides(routing):
        raise conflicts.routed_nowhere(alert.id, routing.status)
    if routing.incident_id is not None:
        _require(state.incidents, "incident", routing.incident_id, f"the routing of alert {alert.id}")
    state.counted[f"alerts {alert.status.value}"] -= 1
    state.counted[f"alerts {routing.status.value}"] += 1
    state.alerts[alert.id] = replace(
        alert, status=routing.status, reason=routing.reason, incident_id=routing.incident_id
    )


def _defer(state: State, work: Commit) -> None:
    for key in work.alerts.undefer:
        state.deferred.pop(key, None)
    for deferred in work.alerts.defer:
        known = state.deferred.get(deferred.key, deferred)
        since, not_before = min(known.since, deferred.since), min(known.not_before, deferred.not_before)
        state.deferred[deferred.key] = replace(deferred, since=since, not_before=not_before)


def _notices(state: State, work: Commit) -> None:
    """What was told first: what comes in the same commit is told another time."""
    for notice in work.alerts.told:
        _told(state, notice, work.at)
    for note in work.alerts.notes:
        _note(state, note)


def _told(state: State, notice: Notice, at: datetime) -> None:
    stored = state.notices.get((notice.kind, notice.about))
    if stored != notice and (stored is not None or notice.count):
        raise conflicts.notice_moved_on(notice.about)
    state.notices[notice.kind, notice.about] = notices.told(notice, at)
    state.notices = {name: each for name, each in state.notices.items() if notices.kept(each, at)}


def _note(state: State, note: Note) -> None:
    known = state.notices.get((note.kind, note.about))
    if known is None and sum(each.kind is note.kind for each in state.notices.values()) >= notices.MOST_NOTICES:
        note = notices.as_one(note)
        known = state.notices.get((note.kind, note.about))
    state.notices[note.kind, note.about] = notices.noted(known, note)


def _put_window(state: State, window: Window | None) -> None:
    if window is None:
        return
    if not isinstance(window.when, Span) or window.added_at is None:
        raise TypeError(f"{window.title} is of the configuration; only windows added by command are stored")
    state.windows[window.name, window.added_at] = window


def _put_cause(state: State, cause: Cause | None) -> None:
    if cause is None:
        return
    stored = state.causes.get(cause.id)
    same = (each for each in state.causes.values() if each.kind is cause.kind and each.id != cause.id)
    taken = any(each.ended is None and each.what.lower() == cause.what.lower() for each in same)
    version = 0 if stored is None else stored.version
    if version != cause.version or taken or (stored is not None and stored.ended is not None):
        raise conflicts.cause_moved_on(cause)
    state.causes[cause.id] = replace(cause, version=version + 1)


def _give_back(state: State, work: Commit) -> None:
    """Give the claims of the incident back when it says so, and when it has ended."""
    incident = work.progress.incident
    if incident is None:
        if work.progress.release or work.progress.release_wide:
            raise conflicts.claim_without_incident("release")
        return
    everything = work.progress.release or incident.status is not IncidentStatus.OPEN
    if not (everything or work.progress.release_wide):
        return
    held = [
        scope
        for scope, holder in state.claims.items()
        if holder == incident.id and (everything or scope != incident.server)
    ]
    if not held:
        return
    step = state.open_step(incident.id)
    if step is not None and step.effect is not Effect.READ and step.server not in state.quarantines:
        raise conflicts.unsettled(step)
    for scope in held:
        del state.claims[scope]


def append_audit(state: State, entries: Sequence[AuditEntry]) -> None:
    """Put entries behind the last row of the chain."""
    last = state.audit[-1] if state.audit else None
    seq, prev_hash = (last.seq, last.hash) if last else (0, GENESIS)
    state.audit.extend(store_rules.chained(entries, seq, prev_hash))


def send(state: State, messages: Sequence[Outgoing], at: datetime) -> None:
    """Put messages into the outbox."""
    for message in messages:
        state.sent += 1
        state.outbox[state.sent] = OutboxRow(seq=state.sent, message=message, created_at=at, attempts=0, due_at=at)
