"""The loop from bus to store, on the bus and the store that ship for tests and on real ones."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.adapters.mqtt.bus import MqttBus
from daemon.adapters.sqlite.store import SqliteStore
from daemon.alerts.forms import decoding
from daemon.alerts.forms.known import Names
from daemon.alerts.intake import MAX_BATCH, Intake
from daemon.alerts.payloads import Payloads, source_of
from daemon.config.alerts import AlertSettings
from daemon.config.settings import BusSettings
from daemon.domain.alerts import AlertStatus, Received, Source, StoredAlert
from daemon.domain.commits import Channel
from daemon.domain.errors import StoreError
from daemon.domain.ports import Bus
from daemon.domain.store import Store
from daemon.testing.clock import ManualClock
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore
from tests.alerts.running import running as running_intake
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.waiting import HANG, eventually

SCOM = "alerts/scom/site1"
NATIVE = "alerts/exmedic"
REASONS = 5  # kinds of bad payload below


def native(number: int = 0) -> bytes:
    fields = {
        "id": str(number),
        "server": "mbx1.contoso.com",
        "health_set": "POP.Protocol",
        "monitor": "PopSelfTestMonitor",
        "raised_at": "2026-11-05T03:14:15Z",
    }
    return json.dumps(fields).encode()


class RecordingStore(MemoryStore):
    """Remembers how large the batches were."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    async def ingest(self, batch: Sequence[Received]) -> list[StoredAlert]:
        self.batches.append(len(batch))
        return await super().ingest(batch)


class ForgetfulStore(MemoryStore):
    """Commits its first batch and reports a failure, as a disk does that fails after the write."""

    failed = False

    async def ingest(self, batch: Sequence[Received]) -> list[StoredAlert]:
        stored = await super().ingest(batch)
        if not self.failed:
            self.failed = True
            raise StoreError("disk I/O error")
        return stored


READER = Payloads(BusSettings(), AlertSettings(), Names())


