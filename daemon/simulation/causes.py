"""Shared causes in a simulation: what must be left alone for them, by the incidents and by the servers' truth."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import combinations

from daemon.domain.causes import CauseKind
from daemon.domain.incidents import Incident, IncidentStatus, Step
from daemon.lab.organisation import Machine
from daemon.remediation.guardrails.shared_cause import threshold
from daemon.simulation.world import World
from daemon.testing.memory_state import State
from statemachines.actions import ACTIONS

#: By the page: what each monitor depends on, as far as the lab has a health set for it.
_NEEDS = {
    "popdeeptestmonitor": ("AD", "Store", "DataProtection"),
    "popctpmonitor": ("AD", "Network", "Store", "DataProtection"),
}
_ONLY_MAILBOX = ("Store", "DataProtection")
#: A page tells of what escalates so long after it, however the daemon's clock is stepped.
_LONGEST_HOLD = timedelta(hours=8 + 2)
_JUST_NOW = timedelta(seconds=5)  #: opened so late, an incident was not known yet when the intent was committed


def ignored(world: World, step: Step, seen_within: timedelta) -> Iterator[str]:
    """Each cause for which a step must not have been sent. `seen_within`: as old as the facts about servers may be."""
    state, settings = world.store.contents, world.story.shared_cause
    if ACTIONS[step.action].disrupts is None:
        return
    incident = state.incidents[step.incident_id]
    age = step.started_at - incident.opened_at
    if age < timedelta(seconds=settings.settling):
        yield f"it is {age} old, and has not settled"
    known = [each for each in _current(state) if step.started_at - each.opened_at > _JUST_NOW]
    here = [each for each in known if each.server == step.server]
    least, within = threshold(len(world.inventory.servers), settings), timedelta(seconds=settings.within)
    for each in here if not _released(state, CauseKind.MONITOR, incident) else ():
        what = f"{each.monitor} ({each.health_set})"
        alike = [
            other for other in known if _same(each, other) and not _released(state, CauseKind.MONITOR, other, what)
        ]
        groups = (group for group in combinations(alike, least) if each in group)
        if any(max(_times(group)) - min(_times(group)) <= within for group in groups):
            yield f"{each.monitor} ails on {least} servers at once"
    machine = world.simulation.organisation.machines[step.server]
    needs = {name for each in (incident, *here) for name in _NEEDS.get(each.key.monitor, ())}
    since = world.simulation.timeline.now() - seen_within
    for name in sorted(needs):
        released = _released(state, CauseKind.DEPENDENCY, incident, f"(health set {name})")
        if not released and _unwell(machine, name, since):
            yield f"the health set {name} is unhealthy there"


def untold(world: World) -> Iterator[str]:
    """The escalated incidents of which no page told: neither their own, nor another's, nor a cause's shortly before."""
    incidents = world.store.contents.incidents
    for incident in incidents.values():
        if incident.status is not IncidentStatus.ESCALATED or _paged(world, incident):
            continue
        teller = incidents.get(incident.told_by)
        if teller is None or teller.server != incident.server or not _paged(world, teller):
            yield f"incident {incident.id} on {incident.server} escalated, and nobody was told"


def _paged(world: World, incident: Incident) -> bool:
    """Whether a page told of an incident: one of its own, or one of a cause not long before it."""
    pages = [body for _, body in world.pages]
    if any(f"UTC, incident {incident.id}\n" in page for page in pages):
        return True
    within, ended = timedelta(seconds=world.story.shared_cause.within), incident.ended_at
    told = [(each.told_at, each.named) for each in world.store.contents.causes.values() if each.told_at is not None]
    listed = any(f"\n- {incident.server}\n" in page for page in pages)
    fresh = (at for at, named in told if incident.server in named and incident.opened_at <= at + within)
    return listed and any(ended is not None and ended - at <= within + _LONGEST_HOLD for at in fresh)


def _current(state: State) -> list[Incident]:
    found = [each for each in map(state.incidents.__getitem__, state.current.values()) if each.runbook]
    return [each for each in found if not _comes_and_goes(state, each)]


def _comes_and_goes(state: State, incident: Incident) -> bool:
    """Whether its monitor was found healthy at the first look twice within the day before, and this time as well."""
    day = incident.opened_at - timedelta(days=1)
    gone = (each.transient and each.ended_at and each.ended_at > day for each in _of_key(state, incident))
    return sum(map(bool, gone)) > 1 and not any(each.outcome == "unhealthy" for each in state.steps_of(incident.id))


def _of_key(state: State, incident: Incident) -> Iterator[Incident]:
    return (each for each in state.incidents.values() if each.key == incident.key)


def _same(one: Incident, other: Incident) -> bool:
    return (one.key.health_set, one.key.monitor) == (other.key.health_set, other.key.monitor)


def _times(group: tuple[Incident, ...]) -> list[datetime]:
    return [each.opened_at for each in group]


def _released(state: State, kind: CauseKind, incident: Incident, what: str = "") -> bool:
    same = (each for each in state.causes.values() if each.kind is kind and each.what.lower().endswith(what.lower()))
    return any(each.frees(incident.id) for each in same)


def _unwell(machine: Machine, health_set: str, since: datetime) -> bool:
    """Whether its monitors have been saying so for a while; on a server without the role nobody asks."""
    if health_set in _ONLY_MAILBOX and not machine.mailbox:
        return False
    rows = (each for each in machine.monitors if each.health_set == health_set)
    return any(each.value == "Unhealthy" and each.last_transition < since for each in rows)
