"""What every store forgets, and that ledger and chain are right after it: memory and SQLite alike."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.audit.restored_store import Copy, missing_row
from daemon.audit.retention import RetentionLoop
from daemon.audit.verification import verify_chain
from daemon.config.retention import Retention
from daemon.domain.alerts import AlertStatus, Received
from daemon.domain.audit import AuditKind
from daemon.domain.commits import AlertChanges, Channel, Commit, Progress, Routing
from daemon.domain.incidents import Incident, IncidentStatus, StepStatus, UndoStatus
from daemon.domain.retention import AuditCut, Prune
from daemon.domain.store import Store
from daemon.outgoing.outbox import bus_payload
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from statemachines.actions import Effect
from tests.adapters.sqlite import samples

NOW = datetime(2026, 11, 5, 3, 0, tzinfo=UTC)
ORDER = Prune(
    at=NOW,
    before=NOW - timedelta(days=365),
    rejected_before=NOW - timedelta(days=1),
    rejected_most=1000,
    rejected_bytes=10_000_000,
    limit=50,
    follower="journal",
    topics="exmedic/incidents",
)
LONG_AGO = NOW - timedelta(days=400)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "exmedic.db")
    await made.open()
    yield made
    await made.close()


def garbage(number: int, at: datetime, size: int = 10) -> Received:
    return Received(
        topic="alerts/scom/x",
        payload=b"x" * size,
        size=size,
        dedup_key=f"garbage-{number}",
        received_at=at,
        alert=None,
        rejection="not JSON",
    )


async def healthy(store: Store) -> None:
    """Ledger and chain are right."""
    assert (await store.ledger(thorough=True)).imbalance == ""
    verdict = await verify_chain(store)
    assert verdict.finding is None


async def rejected(store: Store) -> int:
    return (await store.ledger()).alerts[AlertStatus.REJECTED]


async def emptied(store: Store, order: Prune = ORDER) -> int:
    """Forget until there is nothing more; how many slices that took."""
    slices = 1
    while (await store.prune(order)).more:
        slices += 1
    return slices


async def past(store: Store, name: str = "i1", status: IncidentStatus = IncidentStatus.RESOLVED) -> Incident:
    """An incident that ended long ago, with an alert, a step and a change that was put back."""
    (alert,) = await store.ingest([replace(samples.received(name), received_at=LONG_AGO)])
    opened = replace(samples.on(f"{name}.contoso.com", name), opened_at=LONG_AGO)
    routing = Routing(alert_ids=(alert.id,), status=AlertStatus.JOINED, incident_id=name)
    incident = await store.commit(
        Commit(at=LONG_AGO, progress=Progress(incident=opened), alerts=AlertChanges(routing=routing))
    )
    assert incident
    ended = replace(incident, status=status, due_at=None, ended_at=LONG_AGO, reason="over")
    step = samples.step(f"s-{name}", incident_id=name, effect=Effect.READ, status=StepStatus.DONE)
    undo = samples.undo_item(f"u-{name}", incident_id=name, status=UndoStatus.DONE)
    incident = await store.commit(Commit(at=LONG_AGO, progress=Progress(incident=ended, step=step, undo=(undo,))))
    assert incident
    return incident


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (ORDER, 60),
        (replace(ORDER, rejected_most=30), 30),
        (replace(ORDER, rejected_bytes=255), 25),
        (replace(ORDER, rejected_before=NOW + timedelta(seconds=1)), 0),
    ],
    ids=["time", "number", "size", "all"],
)
async def test_what_was_rejected_is_bounded_in_time_number_and_size_and_what_goes_is_counted(
    store: Store, order: Prune, left: int
) -> None:
    await store.ingest([garbage(number, LONG_AGO if number < 120 else NOW) for number in range(180)])
    await store.ingest([garbage(0, LONG_AGO)])  # a repetition of what goes
    assert await emptied(store, order) > 1, "in slices"
    assert await rejected(store) == left
    ledger = await store.ledger()
    assert (ledger.accepted, ledger.stored + ledger.duplicates + ledger.dropped) == (181, 181)
    await healthy(store)


async def test_the_newest_of_what_was_rejected_is_what_stays(store: Store) -> None:
    await store.ingest([garbage(number, NOW) for number in range(20)])
    await store.prune(replace(ORDER, rejected_most=5))
    stored = await store.ingest([garbage(number, NOW) for number in range(15, 20)])
    assert [each.seen for each in stored] == [2] * 5


async def test_an_ended_incident_goes_with_all_that_belongs_to_it_and_its_topic_is_cleared(store: Store) -> None:
    await past(store)
    assert (await store.prune(ORDER)).incidents == 1
    assert await store.incident("i1") is None
    assert (await store.alerts_of("i1"), await store.steps("i1"), await store.undo_items("i1")) == ([], [], [])
    (row,) = [each for each in await store.outbox(Channel.BUS, 10) if each.message.topic == "exmedic/incidents/i1"]
    assert (bus_payload(row), row.message.retain) == (b"", True)
    await healthy(store)


async def test_what_somebody_may_still_need_stays(store: Store) -> None:
    latched = await past(store, "i1", IncidentStatus.ESCALATED)
    await store.commit(Commit(at=LONG_AGO, progress=Progress(incident=replace(latched, latched=True))))
    left = await past(store, "i2", IncidentStatus.ESCALATED)
    undo = replace(samples.undo_item("u1"), incident_id="i2", status=UndoStatus.LEFT)
    await store.commit(Commit(at=LONG_AGO, progress=Progress(incident=left, undo=(undo,))))
    await store.commit(Commit(at=LONG_AGO, progress=Progress(incident=samples.incident("i3", opened_at=LONG_AGO))))
    await store.ingest([samples.received("pending")])
    assert (await store.prune(ORDER)).incidents == 0
    assert len(await store.incidents()) == 3
    assert len(await store.pending_alerts(10)) == 1
    await healthy(store)


async def test_the_trail_is_cut_behind_what_was_copied_and_stays_verifiable(store: Store) -> None:
    await store.ingest([replace(garbage(number, LONG_AGO), received_at=LONG_AGO) for number in range(120)])
    copies = [(row.seq, row.hash) for row in await store.audit_after(0, 1000)]
    await store.prune(ORDER)
    assert (await store.audit_cut()).seq == 0, "nothing was copied yet"
    await store.set_cursor("journal", 100)
    await emptied(store)
    cut = await store.audit_cut()
    assert (cut.seq, cut.hash) == (100, copies[99][1])
    assert (await store.audit_after(0, 1))[0].seq == 101
    await healthy(store)

    async def old_and_new() -> AsyncIterator[tuple[int, str]]:
        for copy in copies:
            yield copy

    verdict = await verify_chain(store, old_and_new())
    assert (verdict.finding, verdict.compared, verdict.cut) == (None, 20, 100)

    async def newest_first() -> AsyncIterator[Copy]:
        for seq, digest in reversed(copies):
            yield Copy(seq, digest, "")

    assert await missing_row(store, newest_first()) is None


async def test_what_is_forgotten_while_the_trail_is_verified_is_not_found_missing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.ingest([replace(garbage(number, LONG_AGO), received_at=LONG_AGO) for number in range(120)])
    copies = [(row.seq, row.hash) for row in await store.audit_after(0, 1000)]
    read, cuts = store.audit_cut, iter((50, 100))

    async def forgetting_meanwhile() -> AuditCut:
        cut = await read()
        if (up_to := next(cuts, None)) is not None:
            await store.set_cursor("journal", up_to)
            await emptied(store)
        return cut

    monkeypatch.setattr(store, "audit_cut", forgetting_meanwhile)

    async def while_copies_are_read() -> AsyncIterator[tuple[int, str]]:
        await store.set_cursor("journal", 110)
        await emptied(store)
        for copy in copies:
            yield copy

    verdict = await verify_chain(store, while_copies_are_read())
    assert (verdict.finding, verdict.compared) == (None, 10)


async def test_the_last_row_of_the_trail_stays_whatever_its_age(store: Store) -> None:
    await store.ingest([garbage(1, LONG_AGO)])
    await store.set_cursor("journal", 1)
    await emptied(store)
    assert await store.audit_after(0, 10)
    await store.ingest([garbage(2, NOW)])
    await healthy(store)


async def test_the_loop_forgets_by_the_settings_and_puts_it_on_record(store: Store) -> None:
    clock = ManualClock(NOW)
    loop = RetentionLoop(
        settings=Retention(rejected=3600.0), store=store, clock=clock, prefix="exmedic", committed=lambda: None
    )
    await store.ingest([garbage(1, NOW - timedelta(hours=2)), garbage(2, NOW)])
    assert (await loop.look()).rejected == 1
    assert not (await loop.look()).anything
    kinds = [row.entry.kind for row in await store.audit_after(0, 100)]
    assert kinds.count(AuditKind.PRUNED) == 1
    await healthy(store)
