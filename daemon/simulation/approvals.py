"""Operators who are asked: what they can answer, and that nothing is done in mode approve without their yes."""

from daemon.domain.audit import AuditEntry
from daemon.domain.incidents import IncidentStatus, Step
from daemon.domain.values import moment
from daemon.testing.memory_state import State
from statemachines.actions import ACTIONS, Effect


def asking_now(state: State) -> list[str]:
    """The incidents that ask something, or else all that are open: some operators answer before they are asked."""
    still = [incident for incident in state.incidents.values() if incident.status is IncidentStatus.OPEN]
    return [incident.id for incident in still if incident.question is not None] or [incident.id for incident in still]


def first_question(state: State, incident_id: str) -> str:
    """The state about which an incident asked first; empty when it has not asked yet."""
    asked = (entry.fields["asks"] for entry in _of(state, incident_id) if "asks" in entry.fields)
    return str(next(asked, ""))


def unapproved(asking: frozenset[str], state: State, step: Step) -> str:
    """Why what is sent for a step had to be approved and was not; empty when all is well.

    Counted from the audit trail: each approval is for one intent of one state, and must not have expired by then.
    """
    if step.server not in asking or ACTIONS[step.action].only_undoes:
        return ""
    given = [entry for entry in _of(state, step.incident_id) if entry.fields.get("approves") == step.state]
    intents = [
        other
        for other in state.steps_of(step.incident_id)
        if other.state == step.state and other.executor and other.effect is not Effect.READ
    ]
    if len(intents) > len(given):
        return f"{len(intents)} intents in {step.state}, and {len(given)} approvals of it"
    if step.started_at >= moment(str(given[-1].fields["expires"])):
        return f"the approval of {step.state} had expired at {given[-1].fields['expires']}"
    return ""


def _of(state: State, incident_id: str) -> list[AuditEntry]:
    return [row.entry for row in state.audit if row.entry.incident_id == incident_id]
