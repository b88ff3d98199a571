"""Decides what an incident becomes: every function takes the case as it is and returns the one commit that follows.

Pure: no I/O, no clock. The runner reads, asks servers and commits; the state machine says which state is next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from daemon.config.guardrails import Timing
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Channel, Commit, Outgoing, Progress, Told
from daemon.domain.incidents import Incident, Quarantine, Step, StepStatus, UndoItem, UndoStatus
from daemon.domain.values import Json
from daemon.domain.verdicts import Hold, Refuse
from daemon.domain.windows import passed
from daemon.outgoing.messages import Story, escalation_messages, event_message, state_message
from daemon.remediation.actions.contract import Again, Done, Prepared
from daemon.remediation.actions.undo import by_hand
from daemon.remediation.incidents.ending import (
    COMES_AND_GOES,
    WAYS_OUT,
    Ending,
    ended,
    flaps,
    left_changed,
    left_entry,
    merged,
    never_changed,
    not_to_undo,
    quarantine_for,
    restored,
    undoes,
)
from daemon.remediation.incidents.snapshot import Case
from statemachines.table import CLOSE, FLAPPING, HELD, RECHECK, TAKEN, End, leaves

_KINDS = {
    End.RESOLVED: AuditKind.RESOLVED,
    End.ESCALATED: AuditKind.ESCALATED,
    End.CANCELLED: AuditKind.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of the state machine: from where, by which outcome, to where."""

    source: str
    outcome: str
    target: str


