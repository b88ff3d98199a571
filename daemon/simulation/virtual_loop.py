"""An event loop on virtual time: whenever nothing can run, time jumps to the next timer. Nothing comes from outside."""

import asyncio
import selectors

_TICKS = 1_000_000  #: in a second; counted in whole numbers, so that no error adds up


class VirtualLoop(asyncio.SelectorEventLoop):
    """Neither sockets nor threads can wake it: to ask the system for them again and again is not worth its time."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        """Seconds since its beginning."""
        return self._waiting.ticks / _TICKS


class _Waiting(selectors.SelectSelector):
    """Waits by counting."""

    ticks = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let time pass; nothing is ever found."""
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else, and no timer runs")
        if timeout > 0:
            self.ticks += max(1, round(timeout * _TICKS))
        return []
