"""The watch over the ledger: what it finds, that it tells it once, and what it costs nobody."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.adapters.clock import SystemClock
from daemon.adapters.sqlite.store import SqliteStore
from daemon.audit.ledger_watch import LATEST, SOONEST, THOROUGH, LedgerWatch, grown
from daemon.domain.alerts import AlertStatus
from daemon.domain.audit import AuditKind, AuditRow
from daemon.domain.commits import Channel, Routing
from daemon.domain.errors import StoreError
from daemon.domain.incidents import IncidentStatus
from daemon.domain.ledger import Ledger, Mismatch
from daemon.domain.store import Store
from daemon.testing.memory_store import MemoryStore
from tests.adapters.sqlite import samples
from tests.adapters.sqlite.samples import EVERYTHING, work


@dataclass
class Watched:
    """A watch, and what it was told from outside."""

    store: Store
    acknowledged: int = 0
    committed: list[None] = field(default_factory=list)

    def watch(self) -> LedgerWatch:
        return LedgerWatch(
            store=self.store,
            clock=SystemClock(),
            prefix="exmedic",
            acknowledged=lambda: self.acknowledged,
            committed=lambda: self.committed.append(None),
        )

    async def audit(self, kind: AuditKind) -> list[AuditRow]:
        return [row for row in await self.store.audit_after(0, EVERYTHING) if row.entry.kind is kind]

    async def pages(self) -> list[str]:
        rows = await self.store.outbox(Channel.NOTIFY, EVERYTHING)
        return [str(row.message.body["text"]) for row in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exmedic.db"


async def fill(store: Store) -> None:
    """Two joined alerts, a pending, a suppressed and a rejected one; a resolved and an open incident."""
    await store.ingest([samples.received(f"k{number}") for number in range(4)])
    await store.ingest([samples.unreadable("bad"), samples.received("k0")])
    opened = await store.commit(
        work(
            incident=samples.on("a", "i1"),
            routing=Routing(alert_ids=(1,), status=AlertStatus.JOINED, incident_id="i1"),
        )
    )
    assert opened is not None
    await store.commit(work(incident=samples.on("b", "i2", status=IncidentStatus.RESOLVED)))
    await store.commit(work(routing=Routing(alert_ids=(2,), status=AlertStatus.JOINED, incident_id="i2")))
    await store.commit(work(routing=Routing(alert_ids=(3,), status=AlertStatus.SUPPRESSED, reason="not in inventory")))
    await store.commit(work(incident=samples.on("c", "i3"), step=None))


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Watched]:
    store = SqliteStore(path)
    await store.open()
    try:
        yield Watched(store)
    finally:
        await store.close()


def by_hand(path: Path, *statements: str) -> None:
    """What somebody with a sqlite3 shell can do: its foreign keys are off, and triggers can be dropped."""
    with closing(sqlite3.connect(path)) as database, database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        for statement in statements:
            assert database.execute(statement).rowcount > 0, statement


ADDED = (
    "INSERT INTO alerts (dedup_key, topic, payload, size, received_at, alert, status, reason) "
    "SELECT 'new', topic, payload, size, received_at, alert, status, reason FROM alerts WHERE id = 4"
)
WRONGS = {
    "an alert is deleted": (
        ("DELETE FROM alerts WHERE id = 4",),
        {"accepted": (6, 5), "alerts pending": (1, 0)},
    ),
    "an alert that came twice is deleted": (
        ("DELETE FROM alerts WHERE id = 1",),
        {"accepted": (6, 4), "alerts joined": (2, 1)},
    ),
    "an alert's repetitions are forgotten": (("UPDATE alerts SET seen = 1 WHERE id = 1",), {"accepted": (6, 5)}),
    "an alert is set aside": (
        ("UPDATE alerts SET status = 'suppressed' WHERE id = 4",),
        {"alerts pending": (1, 0), "alerts suppressed": (1, 2)},
    ),
    "an incident is deleted": (
        ("DELETE FROM incidents WHERE id = 'i3'",),
        {"opened": (3, 2), "incidents open": (2, 1)},
    ),
    "an incident is ended": (
        ("UPDATE incidents SET status = 'resolved' WHERE id = 'i3'",),
        {"incidents open": (2, 1), "incidents resolved": (1, 2)},
    ),
    "an alert's incident is deleted": (
        ("DELETE FROM incidents WHERE id = 'i2'",),
        {"opened": (3, 2), "incidents resolved": (1, 0), "alerts without the incidents": (0, 1)},
    ),
    "an alert joins an incident that never was": (
        ("UPDATE alerts SET incident_id = 'i9' WHERE id = 2",),
        {"alerts without the incidents": (0, 1)},
    ),
    "a claim is held by nobody": (
        ("INSERT INTO claims (scope, incident_id, since) VALUES ('a', 'i9', '')",),
        {"claims without the incidents": (0, 1)},
    ),
    "an alert is added": (
        (ADDED,),
        {"accepted": (6, 7), "alerts pending": (1, 2)},
    ),
}


@pytest.mark.parametrize(("statements", "figures"), WRONGS.values(), ids=WRONGS.keys())
async def test_what_was_done_behind_the_daemons_back_is_found_and_told_once_with_both_figures(
    path: Path, statements: tuple[str, ...], figures: dict[str, tuple[int, int]]
) -> None:
    async with opened(path) as before:
        await fill(before.store)
        assert await before.watch().check(thorough=True) == ()
    by_hand(path, *statements)
    async with opened(path) as watched:
        found = await watched.watch().check(thorough=True)
        assert {each.name: (each.counted, each.found) for each in found} == figures
        [row] = await watched.audit(AuditKind.LEDGER_MISMATCH)
        assert row.entry.fields["figures"] == {name: list(both) for name, both in figures.items()}
        [text] = await watched.pages()
        assert all(str(figure) in text for both in figures.values() for figure in both if figure)
        assert "exmedic audit verify" in text
        [escalation] = [
            row.message
            for row in await watched.store.outbox(Channel.BUS, EVERYTHING)
            if row.message.topic == "exmedic/escalations"
        ]
        assert set(escalation.body["ledger"]) == set(figures)
        assert watched.committed
    async with opened(path) as again:  # after a restart
        watch = again.watch()
        assert {each.name for each in await watch.check(thorough=True)} == set(figures)
        await watch.check(thorough=False)
        assert len(await again.pages()) == 1


async def test_what_balances_again_is_put_on_record_once_and_would_be_told_again(path: Path) -> None:
    async with opened(path) as before:
        await fill(before.store)
    by_hand(path, "UPDATE incidents SET status = 'resolved' WHERE id = 'i3'")
    async with opened(path) as watched:
        await watched.watch().check(thorough=True)
    by_hand(path, "UPDATE incidents SET status = 'open' WHERE id = 'i3'")
    async with opened(path) as watched:
        for _ in range(2):
            assert await watched.watch().check(thorough=True) == ()
        [row] = await watched.audit(AuditKind.LEDGER_BALANCED)
        assert row.entry.fields["names"] == ["incidents open", "incidents resolved"]
        assert (await watched.store.ledger()).told == {}
    by_hand(path, "UPDATE incidents SET status = 'resolved' WHERE id = 'i3'")
    async with opened(path) as watched:
        await watched.watch().check(thorough=True)
        assert len(await watched.pages()) == 2


async def test_what_only_a_thorough_look_finds_is_not_called_balanced_by_a_quick_one(path: Path) -> None:
    async with opened(path) as before:
        await fill(before.store)
    by_hand(path, "UPDATE alerts SET incident_id = 'i9' WHERE id = 2")
    async with opened(path) as watched:
        watch = watched.watch()
        for thorough in (True, False, True, False):
            await watch.check(thorough=thorough)
        assert await watched.audit(AuditKind.LEDGER_BALANCED) == []
        assert len(await watched.pages()) == 1


async def test_a_store_with_wrong_figures_goes_on_taking_in_routing_and_opening(path: Path) -> None:
    async with opened(path) as before:
        await fill(before.store)
    by_hand(path, ADDED, "UPDATE tallies SET value = -5")
    async with opened(path) as watched:
        await watched.store.ingest([samples.received("later")])
        for alert in await watched.store.pending_alerts(EVERYTHING):
            await watched.store.commit(work(routing=Routing(alert_ids=(alert.id,), status=AlertStatus.SUPPRESSED)))
        await watched.store.commit(work(incident=samples.on("z", "i7")))


class TestAcknowledged:
    async def test_a_message_acknowledged_and_not_stored_is_found(self) -> None:
        watched = Watched(MemoryStore())
        await watched.store.open()
        await watched.store.ingest([samples.received("before the start")])
        watch = watched.watch()
        assert await watch.check(thorough=True) == ()
        await watched.store.ingest([samples.received("k1"), samples.received("k2")])
        watched.acknowledged = 1  # the other one's is on its way
        assert await watch.check(thorough=False) == ()
        watched.acknowledged = 3
        [found] = await watch.check(thorough=False)
        assert (found.name, found.counted, found.found) == ("acknowledged", 2, 3)
        [text] = await watched.pages()
        assert "3 alerts were acknowledged to the broker since the start, but 2 were stored" in text


def mismatch(name: str, size: int) -> Mismatch:
    return Mismatch(name, 0, size, f"{name} {size}")


@pytest.mark.parametrize(
    ("size", "told", "tells"),
    [(1, {}, True), (1, {"a": 1}, False), (2, {"a": 1}, True), (3, {"a": 2}, False), (4, {"a": 2}, True)],
)
def test_a_difference_is_told_when_it_is_new_and_each_time_it_has_doubled(
    size: int, told: dict[str, int], tells: bool
) -> None:
    assert bool(grown([mismatch("a", size)], told)) is tells


class Counting(MemoryStore):
    """Notes when the ledger was read, and how thoroughly."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[float, bool]] = []
        self.broken = False

    async def ledger(self, *, thorough: bool = False) -> Ledger:
        self.reads.append((asyncio.get_running_loop().time(), thorough))
        if self.broken:
            raise StoreError("the disk is gone")
        return await super().ledger(thorough=thorough)


