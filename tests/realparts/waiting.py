"""Waiting for what another process does: a condition with a deadline, never a fixed pause."""

import asyncio
import time
from collections.abc import Awaitable, Callable

DEADLINE = 10.0  #: seconds; a condition that takes longer on a busy machine is a failure worth seeing
_POLL = 0.01


async def eventually(condition: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = DEADLINE) -> None:
    """Return once `condition` holds; fail naming `what` if it does not within `seconds`."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_POLL)


def eventually_sync(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """`eventually` for code without an event loop."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(_POLL)
