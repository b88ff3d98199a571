"""Forgets what is old, a slice at a time, so that nobody waits for it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from daemon.config.retention import Retention
from daemon.domain.errors import StoreError
from daemon.domain.ports import Clock
from daemon.domain.retention import Prune, Pruned
from daemon.domain.store import TrailStore
from daemon.runtime.wakeup import POLL, Nudge

EVERY = 600.0  #: seconds between two looks; what is found then goes in slices, one after the other
BETWEEN = 0.1  #: seconds between two slices, for everybody else's commits
SLICE = 200  #: rows of each kind in one commit: some milliseconds

_log = structlog.get_logger("exmedic.retention")


class RetentionLoop:
    """Forgets by `settings`. `follower`: whose cursor the trail is never cut beyond."""

    def __init__(
        self,
        *,
        settings: Retention,
        store: TrailStore,
        clock: Clock,
        prefix: str,
        committed: Callable[[], None],
        follower: str = "journal",
        poll: float = POLL,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._topics = f"{prefix}/incidents"
        self._committed = committed
        self._follower = follower
        self._bell = Nudge(clock, poll)

    def nudge(self) -> None:
        """Look whether to stop."""
        self._bell.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Look from time to time until told to stop; while there is more to forget, without waiting long."""
        due = self._clock.monotonic()
        while not stopping.is_set():
            beat()
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + (BETWEEN if await self._slice() else EVERY)
            await self._bell.wait(min(max(due - self._clock.monotonic(), BETWEEN), self._bell.poll))

    async def _slice(self) -> bool:
        """Whether there may be more."""
        try:
            pruned = await self.look()
        except StoreError as error:
            _log.warning("nothing_forgotten", reason=str(error))
            return False
        return pruned.more

    async def look(self) -> Pruned:
        """Forget one slice. Dies it before its commit: nothing is gone.

        Raises:
            StoreError: the store cannot be used.
        """
        now, settings = self._clock.now(), self._settings
        order = Prune(
            at=now,
            before=now - timedelta(days=settings.days),
            rejected_before=now - timedelta(seconds=settings.rejected),
            rejected_most=settings.rejected_most,
            rejected_bytes=settings.rejected_bytes,
            limit=SLICE,
            follower=self._follower,
            topics=self._topics,
        )
        pruned = await self._store.prune(order)
        if pruned.anything:
            self._committed()
        return pruned
