"""A last look at a server that a mode kept exmedic from acting on, once it is healthy: had somebody else acted?"""

from dataclasses import replace

import structlog

from daemon.domain.commits import Commit
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident
from daemon.domain.inventory import Server
from daemon.domain.values import Json, timestamp
from daemon.exchange.answers import DatabaseCopies, ServerState
from daemon.exchange.client import Heard
from daemon.gates.copies import active_here
from daemon.parts import Parts
from daemon.would import LOOK, WOULD, wants_look

_log = structlog.get_logger("exmedic.afterwards")


async def look(parts: Parts, before: Incident) -> None:
    """Look at a server whose incident has just become healthy, and keep what was seen with the incident.

    `before` is the incident as it was until now. After its end is committed: what cannot be read, or is lost with the
    process, is not known, and ends nothing.
    """
    incident = await parts.store.incident(before.id)
    server = None if incident is None else parts.inventory.find(incident.server)
    if incident is None or server is None or not wants_look(before, incident):
        return
    try:
        seen = await _seen(parts, server, incident)
    except Exception:  # noqa: BLE001 - the incident is over: a defect here must not open its end again
        _log.exception("the look at a healthy server failed", incident=before.id)
        return
    now = parts.clock.now()
    fresh = replace(incident, facts={**incident.facts, LOOK: {**seen, "at": timestamp(now)}})
    try:
        await parts.store.commit(Commit(at=now, incident=fresh))
    except Conflict:
        _log.debug("moved on before the look was kept", incident=before.id)


async def _seen(parts: Parts, server: Server, incident: Incident) -> Json:
    would = incident.facts[WOULD].values()
    services = sorted({each["service"] for each in would if each["service"]})
    ask = await parts.asker(server.name, [])
    step_id, seen = f"{incident.id}-look", dict[str, object]()
    state = await ask.ask(server.name, "server_state", {"services": services}, ServerState, step_id)
    if isinstance(state, Heard):
        started = {one.name: one.started_at for one in state.answer.services if one.status.lower() == "running"}
        seen["boot_time"] = timestamp(state.answer.boot_time)
        seen["services"] = {name: None if at is None else timestamp(at) for name, at in started.items()}
    if any("databases" in each["baseline"] for each in would):
        copies = await ask.about(server, "database_copies", {"server": server.name}, DatabaseCopies, step_id)
        if isinstance(copies, Heard):
            seen["active"] = active_here(copies.answer)
    return seen
