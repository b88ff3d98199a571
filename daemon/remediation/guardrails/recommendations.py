"""What modes observe and approve keep from being done: on record with how the server was then.

Once the server is healthy it is looked at a last time: had somebody else acted? `exmedic autonomy` tells all of it, to
help decide which servers may be given a less cautious mode.
"""

from dataclasses import replace

import structlog

from daemon.domain.commits import Commit, Progress
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.inventory import Server
from daemon.domain.kept import CarriedOut, LastLook, Recommendation, Running
from daemon.domain.ports import Clock
from daemon.domain.values import Json
from daemon.domain.verdicts import Mode
from daemon.exchange.answers import DatabaseCopies, ServerState
from daemon.exchange.client import Asker, Heard
from daemon.remediation.actions.preconditions.copies import active_here
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.guardrails.modes import class_of
from daemon.remediation.incidents.snapshot import Case

_log = structlog.get_logger("exmedic.recommendations")


def recorded(case: Case, held: Commit, mode: Mode, baseline: Json) -> Commit:
    """The commit of a hold, with what it keeps from being done; the first time counts, as it was then."""
    incident, state = held.progress.incident, case.incident.state
    known = case.incident.recommended
    if incident is None or any(would.state == state for would in known):
        return held
    action = class_of(case.state.action)
    would = Recommendation(
        state=state,
        action=case.state.action.name,
        action_class="" if action is None else action.value,
        what=case.state.action.summary.format(**case.params()),
        service=str(case.params().get("service", "")),
        mode=mode,
        first=case.now,
        baseline=baseline,
    )
    by_state = tuple(sorted((*known, would), key=lambda one: one.state))
    return replace(held, progress=replace(held.progress, incident=replace(incident, recommended=by_state)))


def acted(incident: Incident, state: str, step_id: str) -> Incident:
    """The incident once what would be done is done after all, by that step, because an operator approved it."""
    given = incident.approval
    if given is None or not given.approved:
        return incident
    done = CarriedOut(step=step_id, by=given.by, at=given.at)
    told = (replace(would, carried_out=done) if would.state == state else would for would in incident.recommended)
    return replace(incident, recommended=tuple(told))


def proven_healthy(incident: Incident) -> bool:
    """Whether the incident's monitor was found healthy at its end, or since then, which only a look shows."""
    return incident.status is IncidentStatus.RESOLVED or incident.last_look is not None


def wants_look(before: Incident, after: Incident) -> bool:
    """Whether an incident from which something was kept has just become healthy: at its end, or after it escalated."""
    resolved = after.status is IncidentStatus.RESOLVED
    # Watching lifts a latch only because the monitor was found healthy.
    lifted = before.status is after.status is IncidentStatus.ESCALATED and before.latched and not after.latched
    return (resolved or lifted) and bool(after.recommended) and after.last_look is None


async def look(context: GuardContext, ask: Asker, before: Incident) -> None:
    """Look through `ask` at a server whose incident has just become healthy, and keep what was seen with the incident.

    `before` is the incident as it was until now. After its end is committed: what cannot be read, or is lost with the
    process, is not known, and ends nothing.
    """
    incident = await context.store.incident(before.id)
    server = None if incident is None else context.inventory.find(incident.server)
    if incident is None or server is None or not wants_look(before, incident):
        return
    try:
        seen = await _seen(ask, server, incident, context.clock)
    except Exception:  # noqa: BLE001 - the incident is over: a defect here must not open its end again
        _log.exception("last_look_failed", incident=before.id)
        return
    try:
        await context.store.commit(Commit(at=seen.at, progress=Progress(incident=replace(incident, last_look=seen))))
    except Conflict:
        _log.debug("last_look_conflict", incident=before.id)


async def _seen(ask: Asker, server: Server, incident: Incident, clock: Clock) -> LastLook:
    """How the server is now; what it does not answer is left out."""
    would = incident.recommended
    services = sorted({each.service for each in would if each.service})
    step_id = f"{incident.id}-look"
    boot_time, running, active = None, None, None
    state = await ask.ask(server.name, "server_state", {"services": services}, ServerState, step_id)
    if isinstance(state, Heard):
        boot_time = state.answer.boot_time
        started = {one.name: one.started_at for one in state.answer.services if one.status.lower() == "running"}
        running = tuple(Running(service=name, since=started[name]) for name in sorted(started))
    if any("databases" in each.baseline for each in would):
        copies = await ask.about(server, "database_copies", {"server": server.name}, DatabaseCopies, step_id)
        if isinstance(copies, Heard):
            active = tuple(active_here(copies.answer))
    return LastLook(at=clock.now(), boot_time=boot_time, services=running, active=active)
