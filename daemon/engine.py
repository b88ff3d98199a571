"""Decides what an incident becomes: every function takes the case as it is and returns the one commit that follows.

Pure: no I/O, no clock. The runner reads, asks servers and commits; the state machine says which state is next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from daemon.actions.action import Again, Done, Prepared
from daemon.actions.undo import by_hand, effect_of
from daemon.config import Timing
from daemon.domain import (
    AuditEntry,
    AuditKind,
    Commit,
    Incident,
    IncidentStatus,
    Json,
    Outgoing,
    Quarantine,
    Step,
    StepStatus,
    UndoItem,
    UndoStatus,
)
from daemon.gates import Hold, Refuse
from daemon.wire.messages import escalation_messages, escalation_text, event_message, state_message
from statemachines.actions import Effect
from statemachines.compiler import CLOSE, FLAPPING, HELD, RECHECK, End, Ladder, LadderState
from statemachines.model import UndoPolicy

_KINDS = {
    End.RESOLVED: AuditKind.RESOLVED,
    End.ESCALATED: AuditKind.ESCALATED,
    End.CANCELLED: AuditKind.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An incident with all that decisions about it need."""

    incident: Incident
    ladder: Ladder
    steps: tuple[Step, ...]
    undo: tuple[UndoItem, ...]
    now: datetime
    transients: int = 0  #: incidents of the same key in the last day that were gone by themselves

    @property
    def state(self) -> LadderState:
        """The state the incident is in."""
        return self.ladder.states[self.incident.state]

    @property
    def pending(self) -> tuple[UndoItem, ...]:
        """What is changed and not put back yet, last change first."""
        return tuple(item for item in reversed(self.undo) if item.status is UndoStatus.PENDING)

    def item(self, params: Json) -> UndoItem | None:
        """The change that an undo step with these parameters puts back; without a step, the next to be put back."""
        named = [item for item in self.undo if item.id == params.get("item")]
        return next(iter(named or self.pending), None)

    def params(self) -> Json:
        """The state's parameters, with `$state.field` replaced by what that state produced."""
        return {name: self._value(given) for name, given in self.state.params.items()}

    def _value(self, given: object) -> object:
        if not isinstance(given, str) or not given.startswith("$"):
            return given
        state, _, name = given[1:].rpartition(".")
        return self.incident.facts[state][name]

    def step(self, executor: str = "", baseline: Json | None = None) -> Step:
        """The next step, of the current state's action."""
        number = len(self.steps) + 1
        undoing = self.state.action.name == "undo" and self.pending
        return Step(
            id=f"{self.incident.id}-{number:02}",
            incident_id=self.incident.id,
            number=number,
            state=self.incident.state,
            action=self.state.action.name,
            effect=effect_of(self.pending[0].setting) if undoing else self.state.action.effect,
            server=self.incident.server,
            executor=executor,
            params=self.params(),
            baseline=baseline or {},
            started_at=self.now,
            deadline_at=self.now + self.state.deadline,
        )


