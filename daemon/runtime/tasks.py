"""Ending tasks for sure."""

import asyncio

_AGAIN = 1.0  #: real seconds


async def cancel(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and return once all have ended, however.

    Asked again and again: `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes just as what it waits
    for is done (CPython issue 86296), and a library below us uses it.
    """
    while pending := {task for task in tasks if not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)
