"""What the store in memory holds, and how it is read and changed."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from daemon.domain.errors import StoreError
from daemon.testing.memory_state import State

T = TypeVar("T")


class Held:
    """The state, to be opened and closed. Closed and opened again it is all there, as in a file.

    Like the durable store it lets other tasks run during each verb, and finishes what a cancelled caller began.
    `let_others_run` is awaited for that.
    """

    def __init__(self, let_others_run: Callable[[], Awaitable[None]]) -> None:
        self._let_others_run = let_others_run
        self._stored = State()
        self._is_open = False

    @property
    def contents(self) -> State:
        """All that is stored now. To look at: each change replaces it."""
        return self._stored

    @property
    def is_open(self) -> bool:
        """Whether it can be used now."""
        return self._is_open

    async def open(self) -> None:
        """See `Store.open`."""
        if self._is_open:
            raise StoreError("the memory store is already open; close it first")
        self._is_open = True

    async def close(self) -> None:
        """See `Store.close`."""
        self._is_open = False

    async def _read(self) -> State:
        state = self._opened()
        await self._let_others_run()
        return state

    async def _change(self, work: Callable[[State], T]) -> T:
        changed = self._opened().copy()
        result = work(changed)
        self._stored = changed
        await self._let_others_run()  # after the change: a caller cancelled here does not know that it was made
        return result

    def _opened(self) -> State:
        if not self._is_open:
            raise StoreError("the memory store is not open; open it first")
        return self._stored
