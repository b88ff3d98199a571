"""One connection to an MQTT 5 broker, from CONNECT to its end.

aiomqtt has no manual acknowledgement and drops the reason in a PUBACK, so this module reaches through
`Client._client` to paho's own `manual_ack_set`, `ack`, `publish` and callbacks. Both libraries are pinned, and
tests/adapters/test_mqtt.py fails when these change. By default paho acknowledges a message as it enters a queue
in memory, and a process killed there loses it.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import aiomqtt
import structlog
from aiomqtt import MqttError
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import ConnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from daemon.adapters.mqtt.refusals import todo
from daemon.config.settings import BusSettings
from daemon.config.topics import pause_topic
from daemon.domain.deliveries import delivered
from daemon.domain.errors import BusDown
from daemon.domain.ports import Delivery
from daemon.runtime.tasks import cancel

_PUBACK_DEADLINE = 30.0  #: seconds until a publication without an acknowledgement counts as not made
_CANARY_DEADLINE = 10.0  #: seconds for our own message to come back
_GOODBYE_DEADLINE = 2.0  #: seconds for "offline" at an orderly close

_log = structlog.get_logger("exmedic.mqtt")


class LostError(Exception):
    """A connection failed or ended; the message says why. `code`: the broker's reason code, if it gave one.

    `todo`: what somebody must change; empty where trying again may be enough.
    """

    def __init__(self, reason: str, code: int | None = None, todo: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.todo = todo


def _reason_code(error: BaseException) -> int | None:
    """The broker's own reason, where an error or its cause carries one."""
    codes = (getattr(each, "rc", None) for each in (error, error.__cause__))
    return next((code.value for code in codes if isinstance(code, ReasonCode)), None)


def _publishable(text: str) -> str:
    """A client id as one level of a topic: without `/`, `+` and `#`."""
    return quote(text, safe="")


