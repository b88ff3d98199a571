"""A PowerShell process on a lab server: its command line, its streams, its end, and waiting on lab time in between."""

import time
from collections.abc import Callable
from datetime import timedelta

from daemon.lab.model import Simulation


class ProcessKilled(Exception):  # noqa: N818 - a state of the process, not a fault of ours
    """The process was terminated, or its server went down; nothing more of it happens."""


class Process:
    """One command of a shell. Its fields are guarded by the model's lock.

    `operation_timeouts` is how many more Receives end in a time-out first; `answer_cut`: its answer never arrives.
    """

    def __init__(self, simulation: Simulation, command_line: str, *, delegated: bool) -> None:
        self.command_line = command_line
        self.delegated = delegated
        self.stdin = bytearray()
        self.stdin_closed = False
        self.stdout = b""
        self.stderr = b""
        self.exit_code: int | None = None
        self.killed = False
        self.operation_timeouts = 0
        self.answer_cut = False
        self._simulation = simulation
        self._timeline = simulation.timeline

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor been killed."""
        return self.exit_code is None and not self.killed

    async def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait, holding the model's lock but for the waiting, for a condition or so many seconds of lab time.

        It blocks its thread and never suspends; a process on virtual time awaits here instead.

        Returns whether the condition came true.

        Raises:
            ProcessKilled: it was terminated meanwhile.
        """
        end = self._timeline.now() + timedelta(seconds=seconds)
        while True:
            self._timeline.run_due()
            if self.killed:
                raise ProcessKilled
            if until():
                return True
            left = end - self._timeline.now()
            if left <= timedelta(0):
                return False
            self._timeline.changed.wait(self._simulation.clock.real_seconds(left))

    def await_output(self, real_seconds: float) -> bool:
        """Wait for its end, at most so many real seconds; whether there is an answer to fetch."""
        end = time.monotonic() + real_seconds
        with self._timeline.changed:
            while self.running or self.operation_timeouts > 0:
                left = end - time.monotonic()
                if left <= 0:
                    self.operation_timeouts = max(0, self.operation_timeouts - 1)
                    return False
                self._timeline.changed.wait(left)
            return True

    def kill(self) -> None:
        """Terminate it. What it has asked Windows to do goes on; what it has not asked for yet does not happen."""
        with self._timeline.changed:
            self.killed = True
            self.operation_timeouts = 0
            self._timeline.changed.notify_all()

    def end(self, exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> None:
        """End with this output, unless it was killed."""
        with self._timeline.changed:
            if not self.killed:
                self.stdout, self.stderr, self.exit_code = stdout, stderr, exit_code
            self._timeline.changed.notify_all()