@contextlib.asynccontextmanager
async def running(store: Counting) -> AsyncIterator[tuple[LedgerWatch, Callable[[], int]]]:
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    watch, stopping = Watched(store).watch(), asyncio.Event()
    loop = asyncio.create_task(watch.run(beat, stopping))
    yield watch, lambda: beats
    stopping.set()
    watch.nudge()
    async with asyncio.timeout(1):
        await loop


@pytest.mark.looptime
class TestLoop:
    async def test_a_quiet_ledger_is_read_every_five_minutes_and_the_loop_shows_life_meanwhile(self) -> None:
        store = Counting()
        await store.open()
        async with running(store) as (_, beats):
            await asyncio.sleep(2 * LATEST + 1)
            assert [at for at, _ in store.reads] == [LATEST, 2 * LATEST]
            assert beats() > 100

    async def test_after_changes_it_is_read_once_a_minute_however_many_there_are(self) -> None:
        store = Counting()
        await store.open()
        async with running(store) as (watch, _):
            for _ in range(600):
                watch.changed()
                await asyncio.sleep(1)
            assert [at for at, _ in store.reads] == pytest.approx(
                [SOONEST * number for number in range(1, 11)][: len(store.reads)]
            )
            assert len(store.reads) >= 9

    async def test_every_hour_it_looks_thoroughly(self) -> None:
        store = Counting()
        await store.open()
        async with running(store):
            await asyncio.sleep(2 * THOROUGH + 1)
            assert [at for at, thorough in store.reads if thorough] == [THOROUGH, 2 * THOROUGH]

    async def test_a_store_that_cannot_be_read_does_not_end_it_and_is_tried_again_soon(self) -> None:
        store = Counting()
        await store.open()
        async with running(store):
            store.broken = True
            await asyncio.sleep(LATEST + 20)
            assert len(store.reads) > 2
            store.broken = False
            before = len(store.reads)
            await asyncio.sleep(10)
            assert len(store.reads) == before + 1
