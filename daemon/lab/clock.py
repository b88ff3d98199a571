"""The lab's clock: wall time run fast from an epoch, so that every process that knows both numbers agrees on it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_WALL: Callable[[], float] = time.time


@dataclass(frozen=True)
class LabClock:
    """Lab time: equal to real time at `epoch`, and `speed` times as fast from then on.

    Nothing is kept: two processes with the same epoch and speed read the same time.
    """

    epoch: datetime
    speed: float = 1.0

    @classmethod
    def starting_now(cls, speed: float) -> "LabClock":
        """A clock that shows real time at this moment."""
        return cls(datetime.fromtimestamp(_WALL(), UTC), speed)

    def now(self) -> datetime:
        """The present moment in the lab, UTC."""
        start = self.epoch.timestamp()
        return datetime.fromtimestamp(start + (_WALL() - start) * self.speed, UTC)

    def real_seconds(self, span: timedelta) -> float:
        """How many real seconds a span of lab time takes."""
        return span.total_seconds() / self.speed
