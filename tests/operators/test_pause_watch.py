"""Pauses that no command to the daemon made or ended: on record, kept, and reminded of."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.adapters import pause_orders
from daemon.adapters.pause_file import PauseFile
from daemon.domain.audit import AuditKind
from daemon.domain.commits import Channel, Commit
from daemon.domain.errors import StoreError
from daemon.domain.pauses import EVERYTHING, SYSTEM_TIME, Terms
from daemon.operators.pause_watch import REMINDED_AFTER, PauseWatch
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.realparts.waiting import eventually
from tests.remediation.world import MBX1, inventory

ORDER = Terms(id="00c0ffee", uid=0)


@dataclass
class World:
    """A switch on the disk, and who looks after it. What the files go by is the system's time, which is moved here."""

    switch: PauseFile
    store: MemoryStore
    commits: list[None] = field(default_factory=list)

    def watch(self, now: Callable[[], datetime] = SYSTEM_TIME) -> PauseWatch:
        return PauseWatch(
            switch=self.switch,
            inventory=inventory(),
            store=self.store,
            clock=ManualClock(),
            prefix="exmedic",
            committed=lambda: self.commits.append(None),
            now=now,
        )

    async def told(self) -> list[tuple[AuditKind, str]]:
        return [(row.entry.kind, row.entry.message) for row in await self.store.audit_after(0, 100)]

    async def pages(self) -> list[str]:
        return [each.message.topic for each in await self.store.outbox(Channel.NOTIFY, 100)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = MemoryStore()
    await store.open()
    switch = PauseFile(tmp_path / "pause", inventory())
    switch.prepare()
    yield World(switch, store)
    await store.close()


async def test_an_order_that_was_given_without_the_daemon_is_on_record_and_kept(world: World) -> None:
    file = world.switch.order("by anybody: smoke", MBX1, ORDER)
    await world.watch().look()
    told = f"the pause of {MBX1} was ordered without exmedic, by root; by anybody: smoke"
    assert await world.told() == [(AuditKind.PAUSED, told)], "whose the file is, and not what it says"
    file.unlink()
    await world.watch().look()
    assert world.switch.standing() == {MBX1: "by anybody: smoke"}
    assert len(await world.told()) == len(world.commits) == 1


async def test_who_is_just_asking_for_it_by_command_is_left_to_that(world: World) -> None:
    watch = world.watch()
    await watch.look()
    file = world.switch.order("smoke", EVERYTHING, ORDER)
    await watch.look()
    assert await world.told() == []
    file.unlink()
    world.switch.order("smoke", EVERYTHING, ORDER)
    await world.watch().look()
    assert len(await world.told()) == 1, "at its start nobody asks yet"


async def test_what_cannot_be_put_on_record_is_put_there_later_and_pauses_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(_commit: object) -> None:
        raise StoreError("full")

    world.switch.order("smoke", EVERYTHING, ORDER)
    watch = world.watch()
    with monkeypatch.context() as patched:
        patched.setattr(world.store, "commit", refuses)
        with pytest.raises(StoreError):
            await watch.look()
    assert world.switch.reason() == "smoke"
    await watch.look()
    assert [kind for kind, _ in await world.told()] == [AuditKind.PAUSED]


async def test_what_is_resumed_while_it_is_put_on_record_stays_resumed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.store.commit

    async def resumed_meanwhile(what: Commit) -> None:
        await commit(what)
        assert world.switch.resume(MBX1)

    world.switch.order("smoke", MBX1, ORDER)
    monkeypatch.setattr(world.store, "commit", resumed_meanwhile)
    await world.watch().look()
    assert not world.switch.orders()


async def test_while_a_disk_hangs_under_a_pause_the_loop_that_looks_after_pauses_hangs_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, goes_on = threading.Event(), threading.Event()
    replace = pause_orders.replace

    def slow(*args: Any) -> None:  # noqa: ANN401 - as it is called
        hangs.set()
        goes_on.wait(60)
        replace(*args)

    monkeypatch.setattr(pause_orders, "replace", slow)
    world.switch.order("smoke", MBX1, ORDER)
    pausing = asyncio.create_task(world.switch.engage("hangs"))
    await asyncio.to_thread(hangs.wait)
    looking = asyncio.create_task(world.watch().look())
    await eventually(lambda: bool(world.commits), "the order is on record")
    assert not looking.done()
    goes_on.set()
    await asyncio.gather(pausing, looking)
    assert set(world.switch.standing()) == {EVERYTHING, MBX1}


async def test_a_pause_whose_time_is_over_is_taken_away_and_on_record(world: World) -> None:
    over = Terms(id="00c0ffee", uid=0, until=SYSTEM_TIME() - timedelta(seconds=1))
    world.switch.pause("by root: smoke", MBX1, over)
    world.switch.order("by root: smoke", EVERYTHING, over)
    await world.watch().look()
    assert [kind for kind, _ in await world.told()] == [AuditKind.RESUMED, AuditKind.RESUMED]
    assert not world.switch.orders()
    assert not [*world.switch.directory.iterdir(), *world.switch.ordered.iterdir()]


async def test_what_stands_for_hours_pages_again_and_again_and_starts_anew_once_it_was_over(
    world: World,
) -> None:
    shift = timedelta()
    world.switch.path.touch()  # by hand
    world.switch.pause("by root: smoke", MBX1, ORDER)
    watch, paged = world.watch(lambda: SYSTEM_TIME() + shift), []
    for hours in (0, 3.9, 4.1, 5, 7, 8.2, 9):
        shift = timedelta(hours=hours)
        await watch.look()
        paged.append(len(await world.pages()))
    assert timedelta(hours=4) == REMINDED_AFTER
    assert paged == [0, 0, 1, 1, 1, 2, 2]
    text = (await world.store.outbox(Channel.NOTIFY, 1))[0].message.body["text"]
    assert f"- {MBX1} since " in str(text)
    assert "- everything since " in str(text)
    os.unlink(world.switch.path)  # noqa: PTH108 - as by hand
    world.switch.resume(MBX1)
    await watch.look()
    world.switch.pause("anew", EVERYTHING, ORDER)
    await watch.look()
    assert len(await world.pages()) == 3, "nine hours are over since that one began, by this clock"
