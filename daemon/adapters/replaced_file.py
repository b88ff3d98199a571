"""A file that is replaced as a whole: at every moment it is there, as it was or as it shall be."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.errors import OperatorError

_NEW_FILE = 0o644  #: nobody's secret; the daemon runs as another user


@contextmanager
def replacing(path: Path, before: bytes | None, after: bytes) -> Iterator[Path]:
    """A file with the new content beside `path`, which takes its place when the block ends without an error.

    `before` is what the caller read (None: there was no file); whatever somebody else wrote meanwhile is not written
    over. Owner and mode stay. A death at any point leaves `path` whole, and perhaps a file `.NAME.*` beside it that
    nobody needs.

    Raises:
        OperatorError: the file changed meanwhile, or it cannot be written.
    """
    target = path.resolve()  # a link stays a link
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise _unwritten(path, error) from error
    part = Path(name)
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(after)
                _take_after(target, file.fileno())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritten(path, error) from error
        yield part
        try:
            if _content(target) != before:
                raise OperatorError(f"{path} was changed by somebody else meanwhile and was left alone; try again")
            part.replace(target)
            _sync_directory(target.parent)
        except OSError as error:
            raise _unwritten(path, error) from error
    finally:
        part.unlink(missing_ok=True)


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


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritten(path: Path, error: OSError) -> OperatorError:
    return OperatorError(f"{path} cannot be written: {error.strerror}; run this as its owner or as root")
