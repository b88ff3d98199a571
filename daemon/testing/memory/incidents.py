"""The incidents' part of the store in memory."""

from datetime import datetime

from daemon.domain.incidents import Incident, IncidentStatus, Key, Step, StoredRunbook, UndoItem, UndoStatus
from daemon.testing.memory.held import Held


class Incidents(Held):
    """`IncidentStore` in memory."""

    async def due_incidents(self, now: datetime, limit: int) -> list[Incident]:
        """See `IncidentStore.due_incidents`. Of any status: a latched incident has a timer too."""
        timers = [(each.due_at, each) for each in (await self._read()).incidents.values() if each.due_at is not None]
        due = sorted((timer for timer in timers if timer[0] <= now), key=lambda timer: timer[0])
        return [incident for _, incident in due][:limit]

    async def next_due(self) -> datetime | None:
        """See `IncidentStore.next_due`."""
        incidents = (await self._read()).incidents.values()
        return min((each.due_at for each in incidents if each.due_at is not None), default=None)

    async def incident(self, incident_id: str) -> Incident | None:
        """See `IncidentStore.incident`."""
        return (await self._read()).incidents.get(incident_id)

    async def incidents(self, status: IncidentStatus | None = None, limit: int = 100) -> list[Incident]:
        """See `IncidentStore.incidents`. Newest is the one stored last, whatever the clock did."""
        newest = reversed((await self._read()).incidents.values())
        return [each for each in newest if status is None or each.status is status][:limit]

    async def transients(self, key: Key, since: datetime) -> list[Incident]:
        """See `IncidentStore.transients`."""
        of_key = [each for each in (await self._read()).incidents.values() if each.transient and each.key == key]
        return [each for each in of_key if each.ended_at is not None and each.ended_at > since]

    async def current_incident(self, key: Key) -> Incident | None:
        """See `IncidentStore.current_incident`."""
        state = await self._read()
        incident_id = state.current.get(key)
        return None if incident_id is None else state.incidents[incident_id]

    async def latest_incident(self, key: Key) -> Incident | None:
        """See `IncidentStore.latest_incident`."""
        newest = reversed((await self._read()).incidents.values())
        return next((each for each in newest if each.key == key), None)

    async def alike(self, key: Key) -> list[Incident]:
        """See `IncidentStore.alike`."""
        state, same = await self._read(), (key.health_set, key.monitor)
        found = [state.incidents[by] for held, by in state.current.items() if (held.health_set, held.monitor) == same]
        return sorted(found, key=lambda each: (each.opened_at, each.id))

    async def on_server(self, server: str) -> list[Incident]:
        """See `IncidentStore.on_server`."""
        state = await self._read()
        found = [state.incidents[by] for held, by in state.current.items() if held.server == server]
        return sorted(found, key=lambda each: (each.opened_at, each.id))

    async def open_step(self, incident_id: str) -> Step | None:
        """See `IncidentStore.open_step`."""
        return (await self._read()).open_step(incident_id)

    async def steps(self, incident_id: str) -> list[Step]:
        """See `IncidentStore.steps`."""
        return (await self._read()).steps_of(incident_id)

    async def step(self, step_id: str) -> Step | None:
        """See `IncidentStore.step`."""
        return (await self._read()).steps.get(step_id)

    async def undo_items(self, incident_id: str) -> list[UndoItem]:
        """See `IncidentStore.undo_items`."""
        return [item for item in (await self._read()).undo.values() if item.incident_id == incident_id]

    async def changed_on(self, server: str) -> list[UndoItem]:
        """See `IncidentStore.changed_on`."""
        items = (await self._read()).undo.values()
        return [item for item in items if item.server == server and item.status is not UndoStatus.DONE]

    async def runbook(self, runbook_hash: str) -> StoredRunbook | None:
        """See `IncidentStore.runbook`."""
        return (await self._read()).runbooks.get(runbook_hash)
