"""A session that the broker forgot is told once, counted, and known over restarts."""

from collections.abc import AsyncIterator

import pytest

from daemon.audit.session_watch import SessionWatch, forgotten
from daemon.domain.audit import AuditKind
from daemon.domain.commits import Channel
from daemon.testing.clock import ManualClock
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    made = MemoryStore()
    await made.open()
    yield made
    await made.close()


def started(store: MemoryStore, bus: MemoryBus) -> SessionWatch:
    """What a daemon that is just started has."""
    return SessionWatch(bus=bus, store=store, clock=ManualClock(), prefix="exmedic", committed=lambda: None)


async def told(store: MemoryStore) -> tuple[int, int]:
    """How many audit rows and pages there are."""
    rows = [row for row in await store.audit_after(0, 100) if row.entry.kind is AuditKind.SESSION_LOST]
    return len(rows), len(await store.outbox(Channel.NOTIFY, 100))


async def test_the_first_session_of_all_is_no_loss(store: MemoryStore) -> None:
    bus = MemoryBus()
    bus.fresh_sessions = 1
    await started(store, bus).look()
    assert (await told(store), await forgotten(store)) == ((0, 0), 0)


async def test_a_session_lost_while_the_daemon_runs_is_told_once_and_counted(store: MemoryStore) -> None:
    bus = MemoryBus()
    watch = started(store, bus)
    await watch.look()
    bus.fresh_sessions = 1
    for _ in range(3):
        await watch.look()
    assert (await told(store), await forgotten(store)) == ((1, 1), 1)


async def test_a_session_lost_while_no_daemon_ran_is_told_by_the_next_one(store: MemoryStore) -> None:
    await started(store, MemoryBus()).look()
    bus = MemoryBus()
    bus.fresh_sessions = 1
    await started(store, bus).look()
    await started(store, MemoryBus()).look()  # found its session
    assert (await told(store), await forgotten(store)) == ((1, 1), 1)


async def test_nothing_is_said_of_a_bus_that_is_not_connected(store: MemoryStore) -> None:
    bus = MemoryBus()
    watch = started(store, bus)
    await watch.look()
    bus.fresh_sessions = 1
    bus.go_down()
    await watch.look()
    assert await told(store) == (0, 0)
    bus.go_up()
    await watch.look()
    assert await told(store) == (1, 1)
