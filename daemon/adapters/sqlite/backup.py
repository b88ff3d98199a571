"""A copy of the store while the daemon writes to it (https://sqlite.org/backup.html)."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from daemon.adapters.atomic_file import beside, take_place
from daemon.adapters.sqlite.file import connect_read_only, translated
from daemon.domain.errors import StoreError


@contextmanager
def copied(source: Path, target: Path) -> Iterator[Path]:
    """A copy of the store under its own name beside `target`, mode 0600, which becomes `target` when all went well.

    Raises:
        StoreError: the store cannot be read, or the copy not written; or it is damaged.
    """
    with ExitStack() as until_left:
        with translated(target):
            part = until_left.enter_context(beside(target))
        copy = Path(part.name)
        with translated(source):
            origin = connect_read_only(source)
        with closing(origin), translated(copy):
            _copy(origin, copy)
        yield copy
        with translated(target):
            take_place(part, target)


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
