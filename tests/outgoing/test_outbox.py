"""The outbox: what was committed goes out, in order and at least once."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.adapters.clock import SystemClock
from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.audit import AuditKind
from daemon.domain.commits import Channel, Commit, Outgoing, PageKind, Progress, Told
from daemon.domain.errors import NotifyFailed
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.ports import Notifier
from daemon.domain.store import Store
from daemon.domain.values import Json
from daemon.outgoing.outbox import Outbox, next_attempt
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_notifier import MemoryNotifier
from daemon.testing.memory_store import MemoryStore

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)


def beat() -> None:
    """Nobody watches here."""


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    opened = MemoryStore()
    await opened.open()
    yield opened
    await opened.close()


def on_bus(topic: str, body: Json | None = None, *, retain: bool = False) -> Outgoing:
    return Outgoing(channel=Channel.BUS, topic=topic, body=body or {}, retain=retain)


def page(title: str, incident: str = "i-1") -> Outgoing:
    return Outgoing(channel=Channel.NOTIFY, topic=title, body={"text": f"text of {title}", "incident": incident})


async def send(store: Store, *outgoing: Outgoing) -> None:
    await store.commit(Commit(at=datetime.now(UTC), told=Told(outgoing=outgoing)))


@contextlib.asynccontextmanager
async def running(store: Store, bus: MemoryBus, notifier: Notifier | None = None) -> AsyncIterator[Outbox]:
    outbox = Outbox(store=store, bus=bus, notifier=notifier or MemoryNotifier(), clock=SystemClock())
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.run_bus(beat, stopping))
        group.create_task(outbox.run_notify(beat, stopping))
        yield outbox
        stopping.set()
        outbox.nudge()


def topics(bus: MemoryBus) -> list[str]:
    return [each.topic for each in bus.published]


@pytest.mark.looptime
async def test_messages_go_out_in_order_with_their_number_and_are_done_with(store: MemoryStore) -> None:
    bus = MemoryBus()
    await send(store, on_bus("exmedic/events", {"event": "opened"}), on_bus("exmedic/incidents/1", {}, retain=True))
    async with running(store, bus):
        await asyncio.sleep(1)
    events, state = bus.published
    assert json.loads(events.payload) == {"event": "opened", "seq": 1}
    assert (state.topic, json.loads(state.payload), state.retain) == ("exmedic/incidents/1", {"seq": 2}, True)
    assert await store.outbox(Channel.BUS, 10) == []


@pytest.mark.looptime
async def test_a_nudge_sends_at_once_and_without_it_the_poll_does(store: MemoryStore) -> None:
    bus = MemoryBus()
    async with running(store, bus) as outbox:
        await asyncio.sleep(1)
        await send(store, on_bus("a"))
        outbox.nudge()
        await asyncio.sleep(0.1)
        assert topics(bus) == ["a"]
        await send(store, on_bus("b"))
        await asyncio.sleep(0.1)
        assert topics(bus) == ["a"]
        await asyncio.sleep(5)
        assert topics(bus) == ["a", "b"]


@pytest.mark.looptime
async def test_during_an_outage_everything_waits_and_then_goes_out_in_order(store: MemoryStore) -> None:
    bus = MemoryBus()
    bus.go_down()
    async with running(store, bus) as outbox:
        for number in range(250):
            await send(store, on_bus(str(number)))
            outbox.nudge()
        await asyncio.sleep(3600)
        assert bus.published == []
        bus.go_up()
        await asyncio.sleep(15)
        assert topics(bus) == [str(number) for number in range(250)]


@pytest.mark.looptime
async def test_stopping_sends_what_is_left(store: MemoryStore) -> None:
    bus = MemoryBus()
    async with running(store, bus):
        await asyncio.sleep(1)
        await send(store, *(on_bus(str(number)) for number in range(150)))
    assert len(bus.published) == 150


@pytest.mark.looptime
async def test_stopping_while_the_bus_is_down_leaves_the_rest_for_the_next_start(store: MemoryStore) -> None:
    bus = MemoryBus()
    bus.go_down()
    await send(store, on_bus("a"), on_bus("b"))
    async with asyncio.timeout(15):
        async with running(store, bus):
            await asyncio.sleep(1)
    assert len(await store.outbox(Channel.BUS, 10)) == 2


@settings(max_examples=30)
@given(st.lists(st.integers(1, 40), max_size=4))
async def test_crashes_at_any_moment_repeat_messages_but_never_lose_or_reorder_them(crashes: list[int]) -> None:
    store, bus = MemoryStore(), MemoryBus()
    await store.open()
    await send(store, *(on_bus(str(number)) for number in range(12)))
    for turns in crashes:
        outbox = Outbox(store=store, bus=bus, notifier=MemoryNotifier(), clock=SystemClock())
        task = asyncio.create_task(outbox.run_bus(beat, asyncio.Event()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    async with running(store, bus):
        pass
    sent = [json.loads(each.payload)["seq"] for each in bus.published]
    assert sorted(set(sent)) == list(range(1, 13))
    assert sent == sorted(sent)  # a repetition comes at once, never after a later message


async def test_it_works_on_sqlite_as_well(tmp_path: Path) -> None:
    store, bus, notifier = SqliteStore(tmp_path / "store.db"), MemoryBus(), MemoryNotifier()
    await store.open()
    await send(store, on_bus("a"), page("b"))
    async with running(store, bus, notifier):
        pass
    assert topics(bus) == ["a"]
    assert notifier.sent == [("b", "text of b")]
    assert await store.outbox(Channel.NOTIFY, 10) == []
    await store.close()


@pytest.mark.looptime
async def test_an_accepted_notification_is_put_on_record_for_its_incident(store: MemoryStore) -> None:
    notifier = MemoryNotifier()
    incident = Incident(
        id="i-1",
        key=Key.of("mbx1.contoso.com", "POP", "PopSelfTestMonitor"),
        health_set="POP",
        monitor="PopSelfTestMonitor",
        status=IncidentStatus.OPEN,
        state="verify",
        opened_at=NOW,
    )
    await store.commit(
        Commit(at=NOW, progress=Progress(incident=incident), told=Told(outgoing=(page("needs a human"),)))
    )
    async with running(store, MemoryBus(), notifier):
        await asyncio.sleep(1)
    assert notifier.sent == [("needs a human", "text of needs a human")]
    notified = [row.entry for row in await store.audit_of("i-1") if row.entry.kind is AuditKind.NOTIFIED]
    assert [(each.server, each.monitor) for each in notified] == [("mbx1.contoso.com", "PopSelfTestMonitor")]


@pytest.mark.looptime
async def test_a_page_goes_out_as_the_kind_it_was_stored_as_and_one_of_no_known_kind_as_trouble(
    store: MemoryStore,
) -> None:
    notifier = MemoryNotifier()
    asks, of_yesterday, of_tomorrow = page("asks"), page("of an older version"), page("of a newer version")
    asks = replace(asks, body={**asks.body, "kind": "question"})
    of_tomorrow = replace(of_tomorrow, body={**of_tomorrow.body, "kind": "poem"})
    await send(store, asks, of_yesterday, of_tomorrow)
    async with running(store, MemoryBus(), notifier):
        await asyncio.sleep(1)
    assert dict(zip([title for title, _ in notifier.sent], notifier.kinds, strict=True)) == {
        "asks": PageKind.QUESTION,
        "of an older version": PageKind.TROUBLE,
        "of a newer version": PageKind.TROUBLE,
    }


@pytest.mark.looptime(noop_cycles=0)  # a day of looks: idle turns between them would take most of the time
async def test_a_notification_that_is_refused_is_tried_for_ever_with_growing_pauses(store: MemoryStore) -> None:
    notifier = MemoryNotifier()
    notifier.refused = {"a"}
    await send(store, page("a"))
    clock = LoopClock()
    outbox = Outbox(store=store, bus=MemoryBus(), notifier=notifier, clock=clock)
    stopping = asyncio.Event()
    task = asyncio.create_task(outbox.run_notify(beat, stopping))
    await asyncio.sleep(24 * 3600)
    assert 95 < notifier.attempts < 110
    notifier.refused = set()
    await asyncio.sleep(901)
    assert notifier.sent == [("a", "text of a")]
    stopping.set()
    outbox.nudge()
    await task


@pytest.mark.looptime
async def test_without_a_channel_pages_are_on_record_as_not_sent_and_none_is_left_for_later(store: MemoryStore) -> None:
    await send(store, page("a"), page("b", incident=""))
    silent = Outbox(store=store, bus=MemoryBus(), notifier=None, clock=SystemClock())
    stopping = asyncio.Event()
    task = asyncio.create_task(silent.run_notify(beat, stopping))
    await asyncio.sleep(1)
    stopping.set()
    silent.nudge()
    await task
    assert await store.outbox(Channel.NOTIFY, 10) == []
    rows = [row.entry for row in await store.audit_after(0, 10)]
    assert sorted((row.kind, row.incident_id) for row in rows) == [
        (AuditKind.NOT_NOTIFIED, ""),
        (AuditKind.NOT_NOTIFIED, "i-1"),
    ]
    assert all("no channel is configured" in row.message for row in rows)
    notifier = MemoryNotifier()  # configured, months later
    async with running(store, MemoryBus(), notifier):
        await send(store, page("c"))
        await asyncio.sleep(10)
    assert [title for title, _ in notifier.sent] == ["c"]


class LoopClock:
    """The event loop's time as a clock, from now on."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return self._loop.time() - self._began

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SlowNotifier:
    """Takes an hour for messages titled slow, and refuses those titled bad."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.begun: list[str] = []

    async def notify(self, title: str, body: str, kind: PageKind) -> None:
        del body, kind
        self.begun.append(title)
        if title == "bad":
            raise NotifyFailed("no channel accepted the message")
        if title == "slow":
            await asyncio.sleep(3600)
        self.sent.append(title)


@pytest.mark.looptime
async def test_no_notification_waits_for_another(store: MemoryStore) -> None:
    notifier = SlowNotifier()
    await send(store, page("slow"), page("bad"), page("good"))
    async with running(store, MemoryBus(), notifier) as outbox:
        await asyncio.sleep(1)
        assert notifier.sent == ["good"]
        await send(store, page("later"))
        outbox.nudge()
        await asyncio.sleep(1)
        assert notifier.sent == ["good", "later"]
        await asyncio.sleep(7200)
        assert notifier.begun.count("slow") == 1
        assert notifier.sent == ["good", "later", "slow"]


@pytest.mark.looptime
async def test_a_crash_before_a_notification_is_recorded_sends_it_again(store: MemoryStore) -> None:
    await send(store, page("slow"))
    first = SlowNotifier()
    outbox = Outbox(store=store, bus=MemoryBus(), notifier=first, clock=SystemClock())
    task = asyncio.create_task(outbox.run_notify(beat, asyncio.Event()))
    await asyncio.sleep(10)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    second = MemoryNotifier()
    async with running(store, MemoryBus(), second):
        pass
    assert [title for title, _ in second.sent] == ["slow"]


@given(st.integers(0, 10_000))
def test_the_pauses_between_attempts_grow_to_a_quarter_of_an_hour(attempts: int) -> None:
    pause = (next_attempt(NOW, attempts) - NOW).total_seconds()
    assert 10 <= pause <= 900
    assert pause >= (next_attempt(NOW, max(0, attempts - 1)) - NOW).total_seconds()
