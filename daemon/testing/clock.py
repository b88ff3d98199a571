"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


class ManualClock:
    """`ports.Clock` moved by hand. A sleep ends when `advance` has moved the clock to its end.

    To move time past a sleep that another task is about to begin, first `await asleep()`: a sleep that begins after
    `advance` counts from the later moment.
    """

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = count()  # sleeps that end together end in the order they began
        self._sleeps: list[tuple[float, int, asyncio.Future[None]]] = []
        self._began = asyncio.Event()

    def now(self) -> datetime:
        """The moment it was moved to."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds it was moved in all."""
        return self._elapsed

    @property
    def sleeping(self) -> int:
        """How many sleeps have not ended."""
        return sum(not future.done() for _, _, future in self._sleeps)

    async def sleep(self, seconds: float) -> None:
        """Sleep until the clock has been moved by `seconds`; none or less only lets other tasks run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeps, (self._elapsed + seconds, next(self._order), end))
        self._began.set()
        await end

    async def asleep(self, tasks: int = 1) -> None:
        """Wait until at least so many sleeps have not ended."""
        while self.sleeping < tasks:
            self._began.clear()
            await self._began.wait()

    def advance(self, seconds: float) -> None:
        """Move the clock on and end every sleep that is due; the sleepers run when the caller next awaits.

        Raises:
            ValueError: the clock cannot go back.
        """
        if seconds < 0:
            raise ValueError(f"cannot advance by {seconds} seconds")
        self._elapsed += seconds
        while self._sleeps and self._sleeps[0][0] <= self._elapsed:
            _, _, end = heapq.heappop(self._sleeps)
            if not end.done():  # done: its task was cancelled
                end.set_result(None)
