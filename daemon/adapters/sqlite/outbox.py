"""The outbox's part of the durable store."""

from collections.abc import Sequence
from datetime import datetime

from daemon.adapters.sqlite import rows
from daemon.adapters.sqlite.connection import Connection
from daemon.domain.commits import Channel, OutboxRow
from daemon.domain.values import timestamp


class Outbox(Connection):
    """`OutboxStore` on SQLite."""

    async def outbox(self, channel: Channel, limit: int) -> list[OutboxRow]:
        """See `OutboxStore.outbox`."""
        return await self._all("outbox", rows.outbox_row, channel=channel.value, limit=limit)

    async def outbox_delivered(self, seqs: Sequence[int]) -> None:
        """See `OutboxStore.outbox_delivered`. The rows are deleted, their numbers never used again."""
        await self._write("outbox_delivered", [{"seq": seq} for seq in seqs])

    async def outbox_retry(self, seq: int, due_at: datetime) -> None:
        """See `OutboxStore.outbox_retry`."""
        await self._write("outbox_retry", [{"seq": seq, "due_at": timestamp(due_at)}])
