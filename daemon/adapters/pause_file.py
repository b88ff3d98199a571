"""The kill switch: files. While one exists, or cannot be looked for, no effect starts on what it is about.

The pause file pauses everything. Beside it, in a directory of its name with `.d` at the end, an entry named after a
server of the inventory pauses that server, and `dag.NAME` a DAG. An entry that names neither pauses everything: whoever
made it wanted something to stop. Administrators may create them by hand, with anything or nothing in them;
`exmedic pause` creates them and has the daemon confirm. Resuming is a local act: remove the file, or `exmedic resume`.
"""

import errno
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from daemon.adapters.atomic_file import beside, sync_directory, take_place
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import _DAG, covered, reason_for, scope_of
from daemon.domain.ports import EVERYTHING
from daemon.runtime.threads import in_own_thread

REASON_LIMIT = 200  #: characters of a file that are shown


_FILE_MODE = 0o644  #: whoever wrote it, the daemon reads why


class PauseFile:
    """The kill switch at `path`. Threads ask it before they send; `pause` waits for those that are sending."""

    def __init__(self, path: Path, inventory: Inventory) -> None:
        self.path = path
        self.directory = path.with_name(path.name + ".d")
        self._inventory = inventory
        self._latched: dict[str, str] = {}  # pauses that could not be written, or not yet
        self._sending: Counter[str] = Counter()  # by server
        self._changed = threading.Condition()

    def file(self, scope: str) -> Path:
        """The file by which a scope is paused."""
        return self.path if scope == EVERYTHING else self.directory / scope

    def reason(self, server: str = EVERYTHING) -> str | None:
        """See `ports.KillSwitch.reason`."""
        return reason_for(self.standing(), self._inventory, server)

    def standing(self) -> Mapping[str, str]:
        """See `ports.KillSwitch.standing`."""
        standing = dict(self._latched)
        everything = self._whole()
        if everything is not None:
            standing[EVERYTHING] = everything
        try:
            entries = self._entries()
        except OSError as error:
            standing.setdefault(EVERYTHING, f"the directory {self.directory} cannot be read: {error.strerror}")
            entries = []
        for entry in entries:
            why = _text(self.directory / entry)
            if why is not None:
                scope, why = self._meant(entry, why)
                standing.setdefault(scope, why)
        return standing

    def _whole(self) -> str | None:
        """Why everything is paused, by the pause file itself."""
        why = _text(self.path)
        if why is None and not self.path.parent.is_dir():
            # Not there, or its directory is not: only the first means "not paused".
            return f"the directory of the pause file {self.path} is missing"
        return why

    def _entries(self) -> list[str]:
        try:
            return sorted(os.listdir(self.directory))  # noqa: PTH208 - names are what is wanted
        except FileNotFoundError:
            if self.directory.is_symlink():  # it leads nowhere: what would be there cannot be told
                raise
            return []

    def _meant(self, entry: str, why: str) -> tuple[str, str]:
        """The scope of an entry in the directory, and why."""
        server, dag = (entry, "") if self._inventory.find(entry) else ("", entry.removeprefix(_DAG))
        scope = scope_of(self._inventory, server, dag) if server or entry.startswith(_DAG) else None
        if scope:
            return scope, why
        name = str(self.directory / entry).encode("utf-8", "backslashreplace").decode()
        return EVERYTHING, f"{name} names no server of the inventory and no DAG (dag.NAME), so it pauses everything"

    @contextmanager
    def permit(self, server: str) -> Iterator[bool]:
        """See `ports.KillSwitch.permit`."""
        with self._changed:
            # Asked under the lock: after `pause` has written the file, nobody passes here any more.
            allowed = self.reason(server) is None
            self._sending[server] += allowed
        try:
            yield allowed
        finally:
            with self._changed:
                self._sending[server] -= allowed
                self._changed.notify_all()

    def pause(self, reason: str, scope: str = EVERYTHING) -> None:
        """Write the file, then wait until no effect is just being sent there. After it returns, none starts.

        Raises:
            OSError: the file cannot be written. It is paused all the same, until `resume` or the end of this process.
        """
        with self._changed:
            self._latched[scope] = reason[:REASON_LIMIT]
            try:
                self._write(reason, scope)
                # From here on the file alone decides, so that removing it by hand resumes.
                del self._latched[scope]
            finally:
                self._changed.wait_for(lambda: not self._sends_in(scope))

    async def engage(self, reason: str, scope: str = EVERYTHING) -> None:
        """`pause` in a thread of its own: it waits for those that are sending, and for nobody else.

        Raises:
            OSError: as `pause`.
        """
        await in_own_thread(partial(self.pause, reason, scope))

    def _sends_in(self, scope: str) -> bool:
        about = None if scope == EVERYTHING else covered(self._inventory, scope)
        return any(number and (about is None or server in about) for server, number in self._sending.items())

    def _write(self, reason: str, scope: str) -> None:
        """On the disk when it returns, file and name: after a power cut it still pauses."""
        path = self.file(scope)
        try:
            if scope != EVERYTHING:
                self._make_directory()
            # Never in the directory, where a part that a death left behind would name nothing and pause everything.
            with beside(self.path) as part:
                _fill(part.fileno(), f"{reason}\n".encode("utf-8", "backslashreplace"))
                os.fchmod(part.fileno(), _FILE_MODE)
                take_place(part, path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(mode=0o750)
        except FileExistsError:
            if not self.directory.is_dir():
                raise
            return
        if os.geteuid() == 0:  # `exmedic pause` of root: the daemon must be able to pause and resume there too
            owner = self.path.parent.stat()
            os.chown(self.directory, owner.st_uid, owner.st_gid, follow_symlinks=False)
        sync_directory(self.path.parent)

    def resume(self, scope: str = EVERYTHING) -> bool:
        """Remove the file, and others that mean the same; False when there was none.

        Raises:
            OSError: it cannot be removed.
        """
        with self._changed:
            entries = [self.directory / each for each in self._entries() if self._meant(each, "")[0] == scope]
            removed = [_removed(path) for path in (*entries, *((self.path,) if scope == EVERYTHING else ()))]
            return self._latched.pop(scope, None) is not None or any(removed)


def _fill(descriptor: int, text: bytes) -> None:
    """Write why; not where the disk is full: a file with nothing in it pauses as well, and mostly there is room."""
    try:
        os.write(descriptor, text)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _text(path: Path) -> str | None:
    """Why a file pauses; None when it is not there."""
    try:
        text = _head(path).decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return f"the pause file {path} is a link that leads nowhere" if path.is_symlink() else None
    except OSError as error:
        return f"the pause file {path} cannot be read: {error.strerror}"
    return text[:REASON_LIMIT] or f"the pause file {path} exists"


def _head(path: Path) -> bytes:
    """What may be shown of a file. It is asked for before each step: no pipe and no huge file may hold that up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 4 * REASON_LIMIT)
    finally:
        os.close(descriptor)


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
