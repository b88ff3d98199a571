"""The lab's clock for these runs: slow while something happens, and put forward whenever everybody only waits.

Whoever drives puts it forward, the lab and the daemon follow, and it survives the daemon: how far it was put forward is
in a file that all of them map. So a ladder with hours of waiting takes as long as its calls do, and how many polls it
takes does not depend on how busy the machine is.
"""

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.lab.clock import LabClock

_FIELD = struct.Struct("d")
_FORWARD, _IDLE, _DUE, _GIVEN_UP = range(0, 4 * _FIELD.size, _FIELD.size)
LOOK = 0.01  #: real seconds between looks at a clock that somebody may put forward

Idle = tuple[float, float]  #: which time that the daemon is idle, and when (POSIX time) its next work is due


class Forward:
    """How many seconds the clock was put forward, in a file; and what the daemon tells those who drive it.

    Each field has one writer.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(4 * _FIELD.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4 * _FIELD.size)

    def _read(self, field: int) -> float:
        return float(_FIELD.unpack_from(self._map, field)[0])

    def _write(self, field: int, value: float) -> None:
        _FIELD.pack_into(self._map, field, value)

    @property
    def seconds(self) -> float:
        """Seconds of lab time."""
        return self._read(_FORWARD)

    def add(self, seconds: float) -> None:
        """Put the clock forward."""
        self._write(_FORWARD, self.seconds + seconds)

    @property
    def idle(self) -> Idle | None:
        """What the daemon said last, unless it is busy or has nothing to wait for."""
        due = self._read(_DUE)
        return (self._read(_IDLE), due) if due else None

    def tell_busy(self) -> None:
        """The daemon is at work, or is not there."""
        self._write(_DUE, 0.0)

    def tell_idle(self, due: datetime) -> None:
        """The daemon has nothing to do until then."""
        self._write(_IDLE, self._read(_IDLE) + 1)
        self._write(_DUE, due.timestamp())

    @property
    def given_up(self) -> int:
        """How often all calls under way were to be given up."""
        return int(self._read(_GIVEN_UP))

    def give_up(self) -> None:
        """Let the deadline of all calls under way pass now."""
        self._write(_GIVEN_UP, self.given_up + 1)


class ForwardLabClock(LabClock):
    """The lab's side."""

    def __init__(self, speed: float, forward: Forward) -> None:
        super().__init__(datetime.now(UTC), speed)
        object.__setattr__(self, "_forward", forward)

    @property
    def forward(self) -> Forward:
        """What puts it forward."""
        forward: Forward = getattr(self, "_forward")  # noqa: B009 - a frozen dataclass declares no such field
        return forward

    def now(self) -> datetime:
        """See `LabClock.now`."""
        return super().now() + timedelta(seconds=self.forward.seconds)

    def real_seconds(self, span: timedelta) -> float:
        """For how long to wait before looking again: never long, since the clock may be put forward meanwhile."""
        return min(super().real_seconds(span), 2 * LOOK)
