"""The kill switch: a file. While it exists, or cannot be looked for, no effect starts.

An administrator may create the file by hand, with anything or nothing in it; `exmedic pause` creates it through the
daemon. Resuming is a local act: remove the file, or `exmedic resume`.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REASON_LIMIT = 200  #: characters of the file that are shown


class PauseFile:
    """The kill switch at `path`. Threads ask it before they send; `pause` waits for those that are sending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sending = 0
        self._changed = threading.Condition()

    def reason(self) -> str | None:
        """Why no effect may start; None when effects may start."""
        try:
            text = self.path.read_text("utf-8", errors="replace").strip()
        except FileNotFoundError:
            # Not there, or its directory is not: only the first means "not paused".
            return None if self.path.parent.is_dir() else f"the directory of the pause file {self.path} is missing"
        except OSError as error:
            return f"the pause file {self.path} cannot be read: {error.strerror}"
        return text[:REASON_LIMIT] or f"the pause file {self.path} exists"

    @contextmanager
    def permit(self) -> Iterator[bool]:
        """Entered around sending an effect; yields whether it may be sent."""
        with self._changed:
            # Asked under the lock: after `pause` has written the file, nobody passes here any more.
            allowed = self.reason() is None
            self._sending += allowed
        try:
            yield allowed
        finally:
            with self._changed:
                self._sending -= allowed
                self._changed.notify_all()

    def pause(self, reason: str) -> None:
        """Write the file, then wait until no effect is just being sent. After it returns, none starts.

        Raises:
            OSError: the file cannot be written.
        """
        with self._changed:
            self._write(reason)
            self._changed.wait_for(lambda: self._sending == 0)

    async def engage(self, reason: str) -> None:
        """`pause` in a thread, since it waits for those that are sending.

        Raises:
            OSError: the file cannot be written.
        """
        await asyncio.to_thread(self.pause, reason)

    def _write(self, reason: str) -> None:
        """On the disk when it returns, file and name: after a power cut it still pauses."""
        with self.path.open("w", encoding="utf-8") as file:
            file.write(reason + "\n")
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def resume(self) -> bool:
        """Remove the file; False when there was none.

        Raises:
            OSError: it cannot be removed.
        """
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True
