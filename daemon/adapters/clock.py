"""The clocks of a running daemon: one that no setting of the system's clock can disturb, and a fast one for the lab."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog

_STEP = 2.0  #: seconds of difference from which on the system's clock was set; less is what a slow reading makes

_log = structlog.get_logger("exmedic.clock")


def _running() -> float:
    """Seconds since the machine was booted. Unlike those of `time.monotonic`, they go on while it is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SystemClock:
    """The machine's own clock as it was when this was made, and even from then on.

    Waits and deadlines are moments of this clock. Were it to follow a system clock that is set forward by an hour, all
    deadlines of that hour would be over at once; set back, every wait would take an hour more. So a setting is logged,
    and taken over by the next start.
    """

    def __init__(self) -> None:
        self._began = _running()
        self._epoch = datetime.now(UTC)
        self._set_by = 0.0  #: seconds; what was logged last

    def now(self) -> datetime:
        """The present moment, UTC."""
        moment = self._epoch + timedelta(seconds=_running() - self._began)
        set_by = (datetime.now(UTC) - moment).total_seconds()
        if abs(set_by - self._set_by) >= _STEP:
            self._set_by = set_by
            _log.warning(
                "clock_set",
                seconds=round(set_by),
                reason="the system's clock and the time that exmedic counts differ by this much",
                todo="waits and deadlines go on evenly; restart exmedic when no incident is open to take the time over",
            )
        return moment

    def monotonic(self) -> float:
        """Real seconds since some fixed moment, those of a suspended machine included."""
        return _running()

    async def sleep(self, seconds: float) -> None:
        """Sleep for real seconds."""
        await asyncio.sleep(seconds)


class FastClock:
    """The lab's clock: the real time at `epoch`, and `speed` times as fast from then on."""

    def __init__(self, epoch: datetime, speed: float) -> None:
        self._epoch = epoch
        self._speed = speed
        self._real = SystemClock()

    def now(self) -> datetime:
        """The present moment of the lab, UTC."""
        return self._epoch + (self._real.now() - self._epoch) * self._speed

    def monotonic(self) -> float:
        """Real seconds since some fixed moment: networks do not run faster."""
        return self._real.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of the lab."""
        await asyncio.sleep(timedelta(seconds=seconds / self._speed).total_seconds())
