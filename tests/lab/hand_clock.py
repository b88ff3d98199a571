"""A lab clock that a test moves by hand."""

from datetime import UTC, datetime, timedelta

from daemon.lab.clock import LabClock
from daemon.lab.model import Simulation

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)


class HandClock(LabClock):
    """Stands still until it is moved; real time never moves it."""

    def __init__(self) -> None:
        super().__init__(START, 1.0)
        self.elapsed = timedelta(0)

    def now(self) -> datetime:
        return START + self.elapsed

    def advance(self, simulation: Simulation, seconds: float) -> None:
        """Let lab time pass, with everything that happens in it."""
        with simulation.timeline.changed:
            self.elapsed += timedelta(seconds=seconds)
            with simulation.timeline.up_to_date():
                pass