class Nudges:
    """Counts the nudges, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self.event = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.event.set()


@contextlib.asynccontextmanager
async def running(
    bus: Bus, store: Store, clock: ManualClock | None = None, nudge: Nudges | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    intake = Intake(bus=bus, store=store, clock=clock or ManualClock(), payloads=READER, nudge=nudge or Nudges())
    task = asyncio.create_task(intake.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def opened(store: MemoryStore) -> MemoryStore:
    await store.open()
    return store


@pytest.mark.parametrize(
    ("topic", "source"),
    [
        ("alerts/scom", Source.SCOM),
        ("alerts/scom/a/b", Source.SCOM),
        ("alerts/exmedic/x", Source.NATIVE),
        ("alerts/scomx", None),
        ("alerts", None),
        ("exmedic/deadletter", None),
    ],
)
def test_the_topic_says_which_form_a_payload_has(topic: str, source: Source | None) -> None:
    assert source_of(topic, BusSettings()) is source


async def test_an_alert_is_stored_acknowledged_and_announced() -> None:
    bus, store, nudge = MemoryBus(), await opened(MemoryStore()), Nudges()
    bus.inject(NATIVE, native())
    async with running(bus, store, nudge=nudge):
        await eventually(lambda: bus.unacknowledged == 0, "the alert is acknowledged")
    (stored,) = await store.pending_alerts(10)
    assert stored.alert is not None
    assert (stored.alert.server, stored.topic, stored.received_at) == ("mbx1.contoso.com", NATIVE, ManualClock().now())
    assert nudge.count == 1


async def test_nothing_is_acknowledged_before_it_is_committed_and_the_outage_is_logged_once() -> None:
    bus, store, clock, nudge = MemoryBus(), MemoryStore(), ManualClock(), Nudges()
    for number in range(3):
        bus.inject(NATIVE, native(number))
    with capture_logs() as logs:
        async with running(bus, store, clock, nudge):  # not opened, the store refuses everything
            for _ in range(6):
                await clock.asleep()
                assert (bus.unacknowledged, nudge.count) == (3, 0)
                clock.advance(60)
                await eventually(lambda: clock.sleeping == 1, "the next attempt failed")
            await store.open()
            clock.advance(60)
            await eventually(lambda: bus.unacknowledged == 0, "everything is acknowledged")
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("error", "store_unusable"),
        ("info", "store_usable"),
    ]
    assert len(await store.pending_alerts(10)) == 3


async def test_a_commit_that_was_made_but_reported_as_failed_loses_and_doubles_nothing() -> None:
    bus, store, clock = MemoryBus(), await opened(ForgetfulStore()), ManualClock()
    bus.inject(NATIVE, native())
    async with running(bus, store, clock):
        await clock.asleep()
        assert bus.unacknowledged == 1
        clock.advance(60)
        await eventually(lambda: bus.unacknowledged == 0, "the alert is acknowledged")
    (stored,) = await store.pending_alerts(10)
    assert stored.seen == 2
    assert (await store.ledger()).imbalance == ""


async def test_what_waits_is_committed_in_batches() -> None:
    bus, store = MemoryBus(), RecordingStore()
    await store.open()
    for number in range(2 * MAX_BATCH + 50):
        bus.inject(NATIVE, native(number))
    async with running(bus, store):
        await eventually(lambda: bus.unacknowledged == 0, "everything is acknowledged")
    assert sum(store.batches) == 2 * MAX_BATCH + 50
    assert len(store.batches) <= 4
    assert max(store.batches) <= MAX_BATCH
    alerts_in_order = await store.pending_alerts(1000)
    assert [stored.alert.source_id for stored in alerts_in_order if stored.alert] == [
        str(number) for number in range(2 * MAX_BATCH + 50)
    ]


def array(*numbers: int) -> bytes:
    return b"[" + b",".join(native(number) for number in numbers) + b"]"


async def test_an_array_is_so_many_alerts_in_one_commit_with_one_acknowledgement() -> None:
    bus, store = MemoryBus(), RecordingStore()
    await store.open()
    bus.inject(NATIVE, array(*range(3 * MAX_BATCH)))
    bus.inject(NATIVE, native(9999))
    intake = Intake(bus=bus, store=store, clock=ManualClock(), payloads=READER, nudge=Nudges())
    async with running_intake(intake):
        await eventually(lambda: bus.unacknowledged == 0, "both messages are acknowledged")
    assert store.batches[0] == 3 * MAX_BATCH
    assert intake.acknowledged == 3 * MAX_BATCH + 1
    ledger = await store.ledger()
    assert (ledger.accepted, ledger.stored, ledger.imbalance) == (3 * MAX_BATCH + 1, 3 * MAX_BATCH + 1, "")


async def test_an_array_that_is_delivered_again_loses_and_doubles_none_of_its_alerts() -> None:
    """The commit was made and nobody knows: the message is taken in again, with what it shares with another one."""
    bus, store, clock = MemoryBus(), await opened(ForgetfulStore()), ManualClock()
    bus.inject(NATIVE, array(1, 2, 3))
    async with running(bus, store, clock):
        await clock.asleep()
        bus.inject(NATIVE, array(3, 4))
        clock.advance(60)
        await eventually(lambda: bus.unacknowledged == 0, "both messages are acknowledged")
    stored = await store.pending_alerts(10)
    assert [(each.alert.source_id, each.seen) for each in stored if each.alert] == [
        ("1", 2),
        ("2", 2),
        ("3", 3),
        ("4", 1),
    ]
    ledger = await store.ledger()
    assert (ledger.accepted, ledger.imbalance) == (8, "")


async def test_an_alert_of_an_array_that_is_not_understood_is_a_dead_letter_of_its_own() -> None:
    bus, store = MemoryBus(), await opened(MemoryStore())
    bus.inject(NATIVE, b"[" + native(1) + b', {"id": 5}]')
    async with running(bus, store):
        await eventually(lambda: bus.unacknowledged == 0, "the message is acknowledged")
    [letter] = await store.outbox(Channel.BUS, 10)
    assert letter.message.body["payload"] == '{"id":5}'
    assert (await store.ledger()).alerts[AlertStatus.PENDING] == 1


async def test_an_empty_payload_is_stored_to_be_suppressed() -> None:
    bus, store = MemoryBus(), await opened(MemoryStore())
    bus.inject(NATIVE, b"")
    async with running(bus, store):
        await eventually(lambda: bus.unacknowledged == 0, "the message is acknowledged")
    [stored] = await store.pending_alerts(10)
    assert stored.alert is not None
    assert stored.alert.suppress == "an empty payload only clears a retained message"
    assert await store.outbox(Channel.BUS, 10) == []


async def test_what_comes_again_after_a_lost_connection_is_counted_and_dropped() -> None:
    bus, store, clock = MemoryBus(), MemoryStore(), ManualClock()
    bus.inject(NATIVE, native())
    async with running(bus, store, clock):
        await clock.asleep()
        bus.go_down()  # its acknowledgement will mean nothing
        bus.go_up()
        await store.open()
        clock.advance(60)
        await eventually(lambda: bus.unacknowledged == 0, "the second delivery is acknowledged")
    (stored,) = await store.pending_alerts(10)
    assert stored.seen == 2


async def test_payloads_that_cannot_be_understood_are_stored_with_the_reason_and_stop_nothing() -> None:
    bus, store = MemoryBus((*MemoryBus()._filters, "other/#")), await opened(MemoryStore())  # noqa: SLF001
    bad = {
        "alerts/scom/truncated": native()[:-9],
        "alerts/scom/form": native(),
        "alerts/exmedic/huge": b"x" * 10_000_000,
        "alerts/exmedic/bytes": b"\xff\xfe{",
        "other/topic": native(),
    }
    for topic, payload in bad.items():
        bus.inject(topic, payload)
    bus.inject(NATIVE, native())
    async with running(bus, store):
        await eventually(lambda: bus.unacknowledged == 0, "everything is acknowledged")
    assert len(await store.pending_alerts(10)) == 1
    letters = {row.message.body["topic"]: row.message.body for row in await store.outbox(Channel.BUS, 10)}
    assert set(letters) == set(bad)
    assert "not JSON" in letters["alerts/scom/truncated"]["reason"]
    assert "this is exmedic's own form" in letters["alerts/scom/form"]["reason"]
    assert (letters["alerts/exmedic/huge"]["size"], "10000000 bytes" in letters["alerts/exmedic/huge"]["reason"]) == (
        10_000_000,
        True,
    )
    assert "byte 0" in letters["alerts/exmedic/bytes"]["reason"]
    assert letters["other/topic"]["reason"] == (
        "the topic other/topic fits no topic filter of [bus]: scom = alerts/scom/#, native = alerts/exmedic/#"
    )
    assert (await store.ledger()).alerts[AlertStatus.REJECTED] == REASONS


async def test_two_huge_payloads_with_the_same_beginning_are_two_messages() -> None:
    bus, store = MemoryBus(), await opened(MemoryStore())
    for end in (b"a", b"b"):
        bus.inject(NATIVE, b"x" * BusSettings().max_payload + end)
    async with running(bus, store):
        await eventually(lambda: bus.unacknowledged == 0, "both are acknowledged")
    assert (await store.ledger()).stored == 2


async def test_a_defect_in_reading_becomes_a_dead_letter_and_not_a_crash_at_each_redelivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decoding, "from_json", broken)
    bus, store = MemoryBus(), await opened(MemoryStore())
    bus.inject(NATIVE, native())
    with capture_logs() as logs:
        async with running(bus, store):
            await eventually(lambda: bus.unacknowledged == 0, "the message is acknowledged")
    (letter,) = await store.outbox(Channel.BUS, 10)
    assert letter.message.body["reason"] == "exmedic failed to read it (MemoryError); please report this"
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_a_loop_that_ends_by_itself_is_an_error() -> None:
    class EndingBus(MemoryBus):
        def deliveries(self) -> AsyncIterator:  # type: ignore[type-arg]  # an iterator of nothing
            async def nothing() -> AsyncIterator[None]:
                return
                yield

            return nothing()

    intake = Intake(bus=EndingBus(), store=MemoryStore(), clock=ManualClock(), payloads=READER, nudge=Nudges())
    with pytest.raises(ExceptionGroup) as raised:
        await intake.run()
    assert raised.group_contains(RuntimeError, match="ended its deliveries")


@contextlib.asynccontextmanager
async def connected(mosquitto: Mosquitto) -> AsyncIterator[MqttBus]:
    bus = MqttBus(BusSettings(port=mosquitto.port), lambda _: "")
    task = asyncio.create_task(bus.run())
    try:
        await eventually(lambda: bus.connected or task.done(), "the bus is connected")
        yield bus
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_topics_of_every_form_that_is_configured_are_subscribed(mosquitto: Mosquitto) -> None:
    settings = BusSettings(port=mosquitto.port, azure="alerts/azure/#", alertmanager="am")
    bus, store = MqttBus(settings, lambda _: ""), await opened(MemoryStore())
    intake = Intake(
        bus=bus, store=store, clock=ManualClock(), payloads=Payloads(settings, AlertSettings(), Names()), nudge=Nudges()
    )
    task = asyncio.create_task(bus.run())
    try:
        await eventually(lambda: bus.connected or task.done(), "the bus is connected")
        async with running_intake(intake):
            await mosquitto.publish_all([("am", b"{"), ("alerts/azure/x", b"{"), (SCOM, b"{"), ("other", b"{")])
            await eventually(lambda: intake.acknowledged == 3, "three of four messages are taken in")
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    letters = [row.message.body["topic"] for row in await store.outbox(Channel.BUS, 10)]
    assert sorted(letters) == ["alerts/azure/x", SCOM, "am"]


async def test_with_a_real_broker_and_a_real_store_every_message_is_stored_once_across_a_kill_of_both(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    path = tmp_path / "exmedic.db"
    total = 0
    for killed in (False, True, False):
        store, nudge = SqliteStore(path), Nudges()
        await store.open()
        async with connected(mosquitto) as bus, running(bus, store, nudge=nudge):
            several = [array(*range(total + number, total + number + 5)) for number in range(0, 300, 5)]
            await mosquitto.publish_all([*((NATIVE, payload) for payload in several), (SCOM, b"{")])
            total += 300
            if not killed:  # otherwise leave in the middle, whatever is stored by then
                async with asyncio.timeout(HANG):
                    await _all_taken(store, total, nudge)
        await store.close()
        if killed:
            mosquitto.save()
            mosquitto.kill()
            mosquitto.restart()
    store = SqliteStore(path, read_only=True)
    await store.open()
    ledger = await store.ledger()
    await store.close()
    assert ledger.imbalance == ""
    assert {status: count for status, count in ledger.alerts.items() if count} == {
        AlertStatus.PENDING: total,
        AlertStatus.REJECTED: 1,
    }


async def _all_taken(store: Store, total: int, nudge: Nudges) -> None:
    while len(await store.pending_alerts(total + 1)) < total:
        await nudge.event.wait()
        nudge.event.clear()
