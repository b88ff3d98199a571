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

from daemon.alerts.payloads import Rejected, payload_key, understand
from daemon.config.settings import BusSettings
from daemon.config.topics import overlap
from daemon.domain.alerts import Received, Source
from daemon.domain.errors import BusDown, StoreError
from daemon.domain.ports import Bus, Clock, Delivery
from daemon.domain.store import AlertStore

MAX_BATCH = 200  #: messages in one commit; what a commit costs is by then spread thin
STORED_PAYLOAD = 64 * 1024  #: bytes kept of a payload, enough to see what it was meant to be
STORE_RETRY = wait_exponential(min=0.5, max=30)  #: seconds between attempts while the store cannot be used

_log = structlog.get_logger("exmedic.intake")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A message ready to be stored. The whole payload is let go of, so that 200 huge ones do not fill the memory."""

    received: Received
    ack: Callable[[], Awaitable[None]]


def source_of(topic: str, settings: BusSettings) -> Source | None:
    """The payload form of a topic, by the topic filters; None when it fits neither."""
    filters = {Source.SCOM: settings.scom, Source.NATIVE: settings.native}
    return next((source for source, topic_filter in filters.items() if overlap(topic_filter, topic)), None)


@dataclass(slots=True, kw_only=True)
class Intake:
    """The loop from bus to store. `nudge` tells the next loop that there may be pending alerts."""

    bus: Bus
    store: AlertStore
    clock: Clock
    settings: BusSettings
    nudge: Callable[[], None]
    acknowledged: int = field(default=0, init=False)  #: messages since the start, for the ledger
    _waiting: asyncio.Queue[_Waiting] = field(default_factory=lambda: asyncio.Queue(MAX_BATCH), init=False)

    async def run(self) -> None:
        """Take in messages until cancelled. What was not committed by then is not acknowledged."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._receive(), name="intake receive")
            loops.create_task(self._commit(), name="intake commit")

    async def _receive(self) -> None:
        async for delivery in self.bus.deliveries():
            await self._waiting.put(_Waiting(self._received(delivery), delivery.ack))
        raise RuntimeError("the bus ended its deliveries, which it never does by itself")

    async def _commit(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._ingest([waiting.received for waiting in batch])
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

    def _received(self, delivery: Delivery) -> Received:
        source = source_of(delivery.topic, self.settings)
        alert, rejection, key = None, "", ""
        try:
            if source is None:
                rejection = f"the topic {delivery.topic} fits neither bus.scom nor bus.native"
            else:
                understood = understand(source, delivery.payload)
                alert, key = understood.alert, understood.dedup_key
        except Rejected as error:
            rejection = str(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not be raised, see below
            # It would stop the daemon now and again at each redelivery, for ever. So it becomes a dead letter.
            _log.exception("payload_unreadable", topic=delivery.topic)
            rejection = f"exmedic failed to read it ({type(error).__name__}); please report this"
        return Received(
            topic=delivery.topic,
            payload=delivery.payload[:STORED_PAYLOAD],
            size=len(delivery.payload),
            dedup_key=key or payload_key(source or "other", delivery.payload),
            received_at=self.clock.now(),
            alert=alert,
            rejection=rejection,
        )

    async def _acknowledge(self, waiting: _Waiting) -> None:
        try:
            await waiting.ack()
        except BusDown:
            _log.debug("acknowledgement_not_sent", topic=waiting.received.topic)  # so the message comes again
        else:
            self.acknowledged += 1


def _log_first(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        error = state.outcome.exception()
        _log.error("store_unusable", error=str(error), alerts="stay with the broker until it is usable again")
