"""A bell that wakes a loop early from its poll."""

import asyncio

from daemon.ports import Clock


class Nudge:
    """Ring it after a commit; the loop that waits looks at once. A ring between a look and a wait is not lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There may be something to do."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Return when rung, or after `seconds` of the clock's time; the ring is used up."""
        rung = asyncio.ensure_future(self._rung.wait())
        passed = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({rung, passed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rung.cancel()
            passed.cancel()
            await asyncio.gather(rung, passed, return_exceptions=True)
        self._rung.clear()
