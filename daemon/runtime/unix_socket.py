"""The address of a Unix socket, whatever the length of its path: the kernel takes 107 bytes at most (unix(7)).

Directories of test runs, of demos and of sites that like long names are longer than that.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """What to bind or connect to for the socket at `path`; valid while the context is entered.

    Raises:
        OSError: its directory is not there, or may not be entered.
    """
    # O_PATH asks only for the permission to enter the directory, as connecting by a plain path does.
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
