"""Waiting for what another process does: for a condition, never for a fixed time, and however slowly it comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

#: Seconds after which something counts as hung. There is no shorter limit in the tests, as none would be right on every
#: machine; that of a whole test is twice this.
HANG = 600.0
_POLL = 0.01


async def eventually(condition: Callable[[], bool | Awaitable[bool]], what: str, hang: float = HANG) -> None:
    """Return once `condition` holds; fail naming `what` if it hangs."""
    end = time.monotonic() + hang
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"not within {hang:g} s: {what}"
        await asyncio.sleep(_POLL)


def eventually_sync(condition: Callable[[], bool], what: str) -> None:
    """`eventually` for code without an event loop."""
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, f"not within {HANG:g} s: {what}"
        time.sleep(_POLL)
