"""The follower that copies audit rows to a sink."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from daemon.adapters.clock import SystemClock
from daemon.audit.follower import RESEND, AuditFollower, Held
from daemon.domain.store import Store
from daemon.testing.memory_sink import MemorySink
from daemon.testing.memory_store import MemoryStore
from tests.audit.rows import entry, record
from tests.realparts.waiting import eventually

pytestmark = pytest.mark.looptime


def beat() -> None:
    """Nobody watches here."""


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    opened = MemoryStore()
    await opened.open()
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def following(
    store: Store, sink: MemorySink, resend: int = RESEND, held: Held = ()
) -> AsyncIterator[AuditFollower]:
    async def has() -> Held:
        return held

    follower = AuditFollower(store=store, sink=sink, clock=SystemClock(), resend=resend, held=has)
    stopping = asyncio.Event()
    running = asyncio.create_task(follower.run(beat, stopping))
    yield follower
    stopping.set()
    follower.nudge()
    await running


def seqs(sink: MemorySink) -> list[int]:
    return [row.seq for row in sink.rows]


async def test_rows_are_copied_in_order_and_the_rest_at_the_end(store: MemoryStore) -> None:
    sink = MemorySink()
    await record(store, [entry(str(number)) for number in range(450)])
    async with following(store, sink):
        await asyncio.sleep(1)
        assert seqs(sink) == list(range(1, 451))
        await record(store, [entry("last")])
    assert seqs(sink) == list(range(1, 452))
    assert await store.cursor("journal") == 451


async def test_a_nudge_copies_at_once_and_without_it_the_poll_does(store: MemoryStore) -> None:
    sink = MemorySink()
    async with following(store, sink) as follower:
        await asyncio.sleep(1)
        await record(store, [entry()])
        follower.nudge()
        await asyncio.sleep(0.1)
        assert seqs(sink) == [1]
        await record(store, [entry()])
        await asyncio.sleep(0.1)
        assert seqs(sink) == [1]
        await asyncio.sleep(5)
        assert seqs(sink) == [1, 2]


async def test_where_nobody_can_tell_what_arrived_the_last_hundred_rows_are_sent_again(store: MemoryStore) -> None:
    await record(store, [entry() for _ in range(250)])
    async with following(store, MemorySink()):
        pass
    sink = MemorySink()
    await record(store, [entry()])
    async with following(store, sink):
        pass
    assert seqs(sink) == list(range(151, 252))


async def test_after_a_restart_only_what_the_sink_lacks_is_sent_again(store: MemoryStore) -> None:
    await record(store, [entry() for _ in range(250)])
    first = MemorySink()
    async with following(store, first):
        pass
    lost = {170, 249, 250}
    has = [(row.seq, row.hash) for row in first.rows if row.seq not in lost]
    has.append((171, "of another store"))
    sink = MemorySink()
    await record(store, [entry()])
    async with following(store, sink, held=has):
        pass
    assert seqs(sink) == [170, 249, 250, 251]
    assert await store.cursor("journal") == 251


async def test_while_the_sink_is_down_nothing_is_lost_and_it_is_logged_once(store: MemoryStore) -> None:
    sink = MemorySink()
    with capture_logs() as logs:
        async with following(store, sink, resend=2) as follower:
            await record(store, [entry() for _ in range(5)])
            follower.nudge()
            await asyncio.sleep(1)
            sink.down = True
            await record(store, [entry() for _ in range(5)])
            await asyncio.sleep(300)
            assert seqs(sink) == [1, 2, 3, 4, 5]
            assert 5 < sink.refusals < 30
            sink.down = False
            await asyncio.sleep(31)
    assert seqs(sink) == [1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 10]
    assert [each["event"] for each in logs] == ["audit_sink_down", "audit_sink_up"]


async def test_a_crash_before_the_cursor_is_written_repeats_rows_and_loses_none(store: MemoryStore) -> None:
    sink = MemorySink()
    await record(store, [entry() for _ in range(10)])
    follower = AuditFollower(store=store, sink=sink, clock=SystemClock(), resend=0)
    running = asyncio.create_task(follower.run(beat, asyncio.Event()))
    await eventually(lambda: len(sink.rows) >= 3, "some rows are out")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    async with following(store, sink, resend=0):
        pass
    assert set(seqs(sink)) == set(range(1, 11))


async def test_stopping_does_not_wait_for_a_sink_that_is_down(store: MemoryStore) -> None:
    sink = MemorySink()
    sink.down = True
    await record(store, [entry()])
    async with asyncio.timeout(1):
        async with following(store, sink):
            await asyncio.sleep(0.1)
    assert await store.cursor("journal") == 0
