"""An event loop whose time jumps to the next timer whenever nothing can run: a night takes as long as its work.

Only for a world without sockets and threads: nothing from outside is waited for.
"""

import asyncio
import selectors


class _Jumping(selectors.DefaultSelector):
    """A selector that lets time pass instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Nothing is ever ready.

        Raises:
            RuntimeError: no timer is set, so that nothing can ever happen again.
        """
        if timeout is None:
            raise RuntimeError("Every task of the simulation waits, and nothing is ever going to wake one.")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._jumping.now