class Engine:
    """The decisions. `prefix` is that of the topics of the bus."""

    def __init__(self, timing: Timing, prefix: str, *, undo_first: bool = False) -> None:
        self._timing = timing
        self._prefix = prefix
        self._undo_first = undo_first  # of what somebody has already

    def read(self, case: Case) -> Commit:
        """The commit by which a reading step begins."""
        asked = case.state.action.name == "verify" and case.incident.verify_requested
        incident = replace(
            case.incident, due_at=case.now, verify_requested=case.incident.verify_requested and not asked
        )
        return Commit(at=case.now, progress=Progress(incident=incident, step=case.step()))

    def intend(self, case: Case, prepared: Prepared, claim: tuple[str, ...]) -> Commit:
        """The commit of an effect's intent: step, claims, what must be put back, and why it was allowed."""
        step = case.step(prepared.executor, prepared.baseline)
        if case.state.action.puts_back:
            step = replace(step, params={"item": case.pending[0].id})
        # An earlier step that was withdrawn may have recorded the same change: once is enough to put it back.
        recorded = {item.setting for item in case.pending}
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
            if change.setting not in recorded
        )
        figures = {"step": step.id, "action": step.action, "executor": step.executor}
        intent = f"{step.action} on {step.server}, sent through {step.executor}"
        return Commit(
            at=case.now,
            progress=Progress(
                incident=replace(case.incident, due_at=case.now, waiting_for=""), step=step, undo=undo, claim=claim
            ),
            told=Told(
                audit=(
                    case.entry(AuditKind.DECISION, f"allowed: {intent}", {**figures, "facts": prepared.figures}),
                    case.entry(AuditKind.INTENT, intent, {**figures, "params": step.params, "baseline": step.baseline}),
                )
            ),
        )

    def poll_again(self, case: Case, step: Step, again: Again) -> Commit:
        """The commit that decides nothing yet: it looks again later, at the latest at the deadline."""
        due = min(case.now + timedelta(seconds=again.after), step.deadline_at)
        # A message for each look would be noise; the bus hears of transitions.
        return Commit(
            at=case.now,
            progress=Progress(
                incident=replace(case.incident, due_at=due, waiting_for=again.detail),
                step=replace(step, memo=again.memo or step.memo, detail=again.detail),
            ),
        )

    def hold(self, case: Case, hold: Hold, began: datetime | None = None) -> Commit:
        """The commit of a gate's not now; past the deadline of the hold, that of its outcome instead.

        `began`: when what is held began to be tried, if that was earlier than now.
        """
        incident = case.incident
        began = incident.held_since if incident.held_by == hold.kind and incident.held_since else began or case.now
        first = incident.waiting_since or began
        leaving = case.state.action.puts_back
        over = self._over(case, hold, began, first)
        if case.now >= over:
            waited = f"waited since {began:%H:%M} UTC: {hold.reason}"
            if leaving:
                return self.finish_undo(case, None, Done(outcome=hold.outcome, detail=waited))
            return self.move(case, hold.outcome, waited)
        incident = replace(
            incident,
            # Closed meanwhile, it takes its way out at once; on the way out it waits like any other.
            due_at=case.now if incident.close_by and not leaving else min(case.now + hold.after, over),
            waiting_since=first,
            held_by=hold.kind,
            held_since=began,
            waiting_for=hold.reason,
        )
        audit: tuple[AuditEntry, ...] = (case.entry(AuditKind.DECISION, f"held: {hold.reason}", {"verdict": "hold"}),)
        if hold.verify_afresh and not leaving:
            held = self._moved(replace(case, incident=incident), HELD, hold.reason)
            incident = replace(incident, state=case.ladder.next(case.incident.state, HELD))
            audit = (*audit, *held.told.audit)
        elif case.incident.waiting_for == hold.reason:
            audit = ()  # asked again within seconds, and nothing is new
        lets_go = hold.lets_go and not case.pending
        told = (state_message(self._prefix, incident),) if audit else ()
        return Commit(
            at=case.now,
            # What is changed keeps the server's claim; the DAG must not wait for it meanwhile.
            progress=Progress(incident=incident, release=lets_go, release_wide=hold.lets_go and not lets_go),
            told=Told(audit=audit, outgoing=told),
        )

    def _over(self, case: Case, hold: Hold, began: datetime, first: datetime) -> datetime:
        """The moment at which a hold that began then, after others since `first`, has waited long enough."""
        # Each kind of hold has its own time, and all of them together have that of the longest: none waits for ever.
        # What a window forbade anyway was no wait: its time does not count.
        watched = self._timing.observe_deadline if case.incident.recommended else 0.0
        longest = max(hold.deadline, timedelta(seconds=max(self._timing.hold_deadline, watched)))
        return min(passed(began, hold.deadline, case.closed), passed(first, longest, case.closed))

    def withdraw(self, case: Case, step: Step, detail: str, retry: Hold, *, may_finish: bool) -> Commit:
        """The commit of an effect that provably did not happen: the step ends without an outcome.

        `may_finish`: it was begun, so Exchange may still finish the change although its client is gone. Then the change
        stays to be put back, until a look later on shows that it was not made.
        """
        gone = () if may_finish else never_changed(case.undo, step)
        told = {"may_finish": may_finish}
        closed = replace(step, status=StepStatus.WITHDRAWN, detail=detail, ended_at=case.now, result=told)
        steps = (*(known for known in case.steps if known.id != step.id), closed)
        fresh = replace(case, undo=merged(gone, case.undo), steps=steps)
        commit = self.hold(fresh, replace(retry, reason=detail), step.started_at)
        fields = {"step": step.id, "action": step.action, "executor": step.executor}
        withdrawn = case.entry(AuditKind.WITHDRAWN, f"{step.action} did not happen: {detail}", fields)
        return replace(
            commit,
            progress=replace(commit.progress, step=closed, undo=merged(commit.progress.undo, gone)),
            told=commit.told.after(withdrawn),
        )

    def finish(self, case: Case, step: Step, done: Done, quarantine: Quarantine | None = None) -> Commit:
        """The commit of a step's outcome and the next state. An effect that stays unknown quarantines its server."""
        quarantine = quarantine or quarantine_for(case, step, done)
        closed = replace(
            step,
            status=StepStatus.DONE,
            outcome=done.outcome,
            detail=done.detail,
            result=done.result,
            ended_at=case.now,
        )
        # Refused means that nothing was changed: then nothing is to be put back.
        settled = never_changed(case.undo, step) if done.outcome == "refused" else restored(case, done)
        case = replace(case, undo=merged(settled, case.undo))
        incident = replace(case.incident, produced={**case.incident.produced, step.state: done.result})
        steps = (*(known for known in case.steps if known.id != step.id), closed)
        case = replace(case, incident=incident, steps=steps)
        fields = {"step": step.id, "action": step.action, "executor": step.executor, "outcome": done.outcome}
        audit = case.entry(AuditKind.OUTCOME, f"{step.action}: {done.outcome}: {done.detail}", fields)
        moved = self.move(case, done.outcome, done.detail, quarantine)
        return replace(
            moved,
            progress=replace(moved.progress, step=closed, undo=merged(moved.progress.undo, settled)),
            told=moved.told.after(audit),
        )

    def conclude(self, case: Case, step: Step | None, done: Done) -> Commit:
        """The commit of an outcome: of the step, or of a state that needed none to be sent."""
        if case.state.action.puts_back:
            return self.finish_undo(case, step, done)
        return self.finish(case, step or case.step(), done)

    def finish_undo(self, case: Case, step: Step | None, done: Done) -> Commit:
        """The commit of one change that was put back, or is left; the way out goes on with the next one."""
        item = case.pending[0]
        step = step or replace(case.step(), params={"item": item.id})
        quarantine = quarantine_for(case, step, done)
        put_back = done.outcome == "done"
        status = UndoStatus.DONE if put_back else UndoStatus.LEFT
        item = replace(item, status=status, reason=done.detail)
        undo = tuple(item if known.id == item.id else known for known in case.undo)
        case = replace(case, undo=undo)
        outcome = "more" if case.pending and quarantine is None else "left" if left_changed(case) else "done"
        audit = () if put_back else (left_entry(case, item),)
        commit = self.finish(case, step, replace(done, outcome=outcome), quarantine)
        return replace(
            commit,
            progress=replace(commit.progress, undo=merged((item,), commit.progress.undo)),
            told=commit.told.after(*audit),
        )

    def close(self, case: Case, step: Step | None) -> Commit:
        """The commit by which an operator's close begins the way out. A step that was reading is dropped."""
        reason = f"closed by {case.incident.close_by}"
        commit = self.move(case, CLOSE, reason)
        if step is None:
            return commit
        dropped = replace(step, status=StepStatus.WITHDRAWN, detail=reason, ended_at=case.now)
        return replace(commit, progress=replace(commit.progress, step=dropped))

    def stands_back(self, case: Case) -> bool:
        """Whether a human has the problem, or the server, and what comes next has an effect, or lets others have one.

        Who has the problem has it as it is, unless the site has what was changed put back first. Who has the server was
        told of another incident there: what this one changed is put back.
        """
        leaving = leaves(case.incident.state)
        if not case.state.action.acts:
            return False
        if case.incident.only_looks:
            return not (self._undo_first and leaving)
        return case.outage is not None and not leaving

    def stand_back(self, case: Case, step: Step | None) -> Commit:
        """The commit by which an incident ends because a human has it. A step that waits for others ends."""
        taken, outage = case.incident.taken, case.outage
        found = case.found or "nothing yet, it was not verified"
        if taken is not None:
            why = f"somebody has it already ({taken.why}), so nothing is done"
        else:
            why = f"it ends with incident {outage.id if outage else ''}, which escalated here after it had acted"
        commit = self.move(case, TAKEN, f"{why}; found {found}")
        if step is None:
            return commit
        dropped = replace(step, status=StepStatus.WITHDRAWN, detail=why, ended_at=case.now)
        return replace(commit, progress=replace(commit.progress, step=dropped))

    def refuse(self, case: Case, verdict: Refuse) -> Commit:
        """The commit of a gate's never, with the figures that decided: the ladder goes to its way out."""
        if case.state.action.puts_back:
            return self.finish_undo(case, None, Done(outcome="refused", detail=verdict.reason))
        figures = {"verdict": "refuse", "action": case.state.action.name, "facts": verdict.figures}
        entry = case.entry(AuditKind.DECISION, f"refused: {verdict.reason}", figures)
        moved = self.move(case, "refused", verdict.reason)
        return replace(moved, told=moved.told.after(entry))

    def move(self, case: Case, outcome: str, detail: str, quarantine: Quarantine | None = None) -> Commit:
        """The commit of the machine's move, through the way out if it leads there, to the end if it is over."""
        commit = self._moved(case, outcome, detail, quarantine)
        if quarantine is None:
            return commit
        entry = case.entry(AuditKind.QUARANTINED, quarantine.reason, {"step": quarantine.step_id})
        return replace(
            commit,
            guards=replace(commit.guards, quarantine=quarantine),
            told=commit.told.then(entry),
        )

    def _moved(self, case: Case, outcome: str, detail: str, quarantine: Quarantine | None = None) -> Commit:
        first = Hop(case.incident.state, outcome, case.ladder.next(case.incident.state, outcome))
        taken = case.incident.taken if outcome == TAKEN and not self._undo_first else None
        leaving = first.target in WAYS_OUT or outcome == TAKEN
        items = not_to_undo(case, quarantine is not None, taken.why if taken else "") if leaving else ()
        case = replace(case, undo=merged(items, case.undo))
        hops = _onward(case, first)
        target = hops[-1].target
        flapping = any(hop.outcome == FLAPPING for hop in hops)
        detail = COMES_AND_GOES if flapping else detail
        incident = _arrived(case, hops, detail)
        case = replace(case, incident=incident)
        audit = [_transition(case, hop) for hop in hops]
        told = [event_message(self._prefix, incident, case.now, _event(hop, detail)) for hop in hops]
        audit += [left_entry(case, item) for item in items]
        if target in tuple(End):
            ending = Ending(End(target), flapping=flapping, quarantined=quarantine is not None)
            return self._ended(case, ending, items, audit, told)
        told.append(state_message(self._prefix, incident))
        parks = case.ladder.states[target].action.parks
        if parks and case.pending:
            raise ValueError(f"{target} waits for other incidents, but something is still changed")
        return Commit(
            at=case.now,
            progress=Progress(incident=incident, undo=items, release=parks),
            told=Told(audit=tuple(audit), outgoing=tuple(told)),
        )

    def _ended(
        self,
        case: Case,
        ending: Ending,
        items: tuple[UndoItem, ...],
        audit: list[AuditEntry],
        told: list[Outgoing],
    ) -> Commit:
        incident = ended(case, ending, timedelta(seconds=self._timing.latch_recheck))
        audit.append(replace(case, incident=incident).entry(_KINDS[ending.end], incident.reason, {}))
        told.append(state_message(self._prefix, incident))
        if ending.end is End.ESCALATED and (not case.incident.undo_by or left_changed(case)):
            story = Story(
                incident=incident,
                source=case.ladder.definition.source,
                steps=case.steps,
                left=[(item, by_hand(item)) for item in left_changed(case)],
                ends=case.open_there if incident.ends_others else (),
                quarantined=ending.quarantined,
            )
            messages = escalation_messages(self._prefix, story, case.now)
            told += [each for each in messages if each.channel is Channel.BUS or not incident.told_by]
        return Commit(
            at=case.now,
            progress=Progress(incident=incident, undo=items, release=True),
            told=Told(audit=tuple(audit), outgoing=tuple(told)),
        )


