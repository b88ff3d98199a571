"""The loop that forgets what is old: it looks now and then, and costs nothing in between."""

import asyncio

import pytest

from daemon.audit.retention import BETWEEN, EVERY, RetentionLoop
from daemon.config.retention import Retention
from daemon.domain.retention import Prune, Pruned
from daemon.simulation.world import TrueClock
from daemon.testing.memory_store import MemoryStore

pytestmark = pytest.mark.looptime


class Full(MemoryStore):
    """Has so many slices of what is old, and notes when each was forgotten."""

    def __init__(self, slices: int) -> None:
        super().__init__()
        self.left = slices
        self.looks: list[float] = []

    async def prune(self, _order: Prune) -> Pruned:
        self.looks.append(asyncio.get_running_loop().time())
        self.left -= 1
        return Pruned(more=self.left > 0)


async def lives(store: Full, seconds: float) -> int:
    """Let the loop run for so long; how often it woke."""
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    loop = RetentionLoop(settings=Retention(), store=store, clock=TrueClock(), prefix="exmedic", committed=lambda: None)
    stopping = asyncio.Event()
    running = asyncio.create_task(loop.run(beat, stopping))
    await asyncio.sleep(seconds)
    stopping.set()
    loop.nudge()
    await running
    return beats


async def test_with_nothing_to_forget_it_looks_every_ten_minutes_and_wakes_no_more_often_than_its_poll() -> None:
    store = Full(slices=0)
    beats = await lives(store, 2 * EVERY + 1)
    assert store.looks == pytest.approx([0, EVERY, 2 * EVERY])
    assert beats <= 2 * EVERY / 5 + 3


async def test_what_is_old_goes_slice_by_slice_with_a_pause_for_others_in_between() -> None:
    store = Full(slices=20)
    await lives(store, EVERY)
    assert len(store.looks) == 20
    assert 19 * BETWEEN <= store.looks[-1] < 40 * BETWEEN
