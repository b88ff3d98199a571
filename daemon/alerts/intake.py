"""Takes messages from the bus into the store. No message is acknowledged before it is committed.

Dies before the commit: the broker sends the messages again. Dies between commit and acknowledgement: it does too, and
the store drops them by their keys. A payload that cannot be understood is stored as rejected like any other, so none
can stop the loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from daemon.alerts.payloads import Payloads
from daemon.domain.alerts import Received
from daemon.domain.deliveries import KEPT
from daemon.domain.errors import BusDown, StoreError
from daemon.domain.ports import Bus, Clock, Delivery
from daemon.domain.store import AlertStore

MAX_BATCH = 200  #: alerts in one commit, as soon as so many wait; what a commit costs is by then spread thin
STORE_RETRY = wait_exponential(min=0.5, max=30)  #: seconds between attempts while the store cannot be used

_log = structlog.get_logger("exmedic.intake")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A message ready to be stored, with its alerts. The payload is let go of, so that 200 huge ones fill no memory."""

    topic: str
    parts: tuple[Received, ...]
    ack: Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Intake:
    """The loop from bus to store. `nudge` tells the next loop that there may be pending alerts."""

    bus: Bus
    store: AlertStore
    clock: Clock
    payloads: Payloads
    nudge: Callable[[], None]
    acknowledged: int = field(default=0, init=False)  #: alerts since the start, for the ledger
    _waiting: asyncio.Queue[_Waiting] = field(default_factory=lambda: asyncio.Queue(MAX_BATCH), init=False)

    async def run(self) -> None:
        """Take in messages until cancelled. What was not committed by then is not acknowledged."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._receive(), name="intake receive")
            loops.create_task(self._commit(), name="intake commit")

    async def _receive(self) -> None:
        async for delivery in self.bus.deliveries():
            await self._waiting.put(_Waiting(delivery.topic, self._received(delivery), delivery.ack))
        raise RuntimeError("the bus ended its deliveries, which it never does by itself")

    async def _commit(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            parts = list(batch[0].parts)
            while len(parts) < MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
                parts += batch[-1].parts
            # A message is in one commit with all its alerts: none is lost or doubled when it is delivered again.
            await self._ingest(parts)
            self.nudge()
            for waiting in batch:
                await self._acknowledge(waiting)

    async def _ingest(self, batch: list[Received]) -> None:
        """Store a batch, however long that takes. Stored but reported as failed, it is stored again as duplicates."""
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(StoreError),
            wait=STORE_RETRY,
            sleep=self.clock.sleep,
            before_sleep=_log_first,
        )
        async for attempt in attempts:
            with attempt:
                await self.store.ingest(batch)
                if attempt.retry_state.attempt_number > 1:
                    _log.info("store_usable", attempts=attempt.retry_state.attempt_number)

    def _received(self, delivery: Delivery) -> tuple[Received, ...]:
        now = self.clock.now()
        parts = self.payloads.parts(delivery.topic, delivery.payload, cut=delivery.cut_from, digest=delivery.digest)
        return tuple(
            Received(
                topic=delivery.topic,
                payload=part.payload[:KEPT],
                size=delivery.cut_from or len(part.payload),
                # Of its own: once exmedic can read it, the same message is taken in when it comes again.
                dedup_key=part.dedup_key if part.alert else f"rejected:{part.dedup_key}",
                received_at=now,
                alert=part.alert,
                rejection=part.rejection,
            )
            for part in parts
        )

    async def _acknowledge(self, waiting: _Waiting) -> None:
        try:
            await waiting.ack()
        except BusDown:
            _log.debug("acknowledgement_not_sent", topic=waiting.topic)  # so the message comes again
        else:
            self.acknowledged += len(waiting.parts)


def _log_first(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        error = state.outcome.exception()
        _log.error("store_unusable", error=str(error), alerts="stay with the broker until it is usable again")
