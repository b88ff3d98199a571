"""The MQTT adapter against a real broker that is killed, hangs, refuses and forgets."""

import asyncio
import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiomqtt
import pytest
from paho.mqtt.client import Client as Paho
from structlog.testing import capture_logs

from daemon.adapters.mqtt.bus import MqttBus
from daemon.config.settings import BusSettings, BusTls, Secret
from daemon.domain.deliveries import KEPT
from daemon.domain.errors import BusDown
from daemon.domain.ports import Delivery
from tests.realparts.certificates import make_certificates
from tests.realparts.mosquitto import Mosquitto, free_port
from tests.realparts.waiting import HANG, eventually

StartMosquitto = Callable[..., Mosquitto]

PASSWORD = "hunter2-very-secret"


def read_secret(secret: Secret) -> str:
    del secret
    return PASSWORD


@contextlib.asynccontextmanager
async def running(bus: MqttBus, *, connected: bool = True) -> AsyncIterator[MqttBus]:
    task = asyncio.create_task(bus.run())
    try:
        if connected:
            await eventually(lambda: bus.connected or task.done(), "the bus is connected")
        yield bus
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def counting_server(port: int, *, answer: bool) -> AsyncIterator[list[asyncio.Event]]:
    """Accepts every connection; closes it at once if `answer`, else never says a word.

    Yields an event for each connection so far, set when the connection has ended.
    """
    seen: list[asyncio.Event] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.Event()
        seen.append(ended)
        with contextlib.suppress(ConnectionError):
            if not answer:
                await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield seen
        await eventually(lambda: all(each.is_set() for each in seen), "no connection is left behind")
    finally:
        server.close()


async def test_the_private_parts_of_aiomqtt_and_paho_that_we_reach_into_are_there() -> None:
    client = aiomqtt.Client("127.0.0.1")
    inner = client._client  # noqa: SLF001 - the point of the test
    assert type(inner) is Paho
    assert callable(inner.manual_ack_set)
    assert callable(inner.ack)
    assert callable(inner.socket)
    assert inner.connect_timeout > 0
    assert not client._disconnected.done()  # noqa: SLF001 - the point of the test
    assert inner.on_publish == client._on_publish  # noqa: SLF001 - replaced and called on
    assert inner.on_socket_open == client._on_socket_open  # noqa: SLF001 - the same
    assert inner.on_disconnect == client._on_disconnect  # noqa: SLF001 - the same
    inner.manual_ack_set(True)
    assert inner._manual_ack is True  # noqa: SLF001 - paho has no way to ask
    assert aiomqtt.Client("127.0.0.1")._client._manual_ack is False  # noqa: SLF001 - nor that it is needed


async def test_a_killed_broker_loses_nothing_and_repeats_nothing_acknowledged(mosquitto: Mosquitto) -> None:
    async with running(MqttBus(BusSettings(port=mosquitto.port), read_secret)) as bus:
        deliveries = bus.deliveries()
        await mosquitto.publish_all([("alerts/scom/x", str(number)) for number in range(100)])
        acknowledged = set()
        async with asyncio.timeout(HANG):
            for _ in range(50):
                delivery = await anext(deliveries)
                await delivery.ack()
                acknowledged.add(int(delivery.payload))
        await bus.publish("exmedic/events", b"{}")  # the broker has the acknowledgements before this one's
        mosquitto.save()
        mosquitto.kill()
        await eventually(lambda: not bus.connected, "the loss is noticed")
        mosquitto.restart()
        rest: list[Delivery] = []
        async with asyncio.timeout(HANG):
            while len(rest) < 50:
                rest.append(await anext(deliveries))
        assert [int(each.payload) for each in rest] == list(range(50, 100))
        assert acknowledged == set(range(50))


