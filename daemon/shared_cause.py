"""Whether a disruptive effect waits: because many servers have the same problem, or because it is too early to know.

Found out afresh each time, from the incidents themselves: a crash or a restart forgets nothing, and it is over by
itself when enough of them have ended.
"""

from daemon.case import Case
from daemon.domain import Incident
from daemon.gates import Hold
from daemon.gates import shared_cause as gates
from daemon.inventory import Server
from daemon.parts import Parts


async def held(parts: Parts, case: Case, _server: Server) -> Hold | None:
    """The same monitor ails on several servers, or its incident is too young to tell. Reading and settings go on."""
    if case.state.action.disrupts is None:
        return None
    settings, timing = parts.settings.shared_cause, parts.settings.timing
    hold = await found(parts, case.incident)
    return hold or gates.unsettled(case.incident.opened_at, case.now, settings, timing)


async def found(parts: Parts, incident: Incident) -> Hold | None:
    """The hold of the cause that an incident shares with others; those that an operator has released share none."""
    settings, timing = parts.settings.shared_cause, parts.settings.timing
    alike = await parts.store.alike(incident.key)
    hold = gates.shared(incident, alike, parts.inventory, settings, timing)
    if hold is None or hold.found is None:
        return None
    released = await parts.store.released(hold.found.kind, hold.found.what)
    if released is None:
        return hold
    later = [each for each in alike if each.opened_at > released]
    return gates.shared(incident, later, parts.inventory, settings, timing)
