"""A shipped script about to run on a lab server: where, with what arguments, and with which rights."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.lab.model import Simulation
from daemon.lab.organisation import TOPOLOGY, Machine
from daemon.lab.process import Process

Result = dict[str, Any]

OPENING = "Opening the Microsoft.Exchange session"  #: how a message begins when that session does not open


class Refusal(Exception):  # noqa: N818 - a script's "no", part of the contract
    """A script says no: one of the error kinds of the contract, and why."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = message
        super().__init__(message)


class Lost(Exception):  # noqa: N818 - a script's word for it
    """A script cannot say whether its effect happened: it writes no envelope and exits with code 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptCall:
    """A script about to run: on which server, with what, and with which rights.

    `exchange`: None when an Exchange session can be opened, otherwise the refusal.
    `siblings`: the other processes on that server.
    """

    simulation: Simulation
    process: Process
    executor: Machine
    step: str
    args: Mapping[str, Any]
    exchange: Refusal | None
    siblings: Callable[[], list[Process]]

    def text(self, name: str) -> str:
        """An argument that must be text and not empty: several cmdlets answer everything for an empty identity."""
        value = self.args.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Refusal("broken", f"The argument {name} is missing or empty.")
        return value

    def texts(self, name: str) -> list[str]:
        """An argument that must be a list of such texts, with at least one in it."""
        values = self.args.get(name)
        if (
            not isinstance(values, list)
            or not values
            or not all(isinstance(one, str) and one.strip() for one in values)
        ):
            raise Refusal("broken", f"The argument {name} is no list of names.")
        return values

    def target(self) -> Machine:
        """The server that the script asks Exchange about, over the second hop."""
        name = self.text("server")
        if "." not in name:
            raise Refusal("broken", "The argument 'server' is not the full name of a server.")
        if self.exchange is not None:
            raise self.exchange
        if not self.executor.runs(TOPOLOGY):
            raise Refusal("no_session", f"{OPENING}: {self.executor.name} does not answer it.")
        found = self.simulation.organisation.find(name)
        if found is None:
            problem = f"The operation couldn't be performed because object '{name}' couldn't be found."
            raise Refusal("not_found", f"Get-ExchangeServer: {problem}")
        return found

    def still_wanted(self) -> None:
        """Refuse what comes too late, on the executing server's own clock."""
        try:
            limit = datetime.fromisoformat(self.text("not_after"))
        except ValueError:
            raise Refusal("broken", "The argument not_after is not a time in ISO 8601.") from None
        if limit.tzinfo is None:
            raise Refusal("broken", "The argument not_after has no offset from UTC.")
        now = self.simulation.timeline.now() + self.executor.skew
        if now >= limit:
            raise Refusal("expired", "It is later than not_after on this server; nothing was done.")


def run_through(handler: Coroutine[Any, Any, Result]) -> Result:
    """Run a handler whose process waits by blocking this thread, so that it ends without ever being suspended."""
    try:
        handler.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    raise RuntimeError("a handler was suspended, although its process blocks")


def shown(machine: Machine, moment: datetime | None) -> str | None:
    """A time of the model as that server's own clock has it."""
    return None if moment is None else (moment + machine.skew).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def flag(call: ScriptCall, name: str) -> bool:
    """An argument that must be true or false."""
    value = call.args.get(name)
    if not isinstance(value, bool):
        raise Refusal("broken", f"The argument {name} must be true or false.")
    return value


def netbios(name: str) -> str:
    """MailboxServer and the members of a DAG are told in this form by Exchange."""
    return name.partition(".")[0].upper()
