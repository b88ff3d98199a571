"""What will happen in the lab and when: due events in the order of lab time, and the one lock of the model.

Nothing here knows of threads that drive it: whoever looks at the model runs what is due first, so a slow machine
sees the same sequence of events at the same lab times as a quick one.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

Event = Callable[[], None]


class Timeline:
    """Events on lab time. `changed` is the model's lock; it is notified whenever the model may have changed."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._clock = clock
        self._due: list[tuple[datetime, int, Event]] = []
        self._numbers = itertools.count()
        self._event_time: datetime | None = None

    def now(self) -> datetime:
        """Lab time; within an event the time it was due, however late it runs."""
        return self._event_time or self._clock()

    def after(self, seconds: float, event: Event) -> None:
        """Run `event` that many seconds of lab time from now, with the lock held."""
        with self.changed:
            heapq.heappush(self._due, (self.now() + timedelta(seconds=seconds), next(self._numbers), event))
            self.changed.notify_all()

    def run_due(self) -> None:
        """Run every event whose time has come, in order."""
        with self.changed:
            if self._event_time is not None:
                return  # an event looks at the model: what is due runs after it
            ran = False
            while self._due and self._due[0][0] <= self._clock():
                self._event_time, _, event = heapq.heappop(self._due)
                try:
                    event()
                finally:
                    self._event_time = None
                ran = True
            if ran:
                self.changed.notify_all()

    def next_due(self) -> datetime | None:
        """When the next event is due; None when nothing is planned."""
        return self._due[0][0] if self._due else None

    @contextmanager
    def up_to_date(self) -> Iterator[datetime]:
        """Hold the lock with everything due already done; yields the time. Wakes those who wait, at the end."""
        with self.changed:
            self.run_due()
            try:
                yield self.now()
            finally:
                self.changed.notify_all()