async def test_a_killed_process_leaves_offline_behind_and_loses_no_message(mosquitto: Mosquitto) -> None:
    program = (
        "import asyncio\n"
        "from daemon.adapters.mqtt.bus import MqttBus\n"
        "from daemon.config.settings import BusSettings\n"
        "async def main():\n"
        f"    bus = MqttBus(BusSettings(port={mosquitto.port}), lambda secret: '')\n"
        "    run = asyncio.create_task(bus.run())\n"
        "    async for delivery in bus.deliveries():\n"
        "        print(delivery.payload.decode(), flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    async with mosquitto.listen("exmedic/status") as status:
        assert (await status.get())[1] == b"online"
        await mosquitto.publish("alerts/scom/x", "not committed")
        async with asyncio.timeout(HANG):
            while await process.stdout.readline() != b"not committed\n":
                pass
        process.kill()
        await process.wait()
        assert (await status.get())[1] == b"offline"
    assert await mosquitto.retained("exmedic/status") == b"offline"
    async with running(MqttBus(BusSettings(port=mosquitto.port), read_secret)) as bus:
        delivery = await asyncio.wait_for(anext(bus.deliveries()), HANG)
        assert delivery.payload == b"not committed"


async def test_status_is_online_while_connected_and_offline_after_an_orderly_close(mosquitto: Mosquitto) -> None:
    async with running(MqttBus(BusSettings(port=mosquitto.port, prefix="site/exmedic"), read_secret)):
        assert await mosquitto.retained("site/exmedic/status") == b"online"
    assert await mosquitto.retained("site/exmedic/status") == b"offline"


async def test_retained_messages_outlive_a_killed_broker(mosquitto: Mosquitto) -> None:
    async with running(MqttBus(BusSettings(port=mosquitto.port), read_secret)) as bus:
        await bus.publish("exmedic/incidents/1", b"reboot", retain=True)
        mosquitto.save()
        mosquitto.kill()
        mosquitto.restart()
        assert await mosquitto.retained("exmedic/incidents/1") == b"reboot"


async def test_an_outage_is_logged_once_at_its_beginning_and_once_at_its_end(mosquitto: Mosquitto) -> None:
    with capture_logs() as logs:
        async with running(MqttBus(BusSettings(port=mosquitto.port), read_secret)) as bus:
            mosquitto.kill()
            await eventually(lambda: not bus.connected, "the loss is noticed")
            async with counting_server(mosquitto.port, answer=True) as attempts:
                await eventually(lambda: len(attempts) >= 3, "it tries again and again")
            mosquitto.restart()
            await eventually(lambda: bus.connected, "it is back")
    assert [entry["event"] for entry in logs] == ["bus_up", "bus_down", "bus_up"]
    assert f"127.0.0.1:{mosquitto.port}" in logs[1]["broker"]


async def test_a_broker_that_accepts_and_never_answers_is_left_and_tried_again() -> None:
    port = free_port()
    settings = BusSettings(port=port, connect_timeout=0.2)
    with capture_logs() as logs:
        async with (
            counting_server(port, answer=False) as attempts,
            running(MqttBus(settings, read_secret), connected=False) as bus,
        ):
            await eventually(lambda: len(attempts) >= 2, "it tries again")
            await eventually(attempts[0].is_set, "the first connection was closed, not left behind")
            assert not bus.connected
    assert [entry["event"] for entry in logs] == ["bus_down"]


async def test_stopping_does_not_wait_for_a_connection_attempt() -> None:
    port = free_port()
    settings = BusSettings(port=port, connect_timeout=2 * HANG)
    async with counting_server(port, answer=False) as attempts:
        async with asyncio.timeout(HANG):
            async with running(MqttBus(settings, read_secret), connected=False):
                await eventually(lambda: len(attempts) == 1, "it connects")
        await eventually(attempts[0].is_set, "the connection is closed when its thread ends")


async def test_a_publication_in_flight_fails_at_once_when_the_connection_is_lost(mosquitto: Mosquitto) -> None:
    async with running(MqttBus(BusSettings(port=mosquitto.port), read_secret)) as bus:
        mosquitto.freeze()
        publishing = asyncio.create_task(bus.publish("exmedic/events", b"{}"))
        await asyncio.sleep(0)
        assert not publishing.done()
        mosquitto.kill()
        with pytest.raises(BusDown, match="connection was lost"):
            await asyncio.wait_for(publishing, HANG)


async def test_what_is_too_large_is_cut_with_its_size_and_hash_and_what_is_not_arrives_whole(
    mosquitto: Mosquitto,
) -> None:
    settings = BusSettings(port=mosquitto.port)
    largest = bytes(range(256)) * (settings.max_payload // 256)
    async with running(MqttBus(settings, read_secret)) as bus:
        for payload in (largest, largest + b"x", largest * 12):
            await mosquitto.publish("alerts/scom/x", payload)
            delivery = await asyncio.wait_for(anext(bus.deliveries()), HANG)
            if payload is largest:
                assert (delivery.payload, delivery.cut_from) == (largest, None)
            else:
                assert (delivery.payload, delivery.cut_from) == (payload[:KEPT], len(payload))
                assert delivery.digest == hashlib.sha256(payload).hexdigest()


async def test_a_message_sent_at_qos_0_is_taken_and_its_acknowledgement_does_nothing(mosquitto: Mosquitto) -> None:
    async with running(MqttBus(BusSettings(port=mosquitto.port), read_secret)) as bus:
        await mosquitto.publish("alerts/scom/x", "zero", qos=0)
        await mosquitto.publish("alerts/scom/x", "one", qos=1)
        async with asyncio.timeout(HANG):
            for expected in (b"zero", b"one"):
                delivery = await anext(bus.deliveries())
                assert delivery.payload == expected
                await delivery.ack()
        assert bus.connected


def _access(tmp_path: Path, rules: str) -> str:
    acl = tmp_path / "acl"
    acl.write_text(rules)
    return f"acl_file {acl}"


async def test_a_client_id_with_slashes_and_wildcards_still_gets_its_canary(mosquitto: Mosquitto) -> None:
    with capture_logs() as logs, pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.adapters.mqtt.connection._CANARY_DEADLINE", HANG)
        async with running(MqttBus(BusSettings(port=mosquitto.port, client_id="a/+/#"), read_secret)) as bus:
            for _ in range(3):  # the canary's own publication came before these on the same connection
                await bus.publish("exmedic/events", b"{}")
    assert [entry["event"] for entry in logs] == ["bus_up"]


async def test_a_broker_that_silently_drops_what_we_may_not_read_is_found_by_the_canary(
    tmp_path: Path,
    start_mosquitto: StartMosquitto,
) -> None:
    rules = "topic readwrite exmedic/status\ntopic write exmedic/#\ntopic read alerts/#\n"
    broker = start_mosquitto(_access(tmp_path, rules))
    with capture_logs() as logs, pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.adapters.mqtt.connection._CANARY_DEADLINE", 0.2)
        async with running(MqttBus(BusSettings(port=broker.port), read_secret)) as bus:
            await eventually(lambda: len(logs) >= 2, "the canary's warning")
            assert bus.connected
            await broker.publish("exmedic/status", "still working")
    assert [entry["event"] for entry in logs] == ["bus_up", "bus_canary_lost"]
    assert "exmedic/canary/exmedic" in logs[1]["todo"]


async def test_a_refused_publication_fails_and_says_once_what_to_grant(
    tmp_path: Path,
    start_mosquitto: StartMosquitto,
) -> None:
    rules = "topic readwrite exmedic/status\ntopic readwrite exmedic/canary/#\ntopic read alerts/#\n"
    broker = start_mosquitto(_access(tmp_path, rules))
    with capture_logs() as logs:
        async with running(MqttBus(BusSettings(port=broker.port), read_secret)) as bus:
            refusals = 0
            while refusals < 2:
                with pytest.raises(BusDown) as caught:
                    await bus.publish("exmedic/events", b"{}")
                refusals += "refused a message on exmedic/events" in str(caught.value)
                # mosquitto 2.0.11 hangs up after refusing; later ones do not.
                await eventually(lambda: bus.connected, "it is connected, still or again")
    refused = [entry for entry in logs if entry["event"] == "bus_refused"]
    assert len(refused) == 1
    assert "write access to exmedic/#" in refused[0]["todo"]


async def test_a_wrong_password_is_an_outage_that_names_the_reason_and_never_the_password(
    tmp_path: Path,
    start_mosquitto: StartMosquitto,
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("somebody:$7$101$AAAAAAAAAAAAAAAA$AAAAAAAA\n")
    broker = start_mosquitto(access=f"allow_anonymous false\npassword_file {passwords}")
    settings = BusSettings(port=broker.port, username="exmedic", password=Secret(credential="bus"))
    with capture_logs() as logs:
        async with running(MqttBus(settings, read_secret), connected=False) as bus:
            await eventually(lambda: bool(logs), "the outage is logged")
            assert not bus.connected
    assert "authori" in logs[0]["reason"].lower()
    assert PASSWORD not in str(logs)


async def test_tls_with_a_client_certificate_works_and_without_it_is_an_outage(
    tmp_path: Path,
    start_mosquitto: StartMosquitto,
) -> None:
    files = make_certificates(tmp_path)
    broker = start_mosquitto(
        f"cafile {files.ca}\ncertfile {files.server}\nkeyfile {files.server_key}\nrequire_certificate true",
    )
    with_it = BusTls(ca=files.ca, certificate=files.client, key=files.client_key)
    async with running(MqttBus(BusSettings(port=broker.port, tls=with_it), read_secret)) as bus:
        await bus.publish("exmedic/events", b"{}")
    with capture_logs() as logs:
        without = BusSettings(port=broker.port, tls=BusTls(ca=files.ca), connect_timeout=1)
        async with running(MqttBus(without, read_secret), connected=False) as bus:
            await eventually(lambda: bool(logs), "the outage is logged")
            assert not bus.connected
    assert [entry["event"] for entry in logs] == ["bus_down"]


async def test_a_missing_certificate_file_is_an_outage_and_not_the_end(mosquitto: Mosquitto, tmp_path: Path) -> None:
    settings = BusSettings(port=mosquitto.port, tls=BusTls(ca=tmp_path / "nowhere.pem"))
    with capture_logs() as logs:
        async with running(MqttBus(settings, read_secret), connected=False) as bus:
            await eventually(lambda: bool(logs), "the outage is logged")
            assert not bus.connected
    assert [entry["event"] for entry in logs] == ["bus_down"]


@contextlib.asynccontextmanager
async def refusing_broker(port: int, refused: str) -> AsyncIterator[None]:
    """Answers CONNECT, PUBLISH and SUBSCRIBE (MQTT 5.0, chapter 3), and refuses one topic filter.

    mosquitto never refuses a subscription because of its acl_file; other brokers do.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind = (await reader.readexactly(1))[0]
                length = shift = 0
                more = True
                while more:
                    part = (await reader.readexactly(1))[0]
                    length, shift, more = length | (part & 0x7F) << shift, shift + 7, bool(part & 0x80)
                body = await reader.readexactly(length)
                if kind == 0x10:
                    writer.write(b"\x20\x03\x00\x00\x00")
                elif kind == 0x82:
                    codes, rest = b"", body[3:]
                    while rest:
                        end = 2 + int.from_bytes(rest[:2])
                        codes += b"\x87" if rest[2:end].decode() == refused else b"\x01"
                        rest = rest[end + 1 :]
                    writer.write(b"\x90" + bytes([3 + len(codes)]) + body[:2] + b"\x00" + codes)
                elif kind & 0xF6 == 0x32:
                    end = 2 + int.from_bytes(body[:2])
                    writer.write(b"\x40\x02" + body[end : end + 2])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def test_a_broker_that_refuses_the_pause_is_told_in_the_log_and_alerts_come_all_the_same() -> None:
    port = free_port()
    with capture_logs() as logs:
        async with (
            refusing_broker(port, "exmedic/control/pause/#"),
            running(MqttBus(BusSettings(port=port), read_secret)),
        ):
            pass
    (refusal,) = [entry for entry in logs if entry["event"] == "bus_pause_refused"]
    assert refusal["reason"] == "nobody can pause over the bus"
    assert "bus_up" in [entry["event"] for entry in logs]


async def test_a_broker_that_refuses_the_alerts_is_no_bus() -> None:
    port = free_port()
    bus = MqttBus(BusSettings(port=port), read_secret)
    with capture_logs() as logs:
        async with refusing_broker(port, "alerts/scom/#"), running(bus, connected=False):
            await eventually(lambda: bool(logs), "the refusal is told")
            assert not bus.connected
    assert "refused the subscription to alerts/scom/#" in logs[0]["reason"]
    assert "read access" in logs[0]["todo"]
