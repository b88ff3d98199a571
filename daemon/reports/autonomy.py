"""How it turned out where a mode kept exmedic from acting, or made it ask: what `exmedic autonomy` reports. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from daemon.domain.incidents import Incident, IncidentStatus, Step, StepStatus
from daemon.domain.kept import LastLook, Recommendation
from daemon.domain.values import Json, moment
from daemon.exchange.editions import brings_databases_home
from daemon.remediation.guardrails.recommendations import proven_healthy
from daemon.remediation.incidents.snapshot import VERIFYING
from statemachines.actions import Effect

_DRIFT = timedelta(minutes=1)  #: Windows reckons its boot time from its clock, so it moves a little with it


class How(StrEnum):
    """How one rung turned out."""

    SAME = "somebody did the same, healthy"
    WITHOUT = "healed without it"
    APPROVED = "approved, healthy"
    IN_VAIN = "approved, not healthy"
    UNKNOWN = "not known"
    OPEN = "still open"


_UNSEEN = (How.UNKNOWN, "nothing shows whether somebody did it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One rung of one incident. `why` is one sentence with what decided."""

    incident: str
    server: str
    runbook: str
    state: str
    what: str
    mode: str
    how: How
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """All of one rung in one mode."""

    runbook: str
    state: str
    what: str
    mode: str
    counts: Counter[How]


def judged(incident: Incident, steps: Sequence[Step]) -> list[Judged]:
    """How each rung of an incident that would have been done, or was done because it was approved, turned out."""
    found = []
    for would in incident.recommended:
        how, why = _judge(incident, steps, would)
        about = {"runbook": incident.runbook, "state": would.state, "what": would.what, "mode": would.mode.value}
        found.append(Judged(incident=incident.id, server=incident.server, how=how, why=why, **about))
    return found


def rungs(found: Iterable[Judged]) -> list[Rung]:
    """Summed up by runbook, state and mode, in the order of the first of each."""
    sums: dict[tuple[str, str, str, str], Counter[How]] = {}
    for one in found:
        sums.setdefault((one.runbook, one.state, one.what, one.mode), Counter())[one.how] += 1
    return [
        Rung(runbook=runbook, state=state, what=what, mode=mode, counts=counts)
        for (runbook, state, what, mode), counts in sums.items()
    ]


def _judge(incident: Incident, steps: Sequence[Step], would: Recommendation) -> tuple[How, str]:
    if would.carried_out is not None:
        return _of_approved(incident, steps, would.carried_out.step)
    if incident.status is IncidentStatus.OPEN:
        return How.OPEN, f"it is in {incident.state}"
    if not proven_healthy(incident):
        return How.UNKNOWN, f"it is {incident.status.value}, and not found healthy since"
    own = [step for step in steps if _sent(step) and step.started_at > would.first]
    if own:
        return How.UNKNOWN, f"exmedic itself did something afterwards: {own[0].action}"
    return _UNSEEN if incident.last_look is None else _by_evidence(would, incident.last_look)


def _sent(step: Step) -> bool:
    return step.effect is Effect.DISRUPTIVE and bool(step.executor) and step.status is not StepStatus.WITHDRAWN


def _of_approved(incident: Incident, steps: Sequence[Step], step_id: str) -> tuple[How, str]:
    """By the next verification after it; where the next rung came first, by how the incident ended."""
    step = next((one for one in steps if one.id == step_id), None)
    if step is None or step.status is StepStatus.WITHDRAWN:
        return How.UNKNOWN, "what was approved was not done after all"
    if step.status is StepStatus.OPEN or step.outcome == "unknown":
        return How.UNKNOWN, f"what became of {step.action} is not known"
    if step.outcome != "done":
        return How.IN_VAIN, f"{step.action}: {step.outcome}: {step.detail}"
    for later in (one for one in steps if one.number > step.number):
        if _sent(later):
            break
        if later.action in VERIFYING and later.status is StepStatus.DONE:
            how = {"healthy": How.APPROVED, "unhealthy": How.IN_VAIN}.get(later.outcome, How.UNKNOWN)
            return how, f"{later.state} afterwards: {later.outcome}"
    if incident.status is IncidentStatus.OPEN:
        return How.OPEN, f"it is in {incident.state}"
    resolved = incident.status is IncidentStatus.RESOLVED
    return (How.APPROVED if resolved else How.IN_VAIN), f"the incident is {incident.status.value}"


def _by_evidence(would: Recommendation, look: LastLook) -> tuple[How, str]:
    """What had changed on the server when it was healthy again, all on its own clock."""
    baseline = would.baseline
    match would.action_class:
        case "restart" if look.boot_time is not None:
            return _service(would.service, baseline, look, look.boot_time)
        case "reboot" if look.boot_time is not None:
            before, after = moment(str(baseline["boot_time"])), look.boot_time
            told = f"it booted at {before:%Y-%m-%d %H:%M} before, and at {after:%Y-%m-%d %H:%M} afterwards"
            return (How.SAME if after > before + _DRIFT else How.WITHOUT), told
        case "move" if look.active is not None and baseline["databases"]:
            left = sorted(set(baseline["databases"]) & set(look.active))
            told = f"of {len(baseline['databases'])} databases that were active there {len(left)} are afterwards"
            if not left and brings_databases_home(baseline.get("version", "")):
                return How.UNKNOWN, f"{told}; they may have gone home by themselves (PreferenceMoveFrequency)"
            return (How.WITHOUT if left else How.SAME), told
        case _:
            return _UNSEEN


def _service(name: str, baseline: Json, look: LastLook, booted: datetime) -> tuple[How, str]:
    before = moment(str(baseline["started_at"] or baseline["clock"]))
    services = {one.service.lower(): one.since for one in look.services or ()}
    after = services.get(name.lower())
    if after is None:
        return How.UNKNOWN, f"{name} did not run, or its start could not be read"
    if booted > moment(str(baseline["clock"])):
        # More than would have been done: whether the restart alone had helped, nobody knows.
        return How.UNKNOWN, "the server was rebooted meanwhile, not by exmedic"
    told = f"{name} ran since {before:%Y-%m-%d %H:%M} before, and since {after:%Y-%m-%d %H:%M} afterwards"
    return (How.SAME if after > before else How.WITHOUT), told
