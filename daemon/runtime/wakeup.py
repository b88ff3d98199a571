"""A bell that wakes a loop early from its poll."""

import asyncio
from typing import Protocol

POLL = 5.0  #: seconds between looks of a loop that nobody wakes


class Stopwatch(Protocol):
    """Time that passes, whatever the clock on the wall is set to."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once so much of this time has passed."""
        ...


class Nudge:
    """Ring it after a commit; the loop that waits looks at once. A ring between a look and a wait is not lost.

    `poll`: seconds that a wait lasts without a ring if it is not told otherwise.
    """

    def __init__(self, clock: Stopwatch, poll: float = POLL) -> None:
        self.poll = poll
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There may be something to do."""
        self._rung.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Return when rung, or after `seconds` of the clock's time, by default `poll`; the ring is used up."""
        if self._rung.is_set():  # between the look and now: no need for a task that sleeps
            self._rung.clear()
            await asyncio.sleep(0)
            return
        passed = asyncio.create_task(self._clock.sleep(self.poll if seconds is None else seconds))
        passed.add_done_callback(self._passed)
        try:
            await self._rung.wait()
        finally:
            passed.remove_done_callback(self._passed)
            passed.cancel()
        self._rung.clear()

    def _passed(self, _sleep: asyncio.Task[None]) -> None:
        self._rung.set()