class Engine:
    """The decisions. `prefix` is that of the topics of the bus."""

    def __init__(self, timing: Timing, prefix: str) -> None:
        self._timing = timing
        self._prefix = prefix

    def read(self, case: Case) -> Commit:
        """A reading step begins."""
        asked = case.state.action.name == "verify" and case.incident.verify_requested
        incident = replace(
            case.incident, due_at=case.now, verify_requested=case.incident.verify_requested and not asked
        )
        return Commit(at=case.now, incident=incident, step=case.step())

    def intend(self, case: Case, prepared: Prepared, claim: tuple[str, ...]) -> Commit:
        """The intent of an effect: step, claims, what must be put back, and why it was allowed."""
        step = case.step(prepared.executor, prepared.baseline)
        if case.state.action.name == "undo":
            step = replace(step, params={"item": case.pending[0].id})
        undo = tuple(
            UndoItem(
                id=f"{step.id}.{change.setting}",
                incident_id=case.incident.id,
                server=case.incident.server,
                setting=change.setting,
                earlier=change.earlier,
                applied=change.applied,
            )
            for change in prepared.changes
        )
        figures = {"step": step.id, "action": step.action, "executor": step.executor}
        intent = f"{step.action} on {step.server}, sent through {step.executor}"
        return Commit(
            at=case.now,
            incident=replace(case.incident, due_at=case.now, waiting_for=""),
            step=step,
            undo=undo,
            claim=claim,
            audit=(
                _entry(case, AuditKind.DECISION, f"allowed: {intent}", {**figures, "facts": prepared.figures}),
                _entry(case, AuditKind.INTENT, intent, {**figures, "params": step.params, "baseline": step.baseline}),
            ),
        )

    def poll_again(self, case: Case, step: Step, again: Again) -> Commit:
        """Nothing is decided yet: look again later, but not later than the deadline."""
        due = min(case.now + timedelta(seconds=again.after), step.deadline_at)
        # A message for each look would be noise; the bus hears of transitions.
        return Commit(
            at=case.now,
            incident=replace(case.incident, due_at=due, waiting_for=again.detail),
            step=replace(step, memo=again.memo or step.memo, detail=again.detail),
        )

    def hold(self, case: Case, hold: Hold) -> Commit:
        """A gate says not now. Past the deadline of the hold its outcome follows instead."""
        since = case.incident.waiting_since or case.now
        if case.now >= since + hold.deadline:
            waited = f"waited since {since:%H:%M} UTC: {hold.reason}"
            if case.state.action.name == "undo":
                return self.finish_undo(case, None, Done(outcome=hold.outcome, detail=waited))
            return self.move(case, hold.outcome, waited)
        due = min(case.now + hold.after, since + hold.deadline)
        incident = replace(case.incident, due_at=due, waiting_since=since, waiting_for=hold.reason)
        audit: tuple[AuditEntry, ...] = (_entry(case, AuditKind.DECISION, f"held: {hold.reason}", {"verdict": "hold"}),)
        lets_go = hold.lets_go and not case.pending
        if hold.verify_afresh and case.state.action.name != "undo":
            held = self._moved(replace(case, incident=incident), HELD, hold.reason)
            incident = replace(incident, state=case.ladder.next(case.incident.state, HELD))
            audit = (*audit, *held.audit)
        elif case.incident.waiting_for == hold.reason:
            audit = ()  # asked again within seconds, and nothing is new
        told = (state_message(self._prefix, incident),) if audit else ()
        return Commit(at=case.now, incident=incident, release=lets_go, audit=audit, outgoing=told)

    def withdraw(self, case: Case, step: Step, detail: str, retry: Hold) -> Commit:
        """The effect provably did not happen: the step ends without an outcome, and its change was never made."""
        gone = tuple(
            replace(item, status=UndoStatus.DONE, reason="never changed")
            for item in case.undo
            if item.id.partition(".")[0] == step.id
        )
        closed = replace(step, status=StepStatus.WITHDRAWN, detail=detail, ended_at=case.now)
        waiting = replace(case.incident, waiting_since=case.incident.waiting_since or step.started_at)
        steps = (*(known for known in case.steps if known.id != step.id), closed)
        fresh = replace(case, incident=waiting, undo=_merged(gone, case.undo), steps=steps)
        commit = self.hold(fresh, replace(retry, reason=detail))
        fields = {"step": step.id, "action": step.action, "executor": step.executor}
        withdrawn = _entry(case, AuditKind.WITHDRAWN, f"{step.action} did not happen: {detail}", fields)
        return replace(commit, step=closed, undo=_merged(commit.undo, gone), audit=(withdrawn, *commit.audit))

    def finish(self, case: Case, step: Step, done: Done, quarantine: Quarantine | None = None) -> Commit:
        """A step ends with an outcome: the next state follows. An effect that stays unknown quarantines its server."""
        quarantine = quarantine or _quarantine(case, step, done)
        closed = replace(
            step,
            status=StepStatus.DONE,
            outcome=done.outcome,
            detail=done.detail,
            result=done.result,
            ended_at=case.now,
        )
        incident = replace(case.incident, facts={**case.incident.facts, step.state: done.result})
        steps = (*(known for known in case.steps if known.id != step.id), closed)
        case = replace(case, incident=incident, steps=steps)
        fields = {"step": step.id, "action": step.action, "executor": step.executor, "outcome": done.outcome}
        audit = _entry(case, AuditKind.OUTCOME, f"{step.action}: {done.outcome}: {done.detail}", fields)
        moved = self.move(case, done.outcome, done.detail, quarantine)
        return replace(moved, step=closed, audit=(audit, *moved.audit))

    def conclude(self, case: Case, step: Step | None, done: Done) -> Commit:
        """A step ends with an outcome, or the state does without any step having been sent."""
        if case.state.action.name == "undo":
            return self.finish_undo(case, step, done)
        return self.finish(case, step or case.step(), done)

    def finish_undo(self, case: Case, step: Step | None, done: Done) -> Commit:
        """One recorded change was put back, or is left; the way out goes on with the next one."""
        item = case.pending[0]
        step = step or replace(case.step(), params={"item": item.id})
        quarantine = _quarantine(case, step, done)
        put_back = done.outcome == "done"
        status = UndoStatus.DONE if put_back else UndoStatus.LEFT
        item = replace(item, status=status, reason=done.detail)
        undo = tuple(item if known.id == item.id else known for known in case.undo)
        case = replace(case, undo=undo)
        outcome = "more" if case.pending and quarantine is None else "left" if _left(case) else "done"
        audit = () if put_back else (_left_entry(case, item),)
        commit = self.finish(case, step, replace(done, outcome=outcome), quarantine)
        return replace(commit, undo=_merged((item,), commit.undo), audit=(*audit, *commit.audit))

    def close(self, case: Case, step: Step | None) -> Commit:
        """An operator closed the incident: the way out begins. A step that was reading is dropped."""
        reason = f"closed by {case.incident.close_by}"
        commit = self.move(case, CLOSE, reason)
        if step is None:
            return commit
        dropped = replace(step, status=StepStatus.WITHDRAWN, detail=reason, ended_at=case.now)
        return replace(commit, step=dropped)

    def refuse(self, case: Case, verdict: Refuse) -> Commit:
        """A gate says never: on record with the figures that decided, and the ladder goes to its way out."""
        if case.state.action.name == "undo":
            return self.finish_undo(case, None, Done(outcome="refused", detail=verdict.reason))
        figures = {"verdict": "refuse", "action": case.state.action.name, "facts": verdict.figures}
        entry = _entry(case, AuditKind.DECISION, f"refused: {verdict.reason}", figures)
        moved = self.move(case, "refused", verdict.reason)
        return replace(moved, audit=(entry, *moved.audit))

    def move(self, case: Case, outcome: str, detail: str, quarantine: Quarantine | None = None) -> Commit:
        """The state machine moves, through the way out if it leads there, and the incident ends if it is over."""
        commit = self._moved(case, outcome, detail, quarantine)
        if quarantine is None:
            return commit
        entry = _entry(case, AuditKind.QUARANTINED, quarantine.reason, {"step": quarantine.step_id})
        return replace(commit, quarantine=quarantine, audit=(*commit.audit, entry))

    def _moved(self, case: Case, outcome: str, detail: str, quarantine: Quarantine | None = None) -> Commit:
        source = case.incident.state
        hops = [(source, outcome, case.ladder.next(source, outcome))]
        items: tuple[UndoItem, ...] = ()
        if hops[-1][2] in (End.ESCALATED.undo, End.CANCELLED.undo):
            items = _not_to_undo(case, quarantine is not None)
            case = replace(case, undo=_merged(items, case.undo))
        while _undoes(case.ladder, hops[-1][2]) and not case.pending:
            nothing = FLAPPING if hops[-1][2] == End.RESOLVED.undo and _flaps(case) else "nothing"
            hops.append((hops[-1][2], nothing, case.ladder.next(hops[-1][2], nothing)))
        target = hops[-1][2]
        if any(hop[1] == FLAPPING for hop in hops):
            detail = _FLAPPING
        # "more": the next change to be put back gets the whole deadline for itself.
        same = target.removesuffix(RECHECK) == source.removesuffix(RECHECK) and outcome != "more"
        leaving = any(hop[2] in (End.ESCALATED.undo, End.CANCELLED.undo) for hop in hops)
        incident = replace(
            case.incident,
            state=target,
            due_at=case.now,
            waiting_since=case.incident.waiting_since if same else None,
            waiting_for="",
            reason=f"{source}: {outcome}: {detail}" if leaving and source not in _WAYS_OUT else case.incident.reason,
        )
        case = replace(case, incident=incident)
        audit = [_transition(case, *hop) for hop in hops]
        told = [event_message(self._prefix, incident, case.now, _event(*hop, detail)) for hop in hops]
        audit += [_left_entry(case, item) for item in items]
        if target in tuple(End):
            return self._ended(case, End(target), items, audit, told, quarantined=quarantine is not None)
        told.append(state_message(self._prefix, incident))
        parks = case.ladder.states[target].action.parks
        if parks and case.pending:
            raise ValueError(f"{target} waits for other incidents, but something is still changed")
        return Commit(
            at=case.now, incident=incident, undo=items, release=parks, audit=tuple(audit), outgoing=tuple(told)
        )

    def _ended(
        self,
        case: Case,
        end: End,
        items: tuple[UndoItem, ...],
        audit: list[AuditEntry],
        told: list[Outgoing],
        *,
        quarantined: bool,
    ) -> Commit:
        escalated = end is End.ESCALATED
        last = case.steps[-1].detail if case.steps else ""
        incident = replace(
            case.incident,
            status=IncidentStatus(end.value),
            ended_at=case.now,
            latched=escalated,
            due_at=case.now + timedelta(seconds=self._timing.latch_recheck) if escalated else None,
            reason=case.incident.reason if end is not End.RESOLVED else f"healthy: {last}",
            transient=end is End.RESOLVED and _gone_by_itself(case.steps),
            undo_by="",
        )
        audit.append(_entry(replace(case, incident=incident), _KINDS[end], incident.reason, {}))
        told.append(state_message(self._prefix, incident))
        if escalated and not case.incident.undo_by:
            left = [(item, by_hand(item)) for item in _left(case)]
            source = case.ladder.definition.source
            text = escalation_text(incident, source, case.steps, left, quarantined)
            told += escalation_messages(self._prefix, incident, case.now, text)
        return Commit(
            at=case.now,
            incident=incident,
            undo=items,
            release=True,
            audit=tuple(audit),
            outgoing=tuple(told),
        )


