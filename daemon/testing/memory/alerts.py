"""The alerts' part of the store in memory."""

from collections.abc import Sequence
from datetime import datetime

from daemon.domain import store_rules
from daemon.domain.alerts import AlertStatus, Payload, Received, StoredAlert
from daemon.domain.commits import Deferred, Room
from daemon.domain.notices import Notice
from daemon.testing import memory_state
from daemon.testing.memory.held import Held


class Alerts(Held):
    """`AlertStore` in memory."""

    _deadletter_topic: str  #: where rejected messages are sent

    async def ingest(self, batch: Sequence[Received]) -> list[StoredAlert]:
        """See `AlertStore.ingest`."""
        messages = [store_rules.storable(received) for received in batch]
        return await self._change(lambda state: memory_state.ingest(state, messages, self._deadletter_topic))

    async def pending_alerts(self, limit: int) -> list[StoredAlert]:
        """See `AlertStore.pending_alerts`."""
        state = await self._read()
        return [alert for alert in state.alerts.values() if alert.status is AlertStatus.PENDING][:limit]

    async def alerts_of(self, incident_id: str) -> list[StoredAlert]:
        """See `AlertStore.alerts_of`."""
        joined = [alert for alert in (await self._read()).alerts.values() if alert.status is AlertStatus.JOINED]
        return [alert for alert in joined if alert.incident_id == incident_id]

    async def alerts(self, status: AlertStatus | None = None, limit: int = 100) -> list[StoredAlert]:
        """See `AlertStore.alerts`."""
        newest = reversed((await self._read()).alerts.values())
        return [each for each in newest if status is None or each.status is status][:limit]

    async def alert(self, alert_id: int) -> StoredAlert | None:
        """See `AlertStore.alert`."""
        return (await self._read()).alerts.get(alert_id)

    async def payload(self, alert_id: int) -> Payload | None:
        """See `AlertStore.payload`."""
        return (await self._read()).payloads.get(alert_id)

    async def notices(self) -> list[Notice]:
        """See `AlertStore.notices`."""
        found = (await self._read()).notices.values()
        return sorted(found, key=lambda each: (each.since, each.kind, each.about))

    async def deferred(self, now: datetime, limit: int) -> list[Deferred]:
        """See `AlertStore.deferred`."""
        due = [each for each in (await self._read()).deferred.values() if each.not_before <= now]
        due.sort(key=lambda each: (each.not_before, each.key.server, each.key.health_set, each.key.monitor))
        return due[:limit]

    async def opened(self, room: Room) -> int:
        """See `AlertStore.opened`."""
        return (await self._read()).opened_in(room)
