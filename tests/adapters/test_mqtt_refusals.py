"""A broker that refuses is told with what to change; `publish_once` is refused as the daemon is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.adapters.mqtt.bus import MqttBus
from daemon.adapters.mqtt.publish import publish_once
from daemon.config.settings import BusSettings
from daemon.domain.errors import BusDown
from tests.adapters.test_mqtt import read_secret, running
from tests.realparts.mosquitto import Mosquitto, free_port
from tests.realparts.waiting import eventually

StartMosquitto = Callable[..., Mosquitto]

TRIED = "it is tried again until it answers"


@contextlib.asynccontextmanager
async def answering(connack: bytes) -> AsyncIterator[int]:
    """A broker that answers every CONNECT with these bytes and hangs up; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
            writer.write(connack)
            await writer.drain()
        writer.close()

    port = free_port()
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    try:
        yield port
    finally:
        server.close()


@pytest.mark.parametrize(
    ("connack", "todo"),
    [
        (b"\x20\x02\x00\x01", "does not speak MQTT 5"),  # the answer of MQTT 3.1.1, section 3.2.2.3
        (b"\x20\x03\x00\x84\x00", "does not speak MQTT 5"),
        (b"\x20\x03\x00\x85\x00", "client id here"),
        (b"\x20\x03\x00\x86\x00", "the user name somebody or its password is wrong"),
        (b"\x20\x03\x00\x87\x00", "does not let the user somebody in"),
        (b"\x20\x03\x00\x9a\x00", "retain_available true"),
        (b"\x20\x03\x00\x9b\x00", "max_qos 1"),
        (b"\x20\x03\x00\x88\x00", TRIED),  # not available now: it may be later
        (b"", TRIED),
    ],
    ids=["3.1.1", "132", "133", "134", "135", "154", "155", "136", "hangs up"],
)
async def test_a_refused_connection_is_told_with_what_to_change_by_both(connack: bytes, todo: str) -> None:
    async with answering(connack) as port:
        settings = BusSettings(port=port, client_id="here", username="somebody", connect_timeout=5)
        with capture_logs() as logs:
            async with running(MqttBus(settings, read_secret), connected=False) as bus:
                await eventually(lambda: bool(logs), "it is told")
                outage = bus.outage
        with pytest.raises(BusDown) as refused:
            await publish_once(settings, read_secret, "alerts/scom/x", [b"{}"])
    assert [(entry["event"], todo in entry["todo"]) for entry in logs] == [("bus_down", True)]
    assert outage
    assert outage.todo == ("" if todo == TRIED else logs[0]["todo"])
    assert f"127.0.0.1:{port}" in outage.reason
    assert todo == TRIED or todo in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "todo"), [("retain_available false", "retained messages"), ("max_qos 0", "allows only QoS 0")]
)
async def test_a_real_broker_that_lacks_what_the_daemon_needs_refuses_a_test_alert_too(
    start_mosquitto: StartMosquitto, setting: str, todo: str
) -> None:
    settings = BusSettings(port=start_mosquitto(setting).port)
    with capture_logs() as logs:
        async with running(MqttBus(settings, read_secret), connected=False) as bus:
            await eventually(lambda: bool(logs), "it is told")
            assert bus.outage
            assert todo in bus.outage.todo
    with pytest.raises(BusDown, match=todo):
        await publish_once(settings, read_secret, "alerts/scom/x", [b"{}"])


async def test_what_becomes_a_lasting_refusal_in_an_outage_is_told_then() -> None:
    port = free_port()
    with capture_logs() as logs:
        async with running(MqttBus(BusSettings(port=port), read_secret), connected=False):
            await eventually(lambda: len(logs) == 1, "nobody listens")
            server = await asyncio.start_server(_not_authorised, "127.0.0.1", port)
            await eventually(lambda: len(logs) == 2, "it is refused now")
            server.close()
    assert logs[0]["todo"] == TRIED
    assert "does not let the user nobody in" in logs[1]["todo"]


async def _not_authorised(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read(1)
        writer.write(b"\x20\x03\x00\x87\x00")
        await writer.drain()
    writer.close()


async def test_a_test_alert_that_the_broker_would_throw_away_has_failed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    del tmp_path
    settings = BusSettings(port=mosquitto.port)
    with pytest.raises(BusDown, match="for nobody"):
        await publish_once(settings, read_secret, "alerts/scom/x", [b"{}"])
    async with running(MqttBus(settings, read_secret)) as bus:
        await publish_once(settings, read_secret, "alerts/scom/x", [b"{}"])
        assert (await anext(bus.deliveries())).payload == b"{}"
    assert await mosquitto.retained("exmedic/status") == b"offline", "that of the daemon, at its orderly end"


async def test_a_test_alert_that_may_not_be_written_has_failed(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    access = tmp_path / "acl"
    access.write_text("topic readwrite exmedic/#\ntopic read alerts/#\n")
    broker = start_mosquitto(f"acl_file {access}")
    async with running(MqttBus(BusSettings(port=broker.port), read_secret)):
        with pytest.raises(BusDown, match=r"(?i)refused a message on alerts/scom/x: not authori|connection was lost"):
            await publish_once(BusSettings(port=broker.port), read_secret, "alerts/scom/x", [b"{}"])


async def test_two_daemons_with_one_client_id_are_told_as_that(mosquitto: Mosquitto) -> None:
    settings = BusSettings(port=mosquitto.port)
    first, second = MqttBus(settings, read_secret), MqttBus(settings, read_secret)
    with capture_logs() as logs:
        async with running(first), running(second, connected=False):
            await eventually(lambda: first.takeovers + second.takeovers > 0, "one throws the other out")
    (told, *_) = [entry for entry in logs if entry["event"] == "bus_taken_over"]
    assert "another client has come with the client id exmedic" in told["todo"]


async def test_a_daemon_that_comes_back_by_itself_or_after_another_run_was_not_thrown_out(mosquitto: Mosquitto) -> None:
    settings = BusSettings(port=mosquitto.port)
    async with running(MqttBus(settings, read_secret)):
        pass
    bus = MqttBus(settings, read_secret)
    async with running(bus):
        mosquitto.save()
        mosquitto.restart()
        await eventually(lambda: bus.connected, "it is back")
        await publish_once(settings, read_secret, "alerts/scom/x", [b"{}"])
        await anext(bus.deliveries())  # behind the canary of the session that was resumed
    assert bus.takeovers == 0


async def test_a_session_that_the_broker_kept_is_not_a_fresh_one(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(persistence="persistence false")
    bus = MqttBus(BusSettings(port=broker.port), read_secret)
    async with running(bus):
        pass
    async with running(bus):
        assert bus.fresh_sessions == 1, "the very first"
        broker.restart()  # which forgets everything
        await eventually(lambda: bus.fresh_sessions == 2 and bus.connected, "it is connected again")
