"""The incidents' part of the durable store."""

from datetime import datetime

from daemon.adapters.sqlite import rows
from daemon.adapters.sqlite.connection import Connection
from daemon.domain.incidents import Incident, IncidentStatus, Key, Step, StoredRunbook, UndoItem
from daemon.domain.values import moment, timestamp


class Incidents(Connection):
    """`IncidentStore` on SQLite."""

    async def due_incidents(self, now: datetime, limit: int) -> list[Incident]:
        """See `IncidentStore.due_incidents`. Of any status: a latched incident has a timer too."""
        return await self._all("due_incidents", rows.incident, now=timestamp(now), limit=limit)

    async def next_due(self) -> datetime | None:
        """See `IncidentStore.next_due`."""
        found = await self._one("next_due", lambda row: row["due_at"])
        return None if found is None else moment(found)

    async def incident(self, incident_id: str) -> Incident | None:
        """See `IncidentStore.incident`."""
        return await self._one("incident", rows.incident, id=incident_id)

    async def incidents(self, status: IncidentStatus | None = None, limit: int = 100) -> list[Incident]:
        """See `IncidentStore.incidents`. Newest is the one stored last, whatever the clock did."""
        if status is None:
            return await self._all("incidents", rows.incident, limit=limit)
        return await self._all("incidents_of_status", rows.incident, status=status.value, limit=limit)

    async def transients(self, key: Key, since: datetime) -> list[Incident]:
        """See `IncidentStore.transients`."""
        place = {"server": key.server, "health_set": key.health_set, "monitor": key.monitor}
        return await self._all("transients", rows.incident, **place, since=timestamp(since))

    async def current_incident(self, key: Key) -> Incident | None:
        """See `IncidentStore.current_incident`."""
        return await self._one(
            "current_incident", rows.incident, server=key.server, health_set=key.health_set, monitor=key.monitor
        )

    async def latest_incident(self, key: Key) -> Incident | None:
        """See `IncidentStore.latest_incident`."""
        place = {"server": key.server, "health_set": key.health_set, "monitor": key.monitor}
        return await self._one("latest_incident", rows.incident, **place)

    async def alike(self, key: Key) -> list[Incident]:
        """See `IncidentStore.alike`."""
        return await self._all("alike", rows.incident, health_set=key.health_set, monitor=key.monitor)

    async def on_server(self, server: str) -> list[Incident]:
        """See `IncidentStore.on_server`."""
        return await self._all("on_server", rows.incident, server=server)

    async def open_step(self, incident_id: str) -> Step | None:
        """See `IncidentStore.open_step`."""
        return await self._one("open_step", rows.step, incident_id=incident_id)

    async def steps(self, incident_id: str) -> list[Step]:
        """See `IncidentStore.steps`."""
        return await self._all("steps", rows.step, incident_id=incident_id)

    async def step(self, step_id: str) -> Step | None:
        """See `IncidentStore.step`."""
        return await self._one("step", rows.step, id=step_id)

    async def undo_items(self, incident_id: str) -> list[UndoItem]:
        """See `IncidentStore.undo_items`."""
        return await self._all("undo_items", rows.undo_item, incident_id=incident_id)

    async def changed_on(self, server: str) -> list[UndoItem]:
        """See `IncidentStore.changed_on`."""
        return await self._all("changed_on", rows.undo_item, server=server)

    async def runbook(self, runbook_hash: str) -> StoredRunbook | None:
        """See `IncidentStore.runbook`."""
        return await self._one("runbook", rows.runbook, hash=runbook_hash)
