"""The loop of a simulated night: time jumps, and who waits for nothing is told."""

import asyncio
from collections.abc import Iterator

import pytest

from daemon.simulation.virtual_loop import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


def test_time_jumps_to_the_next_timer(loop: VirtualLoop) -> None:
    async def night() -> list[tuple[float, str]]:
        woken: list[tuple[float, str]] = []

        async def sleeper(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            woken.append((loop.time(), name))

        await asyncio.gather(sleeper(86_400.25, "a day"), sleeper(0, "at once"), sleeper(0.5, "soon"))
        return woken

    assert loop.run_until_complete(night()) == [(0.0, "at once"), (0.5, "soon"), (86_400.25, "a day")]


def test_however_short_a_sleep_is_it_ends(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(1e-8))
    assert 0 < loop.time() < 1e-5


def test_a_night_in_which_nothing_can_happen_any_more_does_not_hang(loop: VirtualLoop) -> None:
    with pytest.raises(RuntimeError, match="no timer runs"):
        loop.run_until_complete(loop.create_future())
