"""The commands that another process gives a lab: break, cure, effects, servers, faults, stop."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol

from daemon.domain.errors import OperatorError
from daemon.lab.faults import FAULTS, Fault
from daemon.lab.record import RecordedEffect


class Commanded(Protocol):
    """What of a lab the commands need."""

    def break_server(self, name: str, fault: Fault | str, **options: object) -> None:
        """Inject a fault."""
        ...

    def cure(self, name: str, fault: Fault | str | None = None) -> None:
        """Take a fault away."""
        ...

    def effects(self) -> tuple[RecordedEffect, ...]:
        """The record."""
        ...

    def servers(self) -> dict[str, dict[str, object]]:
        """How every server stands."""
        ...

    def request_stop(self) -> None:
        """Ask whoever runs the lab to stop it."""
        ...


def obey(lab: Commanded, command: Mapping[str, object]) -> dict[str, object]:
    """Carry out one command; the fields of the answer beside `ok`.

    `break` takes server, fault and optionally options (an object); `cure` takes server and optionally fault.

    Raises:
        OperatorError: there is no such command, or it cannot be carried out.
    """
    verb = command.get("command")
    if verb == "break":
        options = command.get("options", {})
        if not isinstance(options, dict):
            raise OperatorError("The options of a fault must be an object.")
        lab.break_server(_text(command, "server"), _text(command, "fault"), **options)
        return {}
    if verb == "cure":
        lab.cure(_text(command, "server"), _text(command, "fault") if command.get("fault") is not None else None)
        return {}
    if verb == "effects":
        return {"effects": [asdict(effect) for effect in lab.effects()]}
    if verb == "servers":
        return {"servers": lab.servers()}
    if verb == "faults":
        return {"faults": {fault.value: asdict(kind) for fault, kind in FAULTS.items()}}
    if verb == "stop":
        lab.request_stop()
        return {}
    raise OperatorError(f"The lab knows no command {verb!r}: break, cure, effects, servers, faults or stop.")


def _text(command: Mapping[str, object], name: str) -> str:
    value = command.get(name)
    if not isinstance(value, str) or not value:
        raise OperatorError(f"The command {command.get('command')} needs {name}.")
    return value
