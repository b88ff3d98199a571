"""The one connection, and the thread that owns it.

All SQL runs on that thread: transactions cannot interleave, and the event loop never waits for the disk.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from daemon.adapters.sqlite import file
from daemon.adapters.sqlite.file import queries
from daemon.domain.errors import StoreError

T = TypeVar("T")
Parameters = Mapping[str, str | int | None]


class Connection:
    """What the parts of the store read and write through: the file `path`, in a directory that exists.

    A cancelled await does not stop the thread: its transaction ends as a whole, and the caller does not learn how.
    So does a StoreError that is not a Conflict: like a crash at COMMIT, it leaves either all of the work or none.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path.resolve()  # one lock, however the path is spelt
        self._read_only = read_only
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock: IO[str] | None = None

    async def open(self) -> None:
        """See `Store.open`."""
        if self._thread is not None:
            raise StoreError(f"{self._path} is already open in this process; close it first")
        self._thread = thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        try:
            await self._run(self._open)
        except StoreError:
            self._thread = None
            thread.shutdown(wait=False)
            raise

    def _open(self) -> None:
        if self._read_only:
            self._connection = file.connect_read_only(self._path)
            return
        lock = file.lock(self._path)
        try:
            self._connection = file.connect(self._path)
        except BaseException:
            lock.close()
            raise
        self._lock = lock

    async def close(self) -> None:
        """See `Store.close`. Work that was begun is finished first."""
        thread = self._thread
        if thread is None:
            return
        try:
            await self._run(self._close)
        finally:
            self._thread = None
            thread.shutdown(wait=False)  # nothing is left to run; waiting here would block the loop

    def _close(self) -> None:
        try:
            if self._connection is not None:
                self._connection.close()
        finally:
            self._connection = None
            if self._lock is not None:
                self._lock.close()  # only now may another process open the file
            self._lock = None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"{self._path} is not open; open it first")

        def translated() -> T:
            with file.translated(self._path):
                return work()

        # The shield keeps work that still waits for the thread from being dropped: the caller may have been
        # cancelled because somebody is waiting for the state it was about to record.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, translated))

    async def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def on_connection() -> T:
            if self._connection is None:
                raise StoreError(f"{self._path} is closed; open it first")
            return work(self._connection)

        return await self._run(on_connection)

    async def _all(self, query: str, convert: Callable[[sqlite3.Row], T], **parameters: str | int | None) -> list[T]:
        def read(connection: sqlite3.Connection) -> list[T]:
            found = connection.execute(queries()[query], parameters).fetchall()
            try:
                return [convert(row) for row in found]
            except (ValueError, TypeError, KeyError) as error:
                raise StoreError(
                    f"{self._path} holds a row that cannot be read ({error}); keep a copy of it and restore a backup"
                ) from error

        return await self._with(read)

    async def _one(self, query: str, convert: Callable[[sqlite3.Row], T], **parameters: str | int | None) -> T | None:
        found = await self._all(query, convert, **parameters)
        return found[0] if found else None

    async def _write(self, query: str, parameters: Sequence[Parameters]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with file.transaction(connection):
                connection.executemany(queries()[query], parameters)

        await self._with(write)
