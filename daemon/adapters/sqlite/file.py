"""The SQLite file itself: its lock, its settings, its migrations, and what sqlite3's errors mean to an operator."""

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import IO

from daemon.domain.errors import Conflict, StoreError

BUSY_TIMEOUT = 5000  #: milliseconds to wait for another program's lock

CHECKED_WHOLE = 1 << 30  #: bytes; measured 1.6 s a GB from memory, and 1.2 s for the quick check
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "afs", "fuse.sshfs", "fuse.glusterfs"})
_MOUNTS = Path("/proc/self/mountinfo")

#: What to do, by the beginning of SQLite's result code (https://sqlite.org/rescode.html).
_ADVICE = {
    "SQLITE_CORRUPT": "the file is damaged: stop exmedic, keep a copy of it and restore a backup",
    "SQLITE_NOTADB": "the file is damaged or is not a database: keep a copy of it and restore a backup",
    "SQLITE_FULL": "the disk is full: free space, exmedic tries again",
    "SQLITE_IOERR": "the disk failed or is full: check the system log and the free space",
    "SQLITE_BUSY": "another program has locked the file: close it (a sqlite3 shell, a backup)",
    "SQLITE_READONLY": "the file cannot be written: check its owner, or that this is the daemon's own store",
    "SQLITE_CANTOPEN": "the file cannot be opened: check that it exists and that this user may read its directory",
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of sqlite3 and the file system into ours.

    Raises:
        Conflict: a constraint of the schema was violated that nothing has explained better.
        StoreError: everything else; says which file and what to do.
    """
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise Conflict(f"{path}: refused, since {error}; nothing was written") from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")  # absent when the module itself objects
        advice = next((text for prefix, text in _ADVICE.items() if name.startswith(prefix)), "this is a bug: report it")
        raise StoreError(f"{path}: {error}; {advice}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; check the directory, its owner and the disk") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it durable, or none. An error of COMMIT itself may leave it either way, as a crash at that point does."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After a full disk or an I/O error SQLite has often rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def lock(path: Path) -> IO[str]:
    """Take the lock beside the database, until the file returned is closed or the process dies.

    The kernel frees it at any death, so it needs no clean-up; the lock file stays, since removing it would race.

    Raises:
        StoreError: another process has it.
    """
    file = _lock_file(path).open("a+", encoding="ascii", errors="replace")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read(20).strip() or "unknown"
        file.close()
        raise StoreError(
            f"{path} is in use by another exmedic (process {owner}); stop that one first, or give this one its own data"
        ) from error
    except BaseException:
        file.close()
        raise
    return file


def is_locked(path: Path) -> bool:
    """Whether another process has the lock beside the database; also if that cannot be found out."""
    try:
        with _lock_file(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def connect(path: Path) -> sqlite3.Connection:
    """Open for writing, create when absent, check the whole of it and migrate. Every commit is synced to the disk.

    Raises:
        StoreError: it is damaged, newer, not exmedic's, or its file system cannot do WAL.
    """
    _refuse_remote(path)
    _refuse_stray_wal(path)
    connection = _open(f"{path.as_uri()}?mode=rwc")
    try:
        _refuse_damaged(connection, path)
        _refuse_foreign(connection, path)
        _make_durable(connection, path)
        migrate(connection, migrations())
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open for reading beside a running daemon, or a dead one whose WAL is left. The file is not checked as a whole.

    Raises:
        StoreError: another version's schema.
    """
    try:
        connection = _reader(path, "mode=ro")
    except sqlite3.OperationalError:
        # Reading WAL needs its -shm file, which this user may not be allowed to make. Without a WAL there is
        # nothing in it to miss, and the file can be read as it is.
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size > 0:
            raise
        connection = _reader(path, "mode=ro&immutable=1")
    try:
        _refuse_foreign(connection, path)
        _refuse_older(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _reader(path: Path, query: str) -> sqlite3.Connection:
    connection = _open(f"{path.as_uri()}?{query}")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _open(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@cache
def migrations() -> tuple[str, ...]:
    """The migrations that ship, in order; number n takes the schema to version n."""
    folder = files(__package__) / "migrations"
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name)
    return tuple(each.read_text("utf-8") for each in found)


@cache
def queries() -> Mapping[str, str]:
    """The statements of queries.sql by name."""
    text = (files(__package__) / "queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Bring the schema to version `len(steps)`; a death in between leaves it at a version, never between two."""
    version = _version(connection)
    for number, sql in enumerate(steps[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    # The whole check also compares each index with its table. It reads the file in no particular order, so that a large
    # one on a slow disk would keep alerts waiting for minutes.
    check = "integrity_check" if path.stat().st_size <= CHECKED_WHOLE else "quick_check"
    found = connection.execute(f"PRAGMA {check}(1)").fetchone()[0]
    if found != "ok":
        raise StoreError(f"{path} is damaged ({found}); stop exmedic, keep a copy of it and restore a backup")


def _refuse_stray_wal(path: Path) -> None:
    """A backup is one file and says so in its header; SQLite would play a WAL beside it into it all the same."""
    wal = path.with_name(path.name + "-wal")
    if not path.exists() or not wal.exists() or not wal.stat().st_size:
        return
    with path.open("rb") as file:
        versions = file.read(20)[18:]  # sqlite.org/fileformat2.html, File format version numbers: 1 legacy, 2 WAL
    if versions == b"\x01\x01":
        raise StoreError(
            f"{path} is a restored backup, and {wal.name} beside it belongs to the store that was there before: move "
            f"{wal.name} and {path.name}-shm away, or the backup would be damaged"
        )


def _refuse_remote(path: Path) -> None:
    kind = file_system(_MOUNTS.read_text("utf-8", "replace") if _MOUNTS.exists() else "", path.parent.stat().st_dev)
    if kind in REMOTE:
        raise StoreError(
            f"{path} is on a network file system ({kind}), where locks and syncs do not hold: name a directory on a "
            "local disk as `data`"
        )


def file_system(mounts: str, device: int) -> str:
    """The type of the file system with this device number, by the text of /proc/self/mountinfo; empty if unknown."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")  # proc(5): the third field is the device, the first after it the type
        if before.split()[2:3] == [wanted]:
            return after.split()[0]
    return ""


def _make_durable(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreError(f"{path}: SQLite cannot use WAL on this file system; put the store on a local disk")
    connection.execute("PRAGMA synchronous = FULL")


def _refuse_older(connection: sqlite3.Connection, path: Path) -> None:
    version, known = _version(connection), len(migrations())
    if version < known:
        raise StoreError(f"{path} has schema {version}, this exmedic reads {known}; start its daemon to migrate it")


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    version, known = _version(connection), len(migrations())
    if version > known:
        raise StoreError(
            f"{path} has schema {version}, written by a newer exmedic; this one knows up to {known}: "
            "install that version again, or restore the backup made before the upgrade"
        )
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path} is a database, but not exmedic's; name another file for the store")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
