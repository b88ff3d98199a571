"""The alerts' part of the durable store."""

from collections.abc import Sequence
from datetime import datetime

from daemon.adapters.sqlite import guard_rows, rows, writes
from daemon.adapters.sqlite.connection import Connection
from daemon.domain import store_rules
from daemon.domain.alerts import AlertStatus, Payload, Received, StoredAlert
from daemon.domain.commits import Deferred, Room
from daemon.domain.notices import Notice
from daemon.domain.values import timestamp


class Alerts(Connection):
    """`AlertStore` on SQLite."""

    _deadletter_topic: str  #: where rejected messages are sent

    async def ingest(self, batch: Sequence[Received]) -> list[StoredAlert]:
        """See `AlertStore.ingest`. The batch is one transaction, and one sync of the disk."""
        messages = [store_rules.storable(received) for received in batch]
        return await self._with(lambda connection: writes.ingest(connection, messages, self._deadletter_topic))

    async def pending_alerts(self, limit: int) -> list[StoredAlert]:
        """See `AlertStore.pending_alerts`."""
        return await self._all("pending_alerts", rows.stored_alert, limit=limit)

    async def alerts_of(self, incident_id: str) -> list[StoredAlert]:
        """See `AlertStore.alerts_of`."""
        return await self._all("alerts_of", rows.stored_alert, incident_id=incident_id)

    async def alerts(self, status: AlertStatus | None = None, limit: int = 100) -> list[StoredAlert]:
        """See `AlertStore.alerts`."""
        if status is None:
            return await self._all("newest_alerts", rows.stored_alert, limit=limit)
        return await self._all("newest_alerts_of_status", rows.stored_alert, status=status.value, limit=limit)

    async def alert(self, alert_id: int) -> StoredAlert | None:
        """See `AlertStore.alert`."""
        return await self._one("alert", rows.stored_alert, id=alert_id)

    async def payload(self, alert_id: int) -> Payload | None:
        """See `AlertStore.payload`."""
        return await self._one("payload", lambda row: Payload(row["payload"], row["size"]), id=alert_id)

    async def notices(self) -> list[Notice]:
        """See `AlertStore.notices`."""
        return await self._all("notices", guard_rows.notice)

    async def deferred(self, now: datetime, limit: int) -> list[Deferred]:
        """See `AlertStore.deferred`."""
        return await self._all("deferred", guard_rows.deferred, now=timestamp(now), limit=limit)

    async def opened(self, room: Room) -> int:
        """See `AlertStore.opened`."""
        return await self._one("opened", lambda row: int(row["count"]), **guard_rows.room_row(room)) or 0
