"""A WinRM client for the tests: pywinrm's Protocol itself, without exmedic's adapter."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Literal, TypeVar

from pydantic import BaseModel
from winrm.protocol import Protocol

from daemon.exchange import launch as scripts
from daemon.exchange.answers import Envelope
from daemon.lab.lab import Lab
from daemon.lab.organisation import Machine
from tests.lab.hand_clock import EagerClock
from tests.realparts.waiting import HANG

Answer = TypeVar("Answer", bound=BaseModel)

_STEPS = count(1)


@dataclass
class Output:
    """What a command left behind."""

    stdout: bytes
    stderr: bytes
    exit_code: int

    @property
    def envelope(self) -> Envelope:
        return Envelope.model_validate_json(self.stdout)

    def result(self, shape: type[Answer]) -> Answer:
        """The script's result in the shape of the contract; the script must have succeeded."""
        envelope = self.envelope
        assert envelope.ok, envelope.error
        return shape.model_validate(envelope.result)

    @property
    def error_kind(self) -> str:
        envelope = self.envelope
        assert not envelope.ok
        assert envelope.error is not None
        return envelope.error.kind


@dataclass
class Client:
    """Calls scripts on the servers of a lab."""

    lab: Lab
    transport: Literal["ntlm", "basic", "credssp"] = "ntlm"
    logon: bool = True  #: send the credential for the second hop on stdin
    username: str | None = None
    password: str | None = None
    message_encryption: Literal["auto", "never"] = "auto"
    second_hop_password: str | None = None
    operation_timeout: int = 5
    steps: list[str] = field(default_factory=list)

    def protocol(self, server: str) -> Protocol:
        return Protocol(
            self.lab.endpoints[f"{server}.contoso.lab"],
            transport=self.transport,
            username=self.username or self.lab.username,
            password=self.password or self.lab.password,
            proxy=None,
            message_encryption=self.message_encryption,
            ca_trust_path=None,  # type: ignore[arg-type] # what its documentation says; its annotation forgot it
            operation_timeout_sec=self.operation_timeout,
            read_timeout_sec=int(HANG),
        )

    def launch(self, script: str, args: Mapping[str, object], step: str | None = None) -> scripts.Launch:
        step = step or f"step-{next(_STEPS)}"
        self.steps.append(step)
        logon = scripts.Logon(self.lab.username, self.second_hop_password or self.lab.password)
        return scripts.launch(script, step, args, logon if self.logon else None)

    def call(self, executor: str, script: str, step_id: str | None = None, /, **args: object) -> Output:
        """Run a script to its end."""
        with self.started(executor, self.launch(script, args, step_id)) as (protocol, shell, command):
            return Output(*protocol.get_command_output(shell, command))

    @contextmanager
    def protocol_open(self, server: str, idle_timeout: str = "PT1800S") -> Iterator[tuple[Protocol, str]]:
        """A shell and nothing in it; only the connection is closed afterwards."""
        protocol = self.protocol(server)
        try:
            yield protocol, protocol.open_shell(idle_timeout=idle_timeout)
        finally:
            protocol.transport.close_session()

    @contextmanager
    def started(self, server: str, launch: scripts.Launch) -> Iterator[tuple[Protocol, str, str]]:
        """Run a script and leave its output to the caller; the shell is deleted afterwards."""
        protocol = self.protocol(server)
        try:
            shell = protocol.open_shell(codepage=65001, noprofile=True, idle_timeout="PT1800S")
            command = protocol.run_command(
                shell, launch.executable, launch.arguments, skip_cmd_shell=True, console_mode_stdin=False
            )
            protocol.send_command_input(shell, command, launch.stdin, end=True)
            yield protocol, shell, command
            protocol.cleanup_command(shell, command)
            protocol.close_shell(shell, close_session=False)
        finally:
            protocol.transport.close_session()


def in_time(lab: Lab, server: str, seconds: float = 600) -> str:
    """A `not_after` on the clock of a server."""
    machine = lab.simulation.machine(server)
    return (lab.clock.now() + machine.skew + timedelta(seconds=seconds)).isoformat()


def empty(lab: Lab, server: str) -> None:
    """What a move leaves behind, at once: activation blocked, and nothing active on the server."""
    organisation, machine = lab.simulation.organisation, machine_of(lab, server)
    machine.activation_blocked = True
    for database in organisation.active_on(machine):
        database.active = next(name for name in database.copies if name != machine.name)


def machine_of(lab: Lab, server: str) -> Machine:
    return lab.simulation.machine(server)


def wait_until(lab: Lab, true: Callable[[], bool]) -> None:
    """Wait for the model to come to a state, by its own clock if that moves."""
    timeline, clock = lab.simulation.timeline, lab.clock

    def look() -> bool:
        timeline.run_due()
        while not (so := true()) and isinstance(clock, EagerClock) and clock.pass_on():
            timeline.run_due()
        return so

    with timeline.changed:
        assert timeline.changed.wait_for(look, HANG), "the lab did not come to the state waited for"


class Running:
    """Work in a thread whose result or error is asked for later."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - raised again in `result`
            self._error = error

    def result(self) -> Any:  # noqa: ANN401 - whatever the work gives
        self._thread.join(HANG)
        assert not self._thread.is_alive(), "the work did not end"
        if self._error is not None:
            raise self._error
        return self._result