def _onward(case: Case, first: Hop) -> tuple[Hop, ...]:
    """The hop, and those that follow it at once because the way out finds nothing to put back."""
    hops = [first]
    while undoes(case.ladder, hops[-1].target) and not case.pending:
        state = hops[-1].target
        nothing = FLAPPING if state == End.RESOLVED.undo and flaps(case) else "nothing"
        hops.append(Hop(state, nothing, case.ladder.next(state, nothing)))
    return tuple(hops)


def _arrived(case: Case, hops: Sequence[Hop], detail: str) -> Incident:
    """The incident in the state to which the hops lead, with why its ladder takes the way out as its reason."""
    first, target = hops[0], hops[-1].target
    incident = replace(case.incident, state=target, due_at=case.now, waiting_for="")
    # "more": the next change to be put back gets the whole deadline for itself.
    if target.removesuffix(RECHECK) != first.source.removesuffix(RECHECK) or first.outcome == "more":
        incident = replace(incident, waiting_since=None, held_by=None, held_since=None)
    if first.source not in WAYS_OUT and any(hop.target in WAYS_OUT for hop in hops):
        incident = replace(incident, reason=f"{first.source}: {first.outcome}: {detail}")
    return incident


def _event(hop: Hop, detail: str) -> Json:
    return {"event": "transition", "from": hop.source, "to": hop.target, "outcome": hop.outcome, "detail": detail}


def _transition(case: Case, hop: Hop) -> AuditEntry:
    fields = {"from_state": hop.source, "to_state": hop.target, "outcome": hop.outcome}
    # Why is in the row before: the outcome, decision or command that the machine was given.
    return case.entry(AuditKind.TRANSITION, f"{hop.source} -> {hop.target} ({hop.outcome})", fields)
