"""The lab's clock for these runs: slow while something happens, and put forward whenever everybody only waits.

The daemon puts it forward (`tests.chaos.doomed`), the lab follows, and it survives the daemon: how far it was put
forward is in a file that both map. So a ladder with hours of waiting takes as long as its calls do, and how many polls
it takes does not depend on how busy the machine is.
"""

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.lab.clock import LabClock

_LAYOUT = struct.Struct("d")
LOOK = 0.01  #: real seconds between looks at a clock that somebody may put forward


class Forward:
    """How many seconds the clock was put forward, in a file. One process writes, others read."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_LAYOUT.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _LAYOUT.size)

    @property
    def seconds(self) -> float:
        """Seconds of lab time."""
        return float(_LAYOUT.unpack_from(self._map)[0])

    def add(self, seconds: float) -> None:
        """Put the clock forward."""
        _LAYOUT.pack_into(self._map, 0, self.seconds + seconds)


class ForwardLabClock(LabClock):
    """The lab's side."""

    def __init__(self, speed: float, forward: Forward) -> None:
        super().__init__(datetime.now(UTC), speed)
        object.__setattr__(self, "_forward", forward)

    def now(self) -> datetime:
        """See `LabClock.now`."""
        forward: Forward = getattr(self, "_forward")  # noqa: B009 - a frozen dataclass declares no such field
        return super().now() + timedelta(seconds=forward.seconds)

    def real_seconds(self, span: timedelta) -> float:
        """For how long to wait before looking again: never long, since the clock may be put forward meanwhile."""
        return min(super().real_seconds(span), 2 * LOOK)