#: Transient incidents of a key within a day after which the next one is flapping: the third time escalates.
FLAPPING_AFTER = 2
FLAPPING_WITHIN = timedelta(days=1)
_FLAPPING = "the third time within a day that the problem was gone before anything was done: it comes and goes"
_WAYS_OUT = frozenset(end.undo for end in (End.ESCALATED, End.CANCELLED))
_VERIFIES = frozenset({"verify", "watch_monitor"})


def _quarantine(case: Case, step: Step, done: Done) -> Quarantine | None:
    """A disruptive step that was sent, and whose outcome stays unknown, quarantines its server."""
    sent = any(known.id == step.id for known in case.steps)
    if not sent or step.effect is not Effect.DISRUPTIVE or done.outcome != "unknown":
        return None
    return Quarantine(
        server=case.incident.server,
        incident_id=case.incident.id,
        step_id=step.id,
        reason=f"what became of {step.action} is not known: {done.detail}",
        since=case.now,
    )


def _undoes(ladder: Ladder, state: str) -> bool:
    return state in ladder.states and ladder.states[state].action.name == "undo"


def _flaps(case: Case) -> bool:
    return case.transients >= FLAPPING_AFTER and _gone_by_itself(case.steps)


def _gone_by_itself(steps: Sequence[Step]) -> bool:
    """No look found the problem, and nothing was done."""
    return not any(step.outcome == "unhealthy" or step.effect is not Effect.READ for step in steps)


