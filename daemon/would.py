"""What modes observe and approve keep from being done: on record with how the server was then. Pure.

It is what `exmedic autonomy` tells, to help decide which servers may be given a less cautious mode.
"""

from dataclasses import replace

from daemon.case import Case
from daemon.domain.commits import Commit
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.values import Json, timestamp
from daemon.domain.verdicts import Mode
from daemon.gates.modes import class_of

WOULD = ".would"  #: among an incident's facts: what would be done, by the state that would do it
LOOK = ".look"  #: ... and how the server was when it was healthy again


def recorded(case: Case, held: Commit, mode: Mode, baseline: Json) -> Commit:
    """The commit of a hold, with what it keeps from being done; the first time counts, as it was then."""
    incident, state = held.incident, case.incident.state
    known = case.incident.facts.get(WOULD, {})
    if incident is None or state in known:
        return held
    action = class_of(case.state.action)
    would: Json = {
        "action": case.state.action.name,
        "class": "" if action is None else action.value,
        "what": case.state.action.summary.format(**case.params()),
        "service": str(case.params().get("service", "")),
        "mode": mode.value,
        "first": timestamp(case.now),
        "baseline": baseline,
    }
    return replace(held, incident=replace(incident, facts={**incident.facts, WOULD: {**known, state: would}}))


def acted(incident: Incident, state: str, step_id: str, answer: Json) -> Incident:
    """The incident once what would be done is done after all, by that step, because an operator approved it."""
    known = incident.facts.get(WOULD, {})
    if state not in known or not answer.get("approved"):
        return incident
    told = {"step": step_id, "by": answer["by"], "at": answer["at"]}
    would = {**known, state: {**known[state], "approval": told}}
    return replace(incident, facts={**incident.facts, WOULD: would})


def proven_healthy(incident: Incident) -> bool:
    """Whether the incident's monitor was found healthy at its end, or since then, which only a look shows."""
    return incident.status is IncidentStatus.RESOLVED or LOOK in incident.facts


def wants_look(before: Incident, after: Incident) -> bool:
    """Whether an incident from which something was kept has just become healthy: at its end, or after it escalated."""
    resolved = after.status is IncidentStatus.RESOLVED
    # Watching lifts a latch only because the monitor was found healthy.
    lifted = before.status is after.status is IncidentStatus.ESCALATED and before.latched and not after.latched
    return (resolved or lifted) and WOULD in after.facts and LOOK not in after.facts
