"""Tasks end even when a library swallows a cancellation."""

import asyncio
import contextlib

import pytest

from daemon.runtime.tasks import cancel


@pytest.mark.looptime
async def test_a_task_that_swallows_its_first_cancellation_ends_all_the_same() -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await cancel(task)
    assert task.cancelled()


async def test_a_task_that_fails_or_is_over_is_no_error() -> None:
    async def failing() -> None:
        raise ValueError("while it ended")

    async def over() -> None:
        return

    tasks = [asyncio.create_task(failing()), asyncio.create_task(over())]
    await asyncio.sleep(0)
    await cancel(*tasks)
    assert all(task.done() for task in tasks)
