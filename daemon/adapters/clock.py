"""The clocks of a running daemon: the system's, and one that runs fast for the lab."""

import asyncio
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Real seconds since some fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep for real seconds."""
        await asyncio.sleep(seconds)


class FastClock:
    """The lab's clock: the real time at `epoch`, and `speed` times as fast from then on."""

    def __init__(self, epoch: datetime, speed: float) -> None:
        self._epoch = epoch
        self._speed = speed

    def now(self) -> datetime:
        """The present moment of the lab, UTC."""
        return self._epoch + (datetime.now(UTC) - self._epoch) * self._speed

    def monotonic(self) -> float:
        """Real seconds since some fixed moment: networks do not run faster."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of the lab."""
        await asyncio.sleep(timedelta(seconds=seconds / self._speed).total_seconds())
