"""PowerShell on a lab server: takes exmedic's bootstrap, runs the Python twin of a shipped script, and nothing else.

How a script travels is the docstring of `daemon.exchange.launch`. Whatever differs from what is shipped, be it a byte
of the script, is refused and recorded as a violation.
"""

import base64
import binascii
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daemon.exchange import launch
from daemon.lab.faults import Fault, Injected
from daemon.lab.handlers import CHANGING, carry_out
from daemon.lab.model import Simulation
from daemon.lab.organisation import Machine
from daemon.lab.process import Process, ProcessKilled
from daemon.lab.pwsh.playing import Powershell
from daemon.lab.script_call import Lost, Refusal, ScriptCall, run_through, unopened
from daemon.lab.security import Account

#: PowerShell writes progress records to stderr as CLIXML even when all is well: clients must ignore them.
_PROGRESS = (
    b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    b'<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T></TN><MS>'
    b'<I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV><AI>0</AI><Nil />'
    b"<PI>-1</PI><PC>-1</PC><T>Completed</T><SR>-1</SR><SD> </SD></PR></MS></Obj></Objs>"
)


POWERSHELL = "4.0"  #: of Windows Server 2012 R2, on which the lab's Exchange 2013 is


class _Violation(Exception):  # noqa: N818 - what the lab records, in the lab's own word
    """What was sent is not one of the shipped scripts as exmedic ships it."""

    exit_code = 1


class _Incomplete(_Violation):
    """Standard input did not arrive whole: the bootstrap runs nothing."""

    exit_code = launch.INCOMPLETE


@dataclass(frozen=True, slots=True)
class _Request:
    """What came on stdin, checked."""

    name: str
    step: str
    args: dict[str, Any]
    logon: tuple[str, str] | None  #: user name and password for the second hop


class ScriptHost:
    """Runs processes on one server. `siblings` gives all processes on it; `powershell` answers instead of the twins."""

    def __init__(
        self,
        simulation: Simulation,
        machine: Machine,
        account: Account,
        siblings: Callable[[], list[Process]],
        powershell: Powershell | None = None,
    ) -> None:
        self._simulation = simulation
        self._machine = machine
        self._account = account
        self._siblings = siblings
        self._powershell = powershell

    def start(self, process: Process) -> threading.Thread:
        """Run a process whose stdin is complete, in a thread of its own."""
        thread = threading.Thread(target=self._run, args=(process,), name=f"lab-process-{self._machine.name}")
        thread.start()
        return thread

    def _run(self, process: Process) -> None:
        try:
            request = _request(process)
        except _Violation as violation:
            self._simulation.record.effect(
                "violation", self._machine.name, executor=self._machine.name, step="", detail=str(violation)
            )
            process.end(violation.exit_code, stderr=f"exmedic lab: {violation}\r\n".encode())
            return
        try:
            self._answer(process, request)
        except ProcessKilled:
            return
        except Lost as lost:
            process.end(3, stderr=f"{lost}\r\n".encode())

    def _answer(self, process: Process, request: _Request) -> None:
        if request.name not in CHANGING:
            self._simulation.record.read(self._machine.name, request.name)
        self._apply_faults(process, request)
        if self._powershell is not None:
            ended = self._powershell.run(request.name, self._call(process, request))
            process.end(ended.exit_code, self._garbled(ended.stdout, request), ended.stderr)
            return
        result: dict[str, Any] | None = None
        error: dict[str, str] | None = None
        with self._simulation.timeline.up_to_date():
            try:
                result = run_through(carry_out(request.name, self._call(process, request)))
            except Refusal as refusal:
                if refusal.kind == "logon":
                    self._simulation.record.refused(self._machine.name)
                error = {"kind": refusal.kind, "message": refusal.message}
            clock = self._simulation.timeline.now() + self._machine.skew
        envelope = {
            "exmedic": 1,
            "powershell": POWERSHELL,
            "script": request.name,
            "step": request.step,
            "host": self._machine.name,
            "clock": clock.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "ok": error is None,
            "result": result,
            "error": error,
        }
        line = json.dumps(envelope).encode() + b"\r\n"
        process.end(0, self._garbled(line, request), _PROGRESS)

    def _garbled(self, line: bytes, request: _Request) -> bytes:
        struck = self._struck(Fault.GARBAGE_ANSWER, request)
        return b'{"exmedic": 1, "script": \xff\xfe this is no JSON\r\n' if struck else line

    def _call(self, process: Process, request: _Request) -> ScriptCall:
        return ScriptCall(
            simulation=self._simulation,
            process=process,
            script=request.name,
            executor=self._machine,
            step=request.step,
            args=request.args,
            exchange=self._second_hop(process, request),
            siblings=self._siblings,
        )

    def _second_hop(self, process: Process, request: _Request) -> Refusal | None:
        """Whether an Exchange session can be opened from here: a network logon alone cannot go further."""
        if request.logon is not None:
            if self._account.accepts(*request.logon):
                return None
            return unopened("logon", "Connecting to the remote server failed: the user name or password is incorrect.")
        if process.delegated:
            return None
        return unopened("second_hop", "WinRM cannot process the request: Kerberos has no credential to hand on.")

    def _apply_faults(self, process: Process, request: _Request) -> None:
        """Faults of the way back. They strike calls that run on the broken server and calls about it."""
        late = self._struck(Fault.LATE_ANSWER, request)
        with self._simulation.timeline.changed:
            process.operation_timeouts = late.timeouts if late else 0
            process.answer_cut = self._struck(Fault.ANSWER_LOST, request) is not None

    def _struck(self, fault: Fault, request: _Request) -> Injected | None:
        about = self._simulation.organisation.find(request.args.get("server", ""))
        about = None if about is self._machine else about
        return self._simulation.strike(fault, self._machine, about, script=request.name)


def _request(process: Process) -> _Request:
    """Check the command line and stdin against what exmedic ships.

    Raises:
        _Violation: they differ.
    """
    try:
        first, *more = bytes(process.stdin).split()
        sent = json.loads(base64.b64decode(first, validate=True))
        text = base64.b64decode(sent["script"], validate=True)
        name, step, args = sent["name"], sent["step"], sent["args"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise _Incomplete(f"stdin is not the base64 of exmedic's JSON object: {error!r}") from None
    if not isinstance(args, dict) or not isinstance(step, str) or not launch.STEP_ID.fullmatch(step):
        raise _Violation("stdin has no arguments or no step id")
    if process.command_line != " ".join([launch.EXECUTABLE, *launch.arguments(step)]):
        raise _Violation(f"the command line is not exmedic's bootstrap for step {step}: {process.command_line[:200]}")
    if name not in launch.NAMES:
        raise _Violation(f"exmedic ships no script {name!r}")
    found = hashlib.sha256(text).hexdigest()
    if found != launch.load(name).sha256:
        raise _Violation(f"the text sent as {name} has the hash {found}, which is not that of the shipped script")
    username = sent.get("username")
    if len(more) > (username is not None) or not isinstance(username, str | None):
        raise _Violation("stdin has a password without a user name")
    return _Request(name, step, args, None if username is None else (username, _password(more, sent)))


def _password(lines: list[bytes], sent: dict[str, Any]) -> str:
    """The password in the second line, which is what its hash in the first one says.

    Raises:
        _Incomplete: it is not.
    """
    line = lines[0] if lines else b""
    if hashlib.sha256(line).hexdigest() != sent.get("secret_sha256"):
        raise _Incomplete("the second line of stdin is not what its hash in the first one says")
    return base64.b64decode(line, validate=True)[launch.SALT :].decode()
