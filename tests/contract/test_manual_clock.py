"""The clock that tests move by hand."""

import asyncio
from datetime import timedelta

import pytest

from daemon.testing.clock import NOON, ManualClock


async def sleeper(clock: ManualClock, seconds: float, woken: list[float]) -> None:
    await clock.sleep(seconds)
    woken.append(seconds)


async def test_time_passes_only_when_it_is_moved() -> None:
    clock = ManualClock()
    await asyncio.sleep(0)
    assert (clock.now(), clock.monotonic()) == (NOON, 0.0)
    clock.advance(90.5)
    assert (clock.now(), clock.monotonic()) == (NOON + timedelta(seconds=90.5), 90.5)


async def test_sleepers_wake_in_order_when_the_clock_has_reached_them_and_not_before() -> None:
    clock, woken = ManualClock(), list[float]()
    async with asyncio.TaskGroup() as tasks:
        for seconds in (30.0, 10.0, 20.0):
            tasks.create_task(sleeper(clock, seconds, woken))
        await clock.asleep(3)
        clock.advance(9.999)
        assert clock.sleeping == 3
        clock.advance(10.001)
        assert clock.sleeping == 1
        clock.advance(10)
    assert woken == [10, 20, 30]


async def test_a_cancelled_sleep_is_forgotten() -> None:
    clock, woken = ManualClock(), list[float]()
    task = asyncio.ensure_future(sleeper(clock, 10, woken))
    await clock.asleep()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.sleeping == 0
    clock.advance(10)
    assert woken == []


async def test_a_sleep_of_nothing_ends_by_itself() -> None:
    await ManualClock().sleep(0)


def test_the_clock_never_goes_back() -> None:
    with pytest.raises(ValueError, match="advance"):
        ManualClock().advance(-1)
