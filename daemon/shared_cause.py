"""Whether a disruptive effect waits: because one cause is likelier than many, or because it is too early to know.

Found out afresh each time, from the incidents themselves: a crash or a restart forgets nothing, and it is over by
itself when enough of them have ended. What holds one incident of a server holds all of them: a restart for one monitor
is no safer than for its neighbour.
"""

from daemon.case import Case
from daemon.domain.causes import CauseKind
from daemon.domain.incidents import Incident
from daemon.domain.inventory import Server
from daemon.domain.verdicts import Hold
from daemon.gates import shared_cause as gates
from daemon.gates.dependencies import dependency
from daemon.gates.facts import Dependency
from daemon.parts import Parts
from statemachines.model import Need


async def held(parts: Parts, case: Case, _server: Server) -> Hold | None:
    """A monitor of the server ails on others too, or the incident is too young to tell. Reading and settings go on."""
    if case.state.action.disrupts is None:
        return None
    if hold := await of_many(parts, case.incident):
        return hold
    return gates.unsettled(case.incident.opened_at, case.now, parts.settings.shared_cause, parts.settings.timing)


async def of_many(parts: Parts, incident: Incident) -> Hold | None:
    """The hold of a cause that the server of an incident shares with others, unless an operator has freed it."""
    hold = None
    for each in await _with_ladders(parts, incident):
        hold = hold or await _found(parts, each)
    if hold is None:
        return None
    known = await parts.store.causes_of([incident.id])
    freed = any(each.kind is CauseKind.MONITOR and each.frees(incident.id) for each in known)
    return None if freed else hold


async def _found(parts: Parts, incident: Incident) -> Hold | None:
    """The hold of the cause that an incident shares with others; those that were released from it do not count."""
    settings, timing = parts.settings.shared_cause, parts.settings.timing
    alike = await parts.store.alike(incident.key)
    hold = gates.shared(incident, alike, parts.inventory, settings, timing)
    if hold is None or hold.found is None:
        return None
    known = await parts.store.causes_of([each.id for each in alike])
    released = [each for each in known if each.same(hold.found.kind, hold.found.what)]
    held = [each for each in alike if not any(cause.frees(each.id) for cause in released)]
    return gates.shared(incident, held, parts.inventory, settings, timing)


async def dependencies(parts: Parts, case: Case, server: Server) -> tuple[Dependency, ...]:
    """What the ailing monitors of a server depend on, by their runbooks; asked before what disrupts."""
    if case.state.action.disrupts is None:
        return ()
    names: dict[Need, None] = {}
    for incident in await _with_ladders(parts, case.incident):
        definition = (await parts.ladders.of(incident)).definition
        handled = definition.handled(incident.health_set, incident.monitor)
        names.update(dict.fromkeys(handled.depends_on if handled else ()))
    return tuple([await _dependency(parts, case.incident, server, name) for name in names])


async def _dependency(parts: Parts, incident: Incident, server: Server, name: Need) -> Dependency:
    about = dependency(name, server, parts.settings.dependencies)
    for cause in await parts.store.causes_of([incident.id]):
        if cause.same(CauseKind.DEPENDENCY, str(about)) and cause.frees(incident.id):
            return Dependency(name=name, noted=f"cause {cause.id} was released by {cause.ended_by}")
    return about


async def _with_ladders(parts: Parts, incident: Incident) -> list[Incident]:
    """An incident, and the others that hold the keys of its server and have a ladder."""
    others = await parts.store.on_server(incident.key.server)
    return [incident, *(each for each in others if each.runbook and each.id != incident.id)]
