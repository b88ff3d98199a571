"""The WinRM service of one lab server: shells and their commands, with quotas, idle time-outs and losses on reboot."""

import base64
import binascii
import threading
import uuid
from datetime import datetime

from daemon.lab import soap
from daemon.lab.faults import Fault
from daemon.lab.model import Simulation
from daemon.lab.organisation import Machine
from daemon.lab.process import Process
from daemon.lab.pwsh.playing import Powershell
from daemon.lab.script_host import ScriptHost
from daemon.lab.security import Account

MAX_SHELLS = 30  #: MaxShellsPerUser, Windows's default
_IDLE = 7200.0  #: seconds; IdleTimeout, Windows's default
_STDIN_LIMIT = 4 << 20  #: bytes; far more than any script of ours, so that a broken client cannot fill the memory


class ConnectionCut(Exception):  # noqa: N818 - what happens, not a fault of ours
    """This connection breaks off now, without an answer."""


class _Shell:
    """A shell: at most one command, as exmedic uses it."""

    def __init__(self, idle: float, now: datetime) -> None:
        self.id = str(uuid.uuid4()).upper()
        self.idle = idle
        self.last_used = now
        self.in_use = 0
        self.process: Process | None = None
        self.command_id = ""


class WsmanService:
    """Answers WS-Management requests for one server. Thread-safe."""

    def __init__(
        self, simulation: Simulation, machine: Machine, account: Account, powershell: Powershell | None = None
    ) -> None:
        self._simulation = simulation
        self._timeline = simulation.timeline
        self._machine = machine
        self._host = ScriptHost(simulation, machine, account, self._processes, powershell)
        self._shells: dict[str, _Shell] = {}
        self._threads: set[threading.Thread] = set()

    def handle(self, request: soap.Request, *, delegated: bool) -> bytes:
        """Answer one request.

        Raises:
            WsmanFault: the answer is a fault.
            ConnectionCut: there is no answer.
        """
        if self._simulation.strike(Fault.CUT_BEFORE, self._machine, request=request.action):
            raise ConnectionCut
        with self._timeline.up_to_date():
            self._reap()
        if request.action == "Create":
            return soap.answer(request, self._create(request))
        shell = self._enter(request)
        try:
            return soap.answer(request, self._within(shell, request, delegated=delegated))
        finally:
            with self._timeline.changed:
                shell.in_use -= 1
                shell.last_used = self._timeline.now()

    def logon_refused(self) -> None:
        """A logon to this server was refused."""
        self._simulation.record.refused(self._machine.name)

    @property
    def open_shells(self) -> int:
        """How many shells are open now: a client that leaks them shows here."""
        with self._timeline.up_to_date():
            self._reap()
            return len(self._shells)

    def lose_shells(self) -> None:
        """The server went down, or the lab stops: every shell and process is gone."""
        with self._timeline.changed:
            for shell in list(self._shells.values()):
                self._close(shell)

    def join(self) -> None:
        """Wait for the processes' threads to end; call after `lose_shells`."""
        with self._timeline.changed:
            threads = set(self._threads)
        for thread in threads:
            thread.join()

    def _within(self, shell: _Shell, request: soap.Request, *, delegated: bool) -> str:
        if request.action == "Command":
            return self._command(shell, request, delegated=delegated)
        if request.action == "Delete":
            with self._timeline.changed:
                self._close(shell)
            return ""
        process = self._process(shell, request)
        if request.action == "Send":
            return self._send(process, request)
        if request.action == "Receive":
            return self._receive(shell, process, request)
        if request.action == "Signal":
            process.kill()
            return "<rsp:SignalResponse/>"
        raise soap.WsmanFault(soap.INVALID_REQUEST, f"The action {request.action!r} is not supported.")

    def _create(self, request: soap.Request) -> str:
        with self._timeline.changed:
            self._still_up()
            quota = self._simulation.strike(Fault.WSMAN_QUOTA, self._machine)
            if quota or len(self._shells) >= MAX_SHELLS:
                raise soap.WsmanFault(
                    soap.QUOTA_EXCEEDED,
                    f"The WS-Management service cannot process the request. The maximum number of concurrent shells "
                    f"for this user ({MAX_SHELLS}) has been exceeded.",
                )
            shell = _Shell(soap.duration(request.text("IdleTimeOut"), _IDLE), self._timeline.now())
            self._shells[shell.id] = shell
            return soap.created(shell.id)

    def _enter(self, request: soap.Request) -> _Shell:
        with self._timeline.changed:
            self._still_up()
            shell = self._shells.get(request.shell_id.upper())
            if shell is None:
                raise soap.WsmanFault(
                    soap.SHELL_LOST,
                    f"The request for the Windows Remote Shell with ShellId {request.shell_id} failed because the "
                    f"shell was not found on the server.",
                )
            shell.in_use += 1
            return shell

    def _still_up(self) -> None:
        """A request that was on its way when the server went down dies with it; a shell made now would outlive it."""
        if not self._machine.answering:
            raise ConnectionCut

    def _command(self, shell: _Shell, request: soap.Request, *, delegated: bool) -> str:
        line = " ".join([request.text("Command"), *request.texts("Arguments")]).strip()
        with self._timeline.changed:
            if not line or shell.process is not None:
                raise soap.WsmanFault(
                    soap.INVALID_REQUEST, "A shell of the lab takes one command, and not an empty one."
                )
            shell.process = Process(self._simulation, line, delegated=delegated)
            shell.command_id = str(uuid.uuid4()).upper()
            return soap.command_accepted(shell.command_id)

    def _process(self, shell: _Shell, request: soap.Request) -> Process:
        named = next(
            (
                value
                for value in (
                    request.attribute("DesiredStream", "CommandId"),
                    request.attribute("Stream", "CommandId"),
                    request.attribute("Signal", "CommandId"),
                )
                if value
            ),
            "",
        )
        if shell.process is None or named.upper() != shell.command_id:
            raise soap.WsmanFault(soap.INVALID_REQUEST, "The shell has no such command.")
        return shell.process

    def _send(self, process: Process, request: soap.Request) -> str:
        try:
            data = base64.b64decode(request.text("Stream"), validate=True)
        except binascii.Error:
            raise soap.WsmanFault(soap.INVALID_REQUEST, "The stream is not base64.") from None
        with self._timeline.changed:
            if process.stdin_closed or len(process.stdin) + len(data) > _STDIN_LIMIT:
                raise soap.WsmanFault(soap.INVALID_REQUEST, "The stdin of this command takes no more.")
            process.stdin += data
            if request.attribute("Stream", "End").lower() == "true":
                process.stdin_closed = True
                self._threads = {thread for thread in self._threads if thread.is_alive()}
                self._threads.add(self._host.start(process))
        return "<rsp:SendResponse/>"

    def _receive(self, shell: _Shell, process: Process, request: soap.Request) -> str:
        if not process.await_output(request.operation_timeout):
            raise soap.WsmanFault(
                soap.OPERATION_TIMED_OUT,
                "The operation was not completed within the time specified in OperationTimeout.",
            )
        if process.exit_code is None:
            raise soap.WsmanFault(soap.SHELL_LOST, "The command was terminated.")
        if process.answer_cut:
            raise ConnectionCut
        streams = {
            "stdout": base64.b64encode(process.stdout).decode(),
            "stderr": base64.b64encode(process.stderr).decode(),
        }
        return soap.received(shell.command_id, streams, process.exit_code)

    def _processes(self) -> list[Process]:
        return [shell.process for shell in self._shells.values() if shell.process is not None]

    def _close(self, shell: _Shell) -> None:
        self._shells.pop(shell.id, None)
        if shell.process is not None:
            shell.process.kill()

    def _reap(self) -> None:
        """Close the shells that nobody has used for their idle time-out, on lab time."""
        now = self._timeline.now()
        for shell in list(self._shells.values()):
            if not shell.in_use and (now - shell.last_used).total_seconds() > shell.idle:
                self._close(shell)
