"""A file that is replaced as a whole: at every moment it is there, as it was or as it shall be."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from daemon.errors import OperatorError
from daemon.whole_file import beside, take_place

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
