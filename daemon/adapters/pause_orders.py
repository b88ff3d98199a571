"""The files of pauses that were ordered by a command: one an order, called SCOPE@ID, with what was ordered in it.

Two directories hold them. Into the first everybody of the daemon's group writes, whether a daemon answers or not; its
sticky bit keeps each from taking away what another put there. The second is the daemon's own: what it knows as ordered.
No file is ever written over or opened through a link.
"""

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.adapters.atomic_file import beside, take_place
from daemon.domain.pauses import EVERYTHING, NO_TERMS, Terms

REASON_LIMIT = 200  #: characters of a reason that are kept in a file and shown
OPEN_TO_THE_GROUP = 0o1770
OF_THE_DAEMON = 0o750

_FILE_MODE = 0o644  #: whoever wrote it, the daemon reads why
_READ = 8192  #: bytes; what is ordered takes less, whatever its letters
_ID = re.compile(r"[0-9a-f]{8}")
_ALL = "everything"  #: the scope of all servers, in the name of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a file says. `why` is empty where it says nothing."""

    why: str = ""
    terms: Terms = NO_TERMS
    since: datetime | None = None


def new_id() -> str:
    """An id for an order."""
    return os.urandom(4).hex()


def entry_of(scope: str, order: str) -> str:
    """What the file of an order is called."""
    return f"{scope or _ALL}@{order}"


def parts_of(entry: str) -> tuple[str, str]:
    """What a file is about, and the id of its order; one without was made by hand, and may be called anything."""
    name, _, order = entry.rpartition("@")
    if not name or not _ID.fullmatch(order):
        return entry, ""
    return (EVERYTHING if name == _ALL else name), order


def written(order: Order) -> bytes:
    """An order as its file has it."""
    fields = {
        "why": order.why,
        "since": order.since and order.since.isoformat(timespec="seconds"),
        "until": order.terms.until and order.terms.until.isoformat(timespec="seconds"),
        "uid": order.terms.uid,
    }
    return json.dumps(fields).encode() + b"\n"


def read(path: Path) -> Order | None:
    """What a file orders; None when it is not there. Whatever is in it, or cannot be read: it pauses."""
    try:
        data, made = _head(path)
    except FileNotFoundError:
        return Order(why=f"the pause file {path} is a link that leads nowhere") if path.is_symlink() else None
    except OSError as error:
        return Order(why=f"the pause file {path} cannot be read: {error.strerror}")
    fields = _fields(data)
    since = _moment(fields.get("since")) or datetime.fromtimestamp(made.st_mtime, UTC)
    why = fields.get("why") or "" if fields else data.decode("utf-8", "replace").strip()
    terms = Terms(
        id=parts_of(path.name)[1],
        # Whose it is the kernel says; what the daemon itself wrote is for whoever ordered it.
        uid=_uid(fields.get("uid")) if made.st_uid == os.geteuid() and fields else made.st_uid,
        until=_moment(fields.get("until")),
    )
    return Order(why=shown(str(why)) or f"the pause file {path} exists", terms=terms, since=since)


def shown(text: str) -> str:
    """A reason as it is kept: bytes that are no text stand there by their numbers."""
    return text.encode("utf-8", "backslashreplace").decode()[:REASON_LIMIT]


def _head(path: Path) -> tuple[bytes, os.stat_result]:
    """What may be shown of a file. It is asked for before each step: no pipe and no huge file may hold that up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, _READ), os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _fields(data: bytes) -> Mapping[str, Any]:
    """What the file of an order holds; nothing of one that was made by hand."""
    try:
        fields = json.loads(data) if data.startswith(b"{") else None
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _uid(value: object) -> int | None:
    return value if isinstance(value, int) else None


@contextmanager
def _opened(directory: Path, mode: int) -> Iterator[int]:
    """A directory that the daemon can use: made where there is none, of the owner of its parent, and no link."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found, us = os.fstat(descriptor), os.geteuid()
        if us == 0:
            owner = directory.parent.stat()
            if (found.st_uid, found.st_gid) != (owner.st_uid, owner.st_gid):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        if us in (0, found.st_uid) and stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


def prepare(directory: Path, mode: int) -> None:
    """Make a directory, or make it as it should be.

    Raises:
        OSError: it cannot be, or is no directory.
    """
    with _opened(directory, mode):
        pass


def create(directory: Path, entry: str, text: bytes) -> None:
    """A new file in the directory of the group: on the disk when it returns, content and name.

    Raises:
        OSError: it cannot be made, or there is one of that name.
    """
    with _opened(directory, OPEN_TO_THE_GROUP) as place:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(entry, flags, 0o600, dir_fd=place)
        try:
            _fill(descriptor, text)
            os.fchmod(descriptor, _FILE_MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.fsync(place)


def replace(directory: Path, entry: str, text: bytes, beside_of: Path) -> None:
    """A file in the daemon's own directory, whatever was there by that name: on the disk when it returns.

    It is made beside another file, and not in the directory: what a death leaves behind would pause something there.

    Raises:
        OSError: it cannot be made.
    """
    prepare(directory, OF_THE_DAEMON)
    with beside(beside_of) as part:
        _fill(part.fileno(), text)
        os.fchmod(part.fileno(), _FILE_MODE)
        take_place(part, directory / entry)


def _fill(descriptor: int, text: bytes) -> None:
    """Write why; not where the disk is full: a file with nothing in it pauses as well, and mostly there is room."""
    try:
        os.write(descriptor, text)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
