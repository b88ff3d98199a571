"""A file that takes its place as a whole: at every moment there is what was there before, or all of what shall be.

A death at any point leaves one of the two, and perhaps a file `.NAME.*` beside it that nobody needs. What is in its
place is never opened: whoever owns it, and wherever it leads if it is a link, it is replaced.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


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
