"""A bus in memory with a broker's semantics: a session that keeps what is not acknowledged, retained messages, outages.

The contract suite of the bus holds it together with a real broker.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from daemon.config.topics import overlap, pause_topic
from daemon.domain.deliveries import delivered
from daemon.domain.errors import BusDown
from daemon.domain.ports import Delivery, Outage

_PAUSES = f"{pause_topic('exmedic')}/#"


@dataclass(frozen=True, slots=True)
class Published:
    """A message the broker took from the bus."""

    topic: str
    payload: bytes
    retain: bool


class MemoryBus:
    """`ports.Bus` with a broker inside. A test publishes as others do with `inject`, and cuts it with `go_down`.

    `published` holds what the bus published, in order; `retained` the last retained payload by topic; `unacknowledged`
    how many messages the broker still holds for us.
    """

    def __init__(
        self, filters: tuple[str, ...] = ("alerts/scom/#", "alerts/exmedic/#"), max_payload: int = 1024 * 1024
    ) -> None:
        self._most = max_payload
        self.published: list[Published] = []
        self.retained: dict[str, bytes] = {}
        self._filters = filters
        self._session: dict[int, tuple[str, bytes, bool]] = {}  # not acknowledged, in order
        self._number = 0
        self._connection = 1  # counts up; an acknowledgement of an earlier one means nothing
        self._up = True
        self._queue = _Queue()
        self.takeovers = 0
        self.fresh_sessions = 0
        self._pauses = _Queue()

    @property
    def connected(self) -> bool:
        """Whether the session is up and subscribed now."""
        return self._up

    @property
    def outage(self) -> Outage | None:
        """See `ports.Bus.outage`."""
        return None if self._up else Outage(seconds=0.0, reason="the memory bus is down")

    @property
    def unacknowledged(self) -> int:
        """Messages that come again at the next connection."""
        return len(self._session)

    def deliveries(self) -> AsyncIterator[Delivery]:
        """See `ports.Bus.deliveries`."""
        return self._queue

    def pauses(self) -> AsyncIterator[Delivery]:
        """See `ports.Bus.pauses`."""
        return self._pauses

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """See `ports.Bus.publish`."""
        if not self._up:
            raise BusDown("the memory bus is down")
        self.published.append(Published(topic, payload, retain))
        self._broker_takes(topic, payload, retain=retain)

    def inject(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish as somebody else does: kept for us while we are down."""
        self._broker_takes(topic, payload if isinstance(payload, bytes) else payload.encode(), retain=retain)

    def go_down(self) -> None:
        """Lose the connection."""
        self._up = False
        self._queue.waiting.clear()

    def go_up(self) -> None:
        """Connect again: what was not acknowledged comes again, in order, before anything new."""
        self._up = True
        self._connection += 1
        for number, (topic, payload, retained) in self._session.items():
            self._deliver(number, topic, payload, retained=retained)

    def _broker_takes(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if retain:
            self.retained[topic] = payload
            if not payload:
                del self.retained[topic]
        if any(overlap(each, topic) for each in (*self._filters, _PAUSES)):
            self._number += 1
            self._session[self._number] = (topic, payload, retain)
            if self._up:
                self._deliver(self._number, topic, payload, retained=retain)

    def _deliver(self, number: int, topic: str, payload: bytes, *, retained: bool) -> None:
        acknowledge = self._acknowledgement(number, self._connection)
        queue = self._pauses if overlap(_PAUSES, topic) else self._queue
        queue.put(delivered(topic, payload, acknowledge, retained=retained, most=self._most))

    def _acknowledgement(self, number: int, connection: int) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            if self._up and connection == self._connection:
                self._session.pop(number, None)

        return acknowledge


class _Queue(AsyncIterator[Delivery]):
    """Not a generator, so that a consumer may cancel one wait and go on."""

    def __init__(self) -> None:
        self.waiting: deque[Delivery] = deque()
        self._arrived = asyncio.Event()

    def put(self, delivery: Delivery) -> None:
        self.waiting.append(delivery)
        self._arrived.set()

    async def __anext__(self) -> Delivery:
        while not self.waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self.waiting.popleft()
