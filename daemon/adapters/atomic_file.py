"""A file that takes its place as a whole: at every moment there is what was there before, or all of what shall be.

A death at any point leaves one of the two, and perhaps a file `.NAME.*` beside it that nobody needs. What is in its
place is never opened: whoever owns it, and wherever it leads if it is a link, it is replaced.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from daemon.domain.errors import OperatorError

_NEW_FILE = 0o644  #: nobody's secret; the daemon runs as another user


@contextmanager
def replacing(path: Path, before: bytes | None, after: bytes) -> Iterator[Path]:
    """A file with the new content beside `path`, which takes its place when the block ends without an error.

    `before` is what the caller read (None: there was no file); whatever somebody else wrote meanwhile is not written
    over. Owner and mode stay.

    Raises:
        OperatorError: the file changed meanwhile, or it cannot be written.
    """
    target = path.resolve()  # a link stays a link
    with ExitStack() as until_left:
        with _told(path):
            part = until_left.enter_context(beside(target))
            part.write(after)
            part.flush()
            _take_after(target, part.fileno())
        yield Path(part.name)
        with _told(path):
            if _content(target) != before:
                raise OperatorError(f"{path} was changed by somebody else meanwhile and was left alone; try again")
            take_place(part, target)


def _take_after(target: Path, descriptor: int) -> None:
    """Owner and mode of the file that is replaced: the daemon must be able to read it as before."""
    if not target.exists():
        os.fchmod(descriptor, _NEW_FILE)
        return
    was, now = target.stat(), os.fstat(descriptor)
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        os.fchown(descriptor, was.st_uid, was.st_gid)
    os.fchmod(descriptor, was.st_mode & 0o7777)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}; run this as its owner or as root") from error


@contextmanager
def beside(target: Path) -> Iterator[IO[bytes]]:
    """A new file beside `target`, mode 0600, that is gone when the block ends unless it has taken its place."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as part:
        try:
            yield part
        finally:
            Path(part.name).unlink(missing_ok=True)


def take_place(part: IO[bytes], target: Path) -> None:
    """Put what `beside` gave in the place of `target`: on the disk when it returns, content and name."""
    part.flush()
    os.fsync(part.fileno())
    Path(part.name).replace(target)
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Return when the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