def _merged(changed: Sequence[UndoItem], known: Sequence[UndoItem]) -> tuple[UndoItem, ...]:
    """`known` with the changed items put in by id; items that are new come last."""
    by_id = {item.id: item for item in known} | {item.id: item for item in changed}
    return tuple(by_id.values())


def _left(case: Case) -> tuple[UndoItem, ...]:
    return tuple(item for item in case.undo if item.status is UndoStatus.LEFT)


def _not_to_undo(case: Case, quarantined: bool) -> tuple[UndoItem, ...]:
    """The pending changes that must stay, with the reason: quarantine, or a server still sick after its reboot."""
    sick = _sick_after_reboot(case.steps)
    kept = []
    for item in case.pending:
        policy = case.ladder.definition.undo.get(item.setting, UndoPolicy.ALWAYS)
        if quarantined:
            reason = "the server is quarantined, so nothing more is done to it"
        elif sick and policy is UndoPolicy.UNLESS_SICK_AFTER_REBOOT:
            reason = "the server was not found healthy after its reboot, so its databases stay away from it"
        else:
            continue
        kept.append(replace(item, status=UndoStatus.LEFT, reason=reason))
    return tuple(kept)


def _sick_after_reboot(steps: Sequence[Step]) -> bool:
    """Whether a reboot was sent and no verification after it found the server healthy."""
    reboots = [step.number for step in steps if step.action == "reboot" and step.status is StepStatus.DONE]
    if not reboots:
        return False
    return not any(
        step.number > reboots[-1] and step.action in _VERIFIES and step.outcome == "healthy" for step in steps
    )


def _entry(case: Case, kind: AuditKind, message: str, fields: Json) -> AuditEntry:
    incident = case.incident
    return AuditEntry(
        kind=kind,
        at=case.now,
        message=message,
        incident_id=incident.id,
        server=incident.server,
        health_set=incident.health_set,
        monitor=incident.monitor,
        fields={"state": incident.state, **fields},
    )


def _left_entry(case: Case, item: UndoItem) -> AuditEntry:
    message = f"{item.setting} on {item.server} is left changed: {item.reason}; put it back with: {by_hand(item)}"
    return _entry(case, AuditKind.UNDO_LEFT, message, {"setting": item.setting, "earlier": item.earlier})


def _event(source: str, outcome: str, target: str, detail: str) -> Json:
    return {"event": "transition", "from": source, "to": target, "outcome": outcome, "detail": detail}


def _transition(case: Case, source: str, outcome: str, target: str) -> AuditEntry:
    fields = {"from_state": source, "to_state": target, "outcome": outcome}
    # Why is in the row before: the outcome, decision or command that the machine was given.
    return _entry(case, AuditKind.TRANSITION, f"{source} -> {target} ({outcome})", fields)
