"""Lab clocks that no real time moves, so that it does not matter how quick the machine is."""

import threading
from datetime import UTC, datetime, timedelta

from daemon.lab.clock import LabClock
from daemon.lab.model import Simulation
from daemon.lab.timeline import Timeline

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)


class HandClock(LabClock):
    """Stands still until it is moved by hand."""

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(START, speed)
        self.elapsed = timedelta(0)

    def now(self) -> datetime:
        return START + self.elapsed

    def advance(self, simulation: Simulation, seconds: float) -> None:
        """Let lab time pass, with everything that happens in it."""
        with simulation.timeline.changed:
            self.elapsed += timedelta(seconds=seconds)
            with simulation.timeline.up_to_date():
                pass


class EagerClock(HandClock):
    """Moves when somebody waits for lab time: to what happens next, or to the end of the wait if that is earlier."""

    def __init__(self) -> None:
        super().__init__(600.0)  # said to others; nothing here goes by it
        self.timeline: Timeline | None = None  #: of the lab that goes by it

    def real_seconds(self, span: timedelta) -> float:
        """Called with the model's lock held, by who is about to wait: a process, or the lab itself in its thread."""
        if threading.current_thread().name == "lab-clock":
            return super().real_seconds(span)
        self.pass_on(span)
        return 0.0

    def pass_on(self, longest: timedelta = timedelta.max) -> bool:
        """Move; whether there was anything to move to."""
        due = self.timeline.next_due() if self.timeline else None
        span = longest if due is None else min(longest, due - self.now())
        if span == timedelta.max:
            return False
        self.elapsed += max(span, timedelta(0))
        return True
