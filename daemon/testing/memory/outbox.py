"""The outbox's part of the store in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from daemon.domain.commits import Channel, OutboxRow
from daemon.testing.memory.held import Held
from daemon.testing.memory_state import State


class Outbox(Held):
    """`OutboxStore` in memory."""

    async def outbox(self, channel: Channel, limit: int) -> list[OutboxRow]:
        """See `OutboxStore.outbox`."""
        return [row for row in (await self._read()).outbox.values() if row.message.channel is channel][:limit]

    async def outbox_delivered(self, seqs: Sequence[int]) -> None:
        """See `OutboxStore.outbox_delivered`. The rows are deleted, their numbers never used again."""

        def forget(state: State) -> None:
            for seq in seqs:
                state.outbox.pop(seq, None)

        await self._change(forget)

    async def outbox_retry(self, seq: int, due_at: datetime) -> None:
        """See `OutboxStore.outbox_retry`."""

        def postpone(state: State) -> None:
            if seq in state.outbox:
                row = state.outbox[seq]
                state.outbox[seq] = replace(row, attempts=row.attempts + 1, due_at=due_at.astimezone(UTC))

        await self._change(postpone)
