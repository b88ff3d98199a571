"""What was done to servers, and how an incident went in three sentences. Pure: what is read of the store is given."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.incidents import Incident, IncidentStatus, Step, StepStatus, UndoItem, UndoStatus
from daemon.domain.values import Json, timestamp
from statemachines.actions import ACTIONS, Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One effect on a server. `asked_by`: who approved or ordered it; empty: a ladder did it by itself."""

    at: datetime
    server: str
    action: str
    outcome: str
    asked_by: str
    incident: str

    def as_json(self) -> Json:
        """For machines."""
        return {
            "at": timestamp(self.at),
            "server": self.server,
            "action": self.action,
            "outcome": self.outcome,
            "asked_by": self.asked_by,
            "incident": self.incident,
        }


def actions(incident: Incident, steps: Iterable[Step], since: datetime) -> Iterator[Action]:
    """The effects of an incident from a moment on, in order."""
    approved = {each.carried_out.step: each.carried_out.by for each in incident.recommended if each.carried_out}
    for step in steps:
        if step.effect is Effect.READ or step.started_at < since:
            continue
        outcome = {StepStatus.OPEN: "under way", StepStatus.WITHDRAWN: "did not happen"}.get(step.status, step.outcome)
        spec = ACTIONS.get(step.action)  # none: an older release's action
        ordered_by = (incident.undo_by or incident.close_by) if spec is not None and spec.puts_back else ""
        yield Action(
            at=step.started_at,
            server=step.server,
            action=step.action,
            outcome=outcome,
            asked_by=approved.get(step.id) or ordered_by,
            incident=incident.id,
        )


def explained(incident: Incident, steps: Sequence[Step], changes: Sequence[UndoItem]) -> tuple[str, str, str]:
    """What it was about, what was done, and how it stands: a sentence each. Moments are told in UTC."""
    monitor = f"{incident.monitor or 'A monitor'} ({incident.health_set})"
    alerts = f", {incident.joined} alerts in all" if incident.joined > 1 else ""
    what = f"{monitor} of {incident.server} was reported at {_told(incident.opened_at)}{alerts}."
    done = [
        f"{each.action} at {each.at:%H:%M}: {each.outcome}" for each in actions(incident, steps, incident.opened_at)
    ]
    number = sum(step.effect is Effect.READ for step in steps)
    looks = "once" if number == 1 else f"{number} times"
    acted = (
        f"exmedic looked {looks} and did {', then '.join(done)}."
        if done
        else (f"exmedic looked {looks} and did nothing to the server.")
    )
    return what, acted, _stands(incident, [each for each in changes if each.status is UndoStatus.LEFT])


def _stands(incident: Incident, left: Sequence[UndoItem]) -> str:
    if incident.status is IncidentStatus.OPEN:
        until = f" until {_told(incident.due_at)} at the latest" if incident.due_at else ""
        return f"It is in {incident.state} and waits{until}: {incident.waiting_for or 'its next look'}."
    when = _told(incident.ended_at) if incident.ended_at else "a moment that is not known"
    changed = ", ".join(f"{item.setting} on {item.server}" for item in left)
    rest = f" Left changed: {changed}; `exmedic undo {incident.id}` puts it back." if left else ""
    hold = " New alerts of it start nothing until it is healthy, or `exmedic close`." if incident.latched else ""
    return f"It was {incident.status.value} at {when}: {incident.reason or 'no reason on record'}.{rest}{hold}"


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
