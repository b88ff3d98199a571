"""Ends an incident without its ladder: when exmedic itself is at fault and cannot even take the way out.

A ladder that cannot be compiled any more, say: the incident must neither stop the others nor be forgotten. Nothing is
put back; the escalation says what is left.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from daemon.actions.undo import by_hand
from daemon.domain.audit import AuditKind
from daemon.domain.commits import Commit
from daemon.domain.incidents import Incident, IncidentStatus, Quarantine, Step, StepStatus, UndoItem, UndoStatus
from daemon.opening import UNHANDLED_LATCH, about
from daemon.outgoing.messages import Story, escalation_messages, state_message
from statemachines.actions import Effect
from statemachines.table import End


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
    )
    quarantine = _unsettled(incident, step, now, detail)
    story = Story(
        incident=ended,
        steps=steps,
        left=[(item, by_hand(item)) for item in left],
        quarantined=quarantine is not None,
    )
    return Commit(
        at=now,
        incident=ended,
        step=None if step is None else replace(step, status=StepStatus.DONE, outcome="unknown", ended_at=now),
        undo=tuple(left),
        release=True,
        quarantine=quarantine,
        audit=(about(AuditKind.ESCALATED, ended, now, detail, {}),),
        outgoing=(state_message(prefix, ended), *escalation_messages(prefix, story, now)),
    )


def _unsettled(incident: Incident, step: Step | None, now: datetime, detail: str) -> Quarantine | None:
    if step is None or step.effect is not Effect.DISRUPTIVE:
        return None
    return Quarantine(server=incident.server, incident_id=incident.id, step_id=step.id, reason=detail, since=now)
