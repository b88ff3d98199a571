"""The ends of a ladder: what is put back, what stays changed and why, what is quarantined, what comes and goes.

And the end without a ladder, when exmedic itself is at fault and cannot even take the way out: one that cannot be
compiled any more, say. The incident must neither stop the others nor be forgotten; nothing is put back then, and the
escalation says what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import AlertChanges, Aside, Commit, Deferred, GuardChanges, Progress, Told
from daemon.domain.incidents import Incident, IncidentStatus, Quarantine, Step, StepStatus, UndoItem, UndoStatus
from daemon.outgoing.messages import Story, escalation_messages, state_message
from daemon.remediation.actions.contract import Done
from daemon.remediation.actions.undo import by_hand
from daemon.remediation.incidents.opening import UNHANDLED_LATCH
from daemon.remediation.incidents.snapshot import VERIFYING, Case, about
from statemachines.actions import Effect
from statemachines.compiler import Ladder
from statemachines.model import UndoPolicy
from statemachines.table import End

#: Transient incidents of a key within a day after which the next one is flapping: the third time escalates.
FLAPPING_AFTER = 2


FLAPPING_WITHIN = timedelta(days=1)


FOLLOWS = timedelta(minutes=1)  #: so often one that ended with another looks whether that is over


COMES_AND_GOES = "gone before anything was done, for the third time or more within a day: it comes and goes"


WAYS_OUT = frozenset(end.undo for end in (End.ESCALATED, End.CANCELLED))


def quarantine_for(case: Case, step: Step, done: Done) -> Quarantine | None:
    """The quarantine of a disruptive step that was sent and whose outcome stays unknown; None for any other."""
    sent = any(known.id == step.id for known in case.steps)
    if not sent or done.outcome != "unknown":
        return None
    return _unsettled(case.incident, step, case.now, f"what became of {step.action} is not known: {done.detail}")


def _unsettled(incident: Incident, step: Step, now: datetime, reason: str) -> Quarantine | None:
    if step.effect is not Effect.DISRUPTIVE:
        return None
    return Quarantine(server=incident.server, incident_id=incident.id, step_id=step.id, reason=reason, since=now)


def undoes(ladder: Ladder, state: str) -> bool:
    """Whether a state puts things back."""
    return state in ladder.states and ladder.states[state].action.puts_back


def flaps(case: Case) -> bool:
    """Whether the problem was gone by itself once too often."""
    return len(case.transients) >= FLAPPING_AFTER and gone_by_itself(case.steps)


def told_before(case: Case) -> str:
    """The incident that has told within the day that this problem comes and goes; empty when none has."""
    told = (each for each in case.transients if each.status is IncidentStatus.ESCALATED and not each.told_by)
    return next((each.id for each in told), "")


def gone_by_itself(steps: Sequence[Step]) -> bool:
    """No look found the problem, and nothing was done."""
    return not any(step.outcome == "unhealthy" or step.effect is not Effect.READ for step in steps)


def merged(changed: Sequence[UndoItem], known: Sequence[UndoItem]) -> tuple[UndoItem, ...]:
    """`known` with the changed items put in by id; items that are new come last."""
    by_id = {item.id: item for item in known} | {item.id: item for item in changed}
    return tuple(by_id.values())


def never_changed(undo: Sequence[UndoItem], step: Step) -> tuple[UndoItem, ...]:
    """What a step that changed nothing had recorded as to be put back."""
    return tuple(
        replace(item, status=UndoStatus.DONE, reason="never changed")
        for item in undo
        if item.id.partition(".")[0] == step.id
    )


def restored(case: Case, done: Done) -> tuple[UndoItem, ...]:
    """What is put back by an action of the ladder itself, before the way out; empty when nothing is."""
    setting = case.state.action.restores if done.outcome == "done" else ""
    return tuple(
        replace(item, status=UndoStatus.DONE, reason=done.detail) for item in case.pending if item.setting == setting
    )


def left_changed(case: Case) -> tuple[UndoItem, ...]:
    """What is not put back, and will not be by itself."""
    return tuple(item for item in case.undo if item.status is UndoStatus.LEFT)


def not_to_undo(case: Case, quarantined: bool, taken: str = "") -> tuple[UndoItem, ...]:
    """The pending changes that must stay, with the reason: quarantine, or a server still sick after its reboot.

    `taken`: who has the problem already, so that nothing is changed under his hands; empty: put back what may be.
    """
    sick = _sick_after_reboot(case.steps)
    kept = []
    for item in case.pending:
        policy = case.ladder.definition.undo.get(item.setting, UndoPolicy.ALWAYS)
        if quarantined:
            reason = "the server is quarantined, so nothing more is done to it"
        elif taken:
            reason = f"somebody has the problem already ({taken})"
        elif sick and policy is UndoPolicy.UNLESS_SICK_AFTER_REBOOT:
            reason = "the server was not found healthy after its reboot, so its databases stay away from it"
        else:
            continue
        kept.append(replace(item, status=UndoStatus.LEFT, reason=reason))
    return tuple(kept)


def _sick_after_reboot(steps: Sequence[Step]) -> bool:
    """Whether a reboot was sent and no verification after it found the server healthy."""
    reboots = [step.number for step in steps if step.action == "reboot" and step.outcome == "done"]
    if not reboots:
        return False
    return not any(
        step.number > reboots[-1] and step.action in VERIFYING and step.outcome == "healthy" for step in steps
    )


def left_entry(case: Case, item: UndoItem) -> AuditEntry:
    """Puts on record that a change stays, why, and the command that puts it back."""
    message = f"{item.setting} on {item.server} is left changed: {item.reason}; put it back with: {by_hand(item)}"
    return case.entry(AuditKind.UNDO_LEFT, message, {"setting": item.setting, "earlier": item.earlier})


@dataclass(frozen=True, slots=True)
class Ending:
    """Which end a ladder comes to, and how."""

    end: End
    flapping: bool = False  #: what it is about comes and goes
    quarantined: bool = False  #: what its last step did is not known


def ended(case: Case, ending: Ending, recheck: timedelta) -> Incident:
    """The incident at its end. `recheck`: how long after it one that keeps its key looks whether it is over."""
    incident, escalated = case.incident, ending.end is End.ESCALATED
    # One that an operator had closed does not take its key again because he has something put back. Nor does one that
    # only looked: its source tells when it is nobody's again. What comes and goes may be a real failure the next time.
    # What is quarantined waits for evidence.
    lets_go = incident.frees_key or ending.flapping or (incident.taken is not None and not ending.quarantined)
    latched = escalated and not lets_go
    told_by = _told_by(case, ending) if escalated else ""
    last = case.steps[-1].detail if case.steps else ""
    reason = f"healthy: {last}" if ending.end is End.RESOLVED else incident.reason
    return replace(
        incident,
        status=IncidentStatus(ending.end.value),
        ended_at=case.now,
        latched=latched,
        due_at=case.now + (FOLLOWS if told_by else recheck) if latched else None,
        reason=f"{reason}; the notification of incident {told_by} tells of it" if told_by else reason,
        told_by=told_by,
        ends_others=latched and not told_by and acted(case.steps),
        transient=ending.flapping or (ending.end is End.RESOLVED and gone_by_itself(case.steps)),
        undo_by="",
    )


def _told_by(case: Case, ending: Ending) -> str:
    """The incident whose notification tells of this end as well; empty when it needs its own.

    What is left changed, or may be, is told in any case.
    """
    if ending.quarantined or left_changed(case):
        return ""
    if case.outage is not None:
        return case.outage.id
    return told_before(case) if ending.flapping else ""


def acted(steps: Sequence[Step]) -> bool:
    """Whether something was done to the server, or may have been."""
    return any(
        step.effect is not Effect.READ
        and step.executor
        and step.status is not StepStatus.WITHDRAWN
        and step.outcome not in {"refused", "unreachable"}
        for step in steps
    )


def outage_of(others: Sequence[Incident], now: datetime, lasts: timedelta) -> Incident | None:
    """The incident with which another ends, of those that hold keys of its server; None when it is not to end.

    `lasts`: what falls ill so long after an escalation is another outage, and needs its own ladder and notification.
    """
    lately = (each for each in others if each.ended_at is None or now - each.ended_at < lasts)
    return next((each for each in lately if each.ends_others and not each.frees_key), None)


def over_with(incident: Incident, now: datetime, why: str) -> Commit:
    """The commit by which an incident lets go of its key, to be verified afresh by a new one: both, or neither."""
    deferred = Deferred(
        key=incident.key,
        health_set=incident.health_set,
        monitor=incident.monitor,
        why=Aside.AFRESH,
        reason=why,
        since=now,
        not_before=now,
        taken=incident.taken,
    )
    entry = about(AuditKind.LATCH_LIFTED, incident, now, f"latch lifted, to be verified afresh: {why}", {})
    free = replace(incident, latched=False, due_at=None, verify_requested=False, watched=None)
    return Commit(
        at=now, progress=Progress(incident=free), alerts=AlertChanges(defer=(deferred,)), told=Told(audit=(entry,))
    )


def abandoned(
    incident: Incident, steps: Sequence[Step], undo: Sequence[UndoItem], *, now: datetime, detail: str, prefix: str
) -> Commit:
    """The commit that escalates an incident whatever state it is in. An open effect quarantines its server."""
    left = [
        replace(item, status=UndoStatus.LEFT, reason="exmedic gave the incident up")
        for item in undo
        if item.status is UndoStatus.PENDING
    ]
    step = next((step for step in steps if step.status is StepStatus.OPEN), None)
    ended = replace(
        incident,
        status=IncidentStatus.ESCALATED,
        state=End.ESCALATED.value,
        ended_at=now,
        latched=True,
        # Its ladder cannot look whether it is over, so the latch ends as it does where there is none.
        due_at=now + UNHANDLED_LATCH,
        runbook="",
        reason=detail,
        ends_others=acted(steps),
    )
    quarantine = None if step is None else _unsettled(incident, step, now, detail)
    story = Story(
        incident=ended,
        steps=steps,
        left=[(item, by_hand(item)) for item in left],
        quarantined=quarantine is not None,
    )
    return Commit(
        at=now,
        progress=Progress(
            incident=ended,
            step=None if step is None else replace(step, status=StepStatus.DONE, outcome="unknown", ended_at=now),
            undo=tuple(left),
            release=True,
        ),
        guards=GuardChanges(quarantine=quarantine),
        told=Told(
            audit=(about(AuditKind.ESCALATED, ended, now, detail, {}),),
            outgoing=(state_message(prefix, ended), *escalation_messages(prefix, story, now)),
        ),
    )
