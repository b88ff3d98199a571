"""The alert bus over MQTT 5: its connections, one after the other, and what arrives on them."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable

import structlog
from aiomqtt import Will
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from daemon.adapters.mqtt.client import new_client
from daemon.adapters.mqtt.connection import Connection, LostError
from daemon.adapters.mqtt.refusals import TAKEN_OVER, todo
from daemon.config.settings import BusSettings, Secret
from daemon.config.topics import overlap, pause_topic
from daemon.domain.errors import BusDown, ExmedicError
from daemon.domain.ports import Delivery, Outage

_STABLE = 10.0  #: seconds; a connection that lasted less is a failed attempt, so that its successor waits

_log = structlog.get_logger("exmedic.mqtt")


class _Deliveries(AsyncIterator[Delivery]):
    """Not a generator: cancelling a wait, as a consumer with a time-out does, would end a generator for good."""

    def __init__(self, queue: asyncio.Queue[Delivery]) -> None:
        self._queue = queue

    async def __anext__(self) -> Delivery:
        return await self._queue.get()


class MqttBus:
    """`ports.Bus` on an MQTT 5 broker, QoS 1 both ways, with a persistent session under a fixed client id.

    `run` keeps the connection; run it as one task of the daemon. Messages that are not acknowledged stay with the
    broker for `session_expiry` seconds and come again at the next connection, duplicates included.
    """

    def __init__(self, settings: BusSettings, read_secret: Callable[[Secret], str]) -> None:
        self._settings = settings
        self._read_secret = read_secret
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._pauses: asyncio.Queue[Delivery] = asyncio.Queue()
        self._connection: Connection | None = None
        self._refused: set[str] = set()
        self._down_since: float | None = time.monotonic()
        self._down = LostError("it was not reached yet")
        self._told: str | None = None  # the `todo` of this outage that is in the log
        self._own = secrets.token_hex(8).encode()
        self._served = False  # whether there was a connection before
        self.takeovers = 0
        self.fresh_sessions = 0

    @property
    def connected(self) -> bool:
        """Whether the session is up and subscribed now."""
        return self._connection is not None and self._connection.subscribed

    @property
    def outage(self) -> Outage | None:
        """See `ports.Bus.outage`."""
        if self.connected or self._down_since is None:
            return None
        seconds = time.monotonic() - self._down_since
        return Outage(seconds=seconds, reason=f"the broker at {self._place}: {self._down}", todo=self._down.todo)

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Every message of the subscriptions, across reconnections. A wait that is cancelled loses none."""
        return _Deliveries(self._queue)

    def pauses(self) -> AsyncIterator[Delivery]:
        """See `ports.Bus.pauses`. What was not taken when a connection is lost is not forgotten: twice is harmless."""
        return _Deliveries(self._pauses)

    def _take(self, delivery: Delivery) -> None:
        is_pause = overlap(f"{pause_topic(self._settings.prefix)}/#", delivery.topic)
        (self._pauses if is_pause else self._queue).put_nowait(delivery)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1; returns when the broker has acknowledged.

        Raises:
            BusDown: not connected, refused, or not acknowledged; in the last case it may have been published.
        """
        if self._connection is None:
            raise BusDown(f"the broker at {self._place} is not connected")
        await self._connection.publish(topic, payload, retain=retain)

    async def run(self) -> None:
        """Keep a connection, for ever. Cancelling it says "offline" and closes it orderly."""
        while True:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(LostError),
                wait=wait_exponential_jitter(multiplier=0.2, max=30, jitter=1),
            ):
                with attempt:
                    await self._connect_once()

    async def _connect_once(self) -> None:
        """Hold one connection to its end. Returns if it was stable, so that the waits begin anew.

        Raises:
            LostError: it failed, or ended soon.
        """
        connection: Connection | None = None
        began = time.monotonic()
        try:
            connection = self._new_connection()
            await connection.open()
            self.fresh_sessions += not connection.session_present
            self._connection = connection
            began = time.monotonic()
            await connection.serve(self._log_up)
        except (LostError, ExmedicError, OSError) as error:  # the last two: a certificate or password file
            lost = error if isinstance(error, LostError) else LostError(str(error))
            self._log_down(lost)
            if self._connection is None or time.monotonic() - began < _STABLE:
                raise lost from error
        finally:
            if connection is not None and self._connection is connection:
                self._served = True
                await connection.close()
            self._connection = None
            self._forget_unacknowledged()

    def _new_connection(self) -> Connection:
        settings = self._settings
        client = new_client(
            settings,
            self._read_secret,
            identifier=settings.client_id,
            will=Will(f"{settings.prefix}/status", b"offline", qos=1, retain=True),
            session=settings.session_expiry,
        )
        return Connection(settings, client, self._take, self._refused, own=self._own, other=self._other_came)

    def _other_came(self) -> None:
        """Since our last connection another client had one with our client id: not every broker says so itself."""
        if not self._served:
            return  # it may have been the daemon before this one
        self.takeovers += 1
        if self.takeovers == 1:
            _log.warning("bus_taken_over", broker=self._place, todo=todo(TAKEN_OVER, self._settings))

    def _forget_unacknowledged(self) -> None:
        # They come again from the broker; handling them from here as well would only double the work.
        while not self._queue.empty():
            self._queue.get_nowait()

    def _log_down(self, lost: LostError) -> None:
        if self._down_since is None:
            self._down_since = time.monotonic()
        self._down = lost
        if self._told != lost.todo:  # once, and again when it turns out that somebody must change something
            self._told = lost.todo
            advice = lost.todo or "it is tried again until it answers"
            _log.warning("bus_down", broker=self._place, reason=str(lost), todo=advice)

    def _log_up(self) -> None:
        seconds = 0.0 if self._down_since is None else time.monotonic() - self._down_since
        _log.info("bus_up", broker=self._place, client=self._settings.client_id, down_seconds=round(seconds, 1))
        self._down_since, self._told = None, None

    @property
    def _place(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"
