"""A real part as a process of its own, to be killed, stopped, frozen and thawed by its own pid."""

import signal
import subprocess

from tests.realparts.waiting import HANG


class RealProcess:
    """What starts it puts it into `_process`; None: it does not run."""

    _process: "subprocess.Popen[str] | None" = None

    def kill(self) -> None:
        """Kill it as a power cut would; what it had on disk stays."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it orderly."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it hang: its sockets stay open and take what fits, and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End `freeze`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(HANG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._ended(process)

    def _ended(self, process: "subprocess.Popen[str]") -> None:
        """Give back what belonged to the process."""
