"""What the loops have in common that look at something from time to time and put what they find on record."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from daemon.domain.errors import StoreError
from daemon.domain.ports import Clock
from daemon.runtime.wakeup import POLL, Nudge


class Watch(ABC):
    """A loop that looks. `committed` is called after each commit; `poll`: seconds from one look to the next."""

    #: What one look may meet, and the next may not.
    passes: ClassVar[tuple[type[Exception], ...]] = (StoreError,)

    def __init__(self, *, clock: Clock, prefix: str, committed: Callable[[], None], poll: float = POLL) -> None:
        self._clock = clock
        self._prefix = prefix
        self._committed = committed
        self._bell = Nudge(clock, poll)

    def nudge(self) -> None:
        """Look whether to stop."""
        self._bell.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Look from time to time until told to stop."""
        while not stopping.is_set():
            beat()
            try:
                await self.look()
            except self.passes as error:
                self.missed(str(error))
            await self._bell.wait()

    @abstractmethod
    async def look(self) -> None:
        """Look once."""

    @abstractmethod
    def missed(self, reason: str) -> None:
        """Log that a look came to nothing."""
