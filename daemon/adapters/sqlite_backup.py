"""A copy of the store while the daemon writes to it (https://sqlite.org/backup.html)."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from daemon.adapters.sqlite_file import connect_read_only, translated
from daemon.errors import StoreError


@contextmanager
def copied(source: Path, target: Path) -> Iterator[Path]:
    """A copy of the store under its own name beside `target`, mode 0600, which becomes `target` when all went well.

    A death at any point leaves `target` as it was, and perhaps a file `.NAME.*` beside it that nobody needs.

    Raises:
        StoreError: the store cannot be read, or the copy not written; or it is damaged.
    """
    with translated(target):
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # made with mode 0600
        os.close(descriptor)
    part = Path(name)
    try:
        with translated(source):
            origin = connect_read_only(source)
        with closing(origin), translated(part):
            _copy(origin, part)
        yield part
        with translated(target):
            _durably(part, target)
    finally:
        part.unlink(missing_ok=True)


def _copy(origin: sqlite3.Connection, part: Path) -> None:
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        # All pages in one go: one moment of the store. The daemon's commits go to the WAL meanwhile.
        origin.backup(copy)
        # One file without a WAL beside it, and so known for a backup when it is restored.
        copy.execute("PRAGMA journal_mode = DELETE")
        found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreError(
            f"the copy is damaged ({found}), and so is perhaps the store: stop exmedic and look at the disk"
        )


def _durably(part: Path, target: Path) -> None:
    _sync(part)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
