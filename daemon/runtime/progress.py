"""Whether the loops make progress: what the watchdog of systemd is fed from."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from daemon.runtime.wakeup import Stopwatch

STUCK = 120.0  #: real seconds without a sign of life after which a loop counts as stuck


@dataclass(slots=True)
class Progress:
    """The last sign of life of each loop."""

    clock: Stopwatch
    beats: dict[str, float] = field(default_factory=dict)

    def of(self, name: str) -> Callable[[], None]:
        """A function by which the loop of that name says that it is alive."""
        self._beat(name)
        return partial(self._beat, name)

    def _beat(self, name: str) -> None:
        self.beats[name] = self.clock.monotonic()

    def stuck(self) -> list[str]:
        """The loops that show no sign of life."""
        now = self.clock.monotonic()
        return [name for name, beat in self.beats.items() if now - beat > STUCK]


async def feed_watchdog(progress: Progress, feed: Callable[[list[str]], None], interval: float) -> None:
    """Every `interval` real seconds: feed with the loops that are stuck, none if all is well."""
    while True:
        feed(progress.stuck())
        await asyncio.sleep(interval)