class Connection:
    """One connection. `take` gets each message. There is a new aiomqtt client for each: they are not reusable.

    `own` begins the canaries of this process. The last one is retained: `other` is called if that is somebody else's.
    """

    def __init__(
        self,
        settings: BusSettings,
        client: aiomqtt.Client,
        take: Callable[[Delivery], None],
        refused: set[str],
        *,
        own: bytes = b"",
        other: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._client = client
        self._take = take
        self._paho: Paho = client._client  # noqa: SLF001 - see the module's docstring
        # Inside `async with client` would be too late: a resumed session sends before it is entered.
        self._paho.manual_ack_set(True)
        self._paho.connect_timeout = settings.connect_timeout
        self._aiomqtt_on_publish: Callable[..., None] = self._paho.on_publish  # type: ignore[assignment]  # paho: or None
        self._aiomqtt_on_socket_open: Callable[..., None] = self._paho.on_socket_open  # type: ignore[assignment]  # same
        self._aiomqtt_on_disconnect: Callable[..., None] = self._paho.on_disconnect  # type: ignore[assignment]  # same
        self._aiomqtt_on_connect: Callable[..., None] = self._paho.on_connect  # type: ignore[assignment]  # same
        self._paho.on_connect = self._on_connect
        self._paho.on_publish = self._on_publish
        self._paho.on_socket_open = self._on_socket_open
        self._paho.on_disconnect = self._on_disconnect
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._abandoned = False
        self._pubacks: dict[int, asyncio.Future[ReasonCode]] = {}
        self._refused = refused
        self._own = own
        self._other = other
        self._nonce = own + secrets.token_hex(8).encode()
        self._canary_back = asyncio.Event()
        self._canary_topic = f"{settings.prefix}/canary/{_publishable(settings.client_id)}"
        self._status_topic = f"{settings.prefix}/status"
        self.alive = False
        self.subscribed = False
        self.session_present = False  #: whether the broker had kept our session

    async def open(self) -> None:
        """Connect.

        Raises:
            LostError: not connected; nothing is left open.
        """
        opening = asyncio.ensure_future(self._client.__aenter__())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            # paho's own time-outs end most attempts. aiomqtt does not notice a broker that hangs up before its CONNACK,
            # as one does that misses a client certificate; and a name server may take as long as it likes.
            limit = 3 * self._settings.connect_timeout
            await asyncio.wait({opening, ended}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():  # a broker that refuses hangs up at once: let its reason come through
                await asyncio.wait({opening}, timeout=1.0)
        finally:
            ended.cancel()
            if not opening.done():
                await self._abandon(opening)
        if opening.cancelled():
            raise LostError("it hung up" if self._ended.is_set() else f"connecting took more than {limit:g} s")
        error = opening.exception()
        if error is not None:
            self._drop()
            raise self._lost(error, error) from error
        self.alive = True

    async def serve(self, subscribed: Callable[[], None]) -> None:
        """Take messages until the connection is lost, then raise `LostError`. Calls `subscribed` once."""
        pump = asyncio.create_task(self._pump(), name="mqtt pump")
        greet = asyncio.create_task(self._greet(subscribed), name="mqtt greet")
        try:
            # On a resumed session messages arrive before the SUBACK, so both run side by side.
            await asyncio.wait({pump, greet}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (pump, greet):
                if task.done():
                    task.result()
        except (MqttError, BusDown, LostError) as error:
            if isinstance(error, LostError):
                raise
            reason = error.__cause__ if isinstance(error, MqttError) and error.__cause__ else error
            raise self._lost(error, reason) from error
        finally:
            await cancel(pump, greet)

    async def close(self) -> None:
        """Give up the connection. A live one says "offline" first: its DISCONNECT takes the last will back."""
        if self.subscribed:
            with contextlib.suppress(BusDown, TimeoutError):
                async with asyncio.timeout(_GOODBYE_DEADLINE):
                    await self.publish(self._status_topic, b"offline", retain=True)
        self._end()
        with contextlib.suppress(MqttError):
            await self._client.__aexit__(None, None, None)
        gone = self._client._disconnected  # noqa: SLF001 - see the module's docstring
        if gone.done() and not gone.cancelled():
            gone.exception()  # retrieved, so that asyncio does not report it as forgotten
        self._drop()

    def _lost(self, error: BaseException, reason: BaseException) -> LostError:
        code = _reason_code(error)
        return LostError(str(reason) or type(reason).__name__, code, todo(code, self._settings))

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
        """See `ports.Bus.publish`. Returns the broker's reason code, which is no failure."""
        if not self.alive:
            raise BusDown("the broker is not connected")
        info = self._paho.publish(topic, payload, qos=1, retain=retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BusDown(f"publishing on {topic} failed: {MQTTErrorCode(info.rc).name}")
        answer = asyncio.get_running_loop().create_future()
        self._pubacks[info.mid] = answer
        try:
            # `wait` and not `wait_for`: a cancelled future is a lost connection here, not our own cancellation.
            await asyncio.wait({answer}, timeout=_PUBACK_DEADLINE)
        finally:
            del self._pubacks[info.mid]
        if not answer.done():
            raise BusDown(f"the broker did not acknowledge a message on {topic} within {_PUBACK_DEADLINE:g} s")
        if answer.cancelled():
            raise BusDown(f"the connection was lost before the broker acknowledged a message on {topic}")
        if answer.result().is_failure:
            self._log_refusal(topic, answer.result())
            raise BusDown(f"the broker refused a message on {topic}: {answer.result()}")
        return int(answer.result().value)

    def _log_refusal(self, topic: str, reason: ReasonCode) -> None:
        # Once a topic: whoever publishes tries again for ever.
        if topic not in self._refused:
            self._refused.add(topic)
            grant = f"grant the user of client {self._settings.client_id} write access to {self._settings.prefix}/#"
            _log.error("bus_refused", topic=topic, reason=str(reason), todo=grant)

    async def _pump(self) -> None:
        try:
            async for message in self._client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                if str(message.topic) == self._canary_topic:
                    if payload == self._nonce:
                        self._canary_back.set()
                    elif not payload.startswith(self._own):
                        self._other()
                    await self._ack(message.mid, message.qos)
                else:
                    acknowledge = self._acknowledgement(message.mid, message.qos)
                    topic, retained = str(message.topic), bool(message.retain)
                    most = self._settings.max_payload
                    self._take(delivered(topic, payload, acknowledge, retained=retained, most=most))
        except MqttError:
            self._end()
            raise

    def _end(self) -> None:
        self.alive = self.subscribed = False
        for waiting in self._pubacks.values():  # they must not wait for the deadline of a connection that is gone
            waiting.cancel()

    def _acknowledgement(self, mid: int, qos: int) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            await self._ack(mid, qos)

        return acknowledge

    async def _ack(self, mid: int, qos: int) -> None:
        # After the connection is lost, the number means nothing to the next one: the broker sends the message again.
        if self.alive and qos:
            self._paho.ack(mid, qos)

    async def _greet(self, subscribed: Callable[[], None]) -> None:
        await self._subscribe()
        await self.publish(self._status_topic, b"online", retain=True)
        self.subscribed = True
        subscribed()
        await self._fly_canary()

    async def _subscribe(self) -> None:
        plain = SubscribeOptions(qos=1)
        wanted = dict.fromkeys((*self._settings.filters().values(), self._canary_topic), plain)
        # A retained one comes with a new session, not at each reconnection: losing the bus changes nothing. It says so
        # even when it comes at once, which tells apart whoever takes it off the broker again.
        pauses = f"{pause_topic(self._settings.prefix)}/#"
        wanted[pauses] = SubscribeOptions(
            qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        )
        codes = await self._client.subscribe(list(wanted.items()), timeout=self._settings.connect_timeout)
        refused = {
            name for name, code in zip(wanted, codes, strict=True) if isinstance(code, ReasonCode) and code.is_failure
        }
        if pauses in refused and pauses not in self._refused:
            # Alerts must not wait for a right that only the pause needs.
            self._refused.add(pauses)
            todo = f"grant the user of client {self._settings.client_id} read access to it"
            _log.error("bus_pause_refused", topic=pauses, reason="nobody can pause over the bus", todo=todo)
        if refused - {pauses}:
            missing = ", ".join(sorted(refused - {pauses}))
            user = self._settings.username or f"of client {self._settings.client_id}"
            raise LostError(
                f"the broker refused the subscription to {missing}", todo=f"grant the user {user} read access"
            )

    async def _fly_canary(self) -> None:
        # A broker refuses silently: it drops what may not be written and never sends what may not be read. QoS 0,
        # because it passes a backlog, and because mosquitto 2.0.11 hangs up on a refused publication at QoS 1.
        await self._client.publish(self._canary_topic, self._nonce, qos=0, retain=True)
        try:
            async with asyncio.timeout(_CANARY_DEADLINE):
                await self._canary_back.wait()
        except TimeoutError:
            if self.alive:
                _log.warning(
                    "bus_canary_lost",
                    topic=self._canary_topic,
                    reason=f"our own message did not come back within {_CANARY_DEADLINE:g} s",
                    todo=f"grant the user of client {self._settings.client_id} write access to "
                    f"{self._settings.prefix}/# and read access to {self._canary_topic} and "
                    f"{', '.join(self._settings.filters().values())}",
                )

    def _on_connect(self, client: Paho, userdata: Any, flags: ConnectFlags, *rest: Any) -> None:  # noqa: ANN401 - paho's signature
        self.session_present = flags.session_present
        self._aiomqtt_on_connect(client, userdata, flags, *rest)

    def _on_publish(self, client: Paho, userdata: Any, mid: int, reason: ReasonCode, properties: Properties) -> None:  # noqa: ANN401 - paho's signature
        self._aiomqtt_on_publish(client, userdata, mid, reason, properties)
        waiting = self._pubacks.get(mid)
        if waiting and not waiting.done():
            waiting.set_result(reason)

    async def _abandon(self, opening: "asyncio.Future[aiomqtt.Client]") -> None:
        # aiomqtt connects in a thread that nothing can stop: what it opens later is closed in `_on_socket_open`.
        self._abandoned = True
        opening.cancel()
        await asyncio.wait({opening})
        self._drop()

    def _on_socket_open(self, client: Paho, userdata: Any, sock: Any) -> None:  # noqa: ANN401 - paho's signature
        if self._abandoned:
            sock.close()
        else:
            self._aiomqtt_on_socket_open(client, userdata, sock)

    def _on_disconnect(self, *args: Any) -> None:  # noqa: ANN401 - passed on as they are
        if not self._abandoned:  # aiomqtt would raise for a client whose connecting was cancelled
            self._aiomqtt_on_disconnect(*args)
        if self.alive:
            self._end()
        else:  # we may be in the connecting thread
            self._loop.call_soon_threadsafe(self._ended.set)

    def _drop(self) -> None:
        # aiomqtt leaves the socket of a failed connection open; a DISCONNECT closes it and ends its task.
        if self._paho.socket() is not None:
            self._paho.disconnect()
