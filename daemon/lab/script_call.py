"""A shipped script about to run on a lab server: where, with what arguments, and with which rights."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.lab.faults import Fault
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
    `siblings`: the other processes on that server. `empty`: what it asks answers without any rows.
    """

    simulation: Simulation
    process: Process
    script: str
    executor: Machine
    step: str
    args: Mapping[str, Any]
    exchange: Refusal | None
    siblings: Callable[[], list[Process]]
    empty: bool = False

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
        self.open_session()
        cmdlet, found = _ASKED_FIRST[self.script], self.simulation.organisation.find(name)
        if self.script == "reboot" and self.args.get("mailbox") is False:
            cmdlet = "Get-ExchangeServer"
        self._granted(cmdlet, found)
        if found is None:
            raise not_found(cmdlet, name)
        return found

    def open_session(self) -> None:
        """Open the session of Exchange, through the executing server's own front end."""
        if self.exchange is not None:
            raise self.exchange
        refused = self.executor.faults.get(Fault.SESSION_REFUSED)
        if refused is not None or not self.executor.runs(TOPOLOGY):
            kind = "no_session" if refused is None else refused.refusal
            raise unopened(kind, "Connecting to the remote server failed.")

    def ask(self, cmdlet: str, *needed: str, about: Machine, one: bool = True) -> None:
        """Send a cmdlet whose rows about a server must have some properties. `one`: no row is not understood."""
        self._granted(cmdlet, about)
        if self.empty and one:
            raise Refusal("broken", f"{cmdlet} answered 0 objects about {about.name}.")
        self.tells(*needed, about=about)

    def tells(self, *needed: str, about: Machine) -> None:
        """What Exchange says about a server must have some properties."""
        null = about.faults.get(Fault.NULL_PROPERTY)
        if null is not None and null.missing in needed:
            raise Refusal("broken", f"The answer has no '{null.missing}'.")

    def concerned(self, about: Machine | None) -> list[Machine]:
        """The servers whose faults strike: the one that it runs on, and another that it is about."""
        return [self.executor, *([about] if about is not None and about is not self.executor else [])]

    def _granted(self, cmdlet: str, about: Machine | None) -> None:
        for machine in self.concerned(about):
            denied = machine.faults.get(Fault.CMDLET_DENIED)
            if denied is not None and denied.cmdlet == cmdlet:
                raise Refusal("denied", f"{cmdlet}: {_NO_CMDLET.format(cmdlet)}")

    def still_wanted(self) -> None:
        """Refuse what comes too late, on the executing server's own clock."""
        try:
            limit = datetime.fromisoformat(self.text("not_after"))
        except ValueError:
            raise Refusal("broken", "The argument not_after is not a time in ISO 8601.") from None
        if limit.tzinfo is None:
            raise Refusal("broken", "The argument not_after has no offset from UTC.")
        if self.simulation.timeline.now() + self.executor.skew >= limit:
            raise Refusal("expired", "It is later than not_after on this server; nothing was done.")


#: What a script that is about a server sends to Exchange before anything else.
_ASKED_FIRST = {
    "server_health": "Get-ServerHealth",
    "invoke_probe": "Invoke-MonitoringProbe",
    "database_copies": "Get-ExchangeServer",
    "exchange_server": "Get-ExchangeServer",
    "dag_health": "Get-ExchangeServer",
    "set_activation": "Get-MailboxServer",
    "reboot": "Get-MailboxServer",
    "pop_settings": "Get-PopSettings",
    "set_protocol_log": "Get-PopSettings",
}
#: What PowerShell says of a cmdlet that the caller's roles do not grant: there is none in the caller's session.
_NO_CMDLET = (
    'Exception calling "Invoke" with "0" argument(s): "The term \'{}\' is not recognized as a name of a cmdlet, '
    "function, script file, or executable program.\n"
    'Check the spelling of the name, or if a path was included, verify that the path is correct and try again."'
)


def unopened(kind: str, why: str) -> Refusal:
    """The session of Exchange cannot be opened."""
    return Refusal(kind, f"{OPENING}: {why}")


def not_found(cmdlet: str, identity: str) -> Refusal:
    """Exchange has no such object."""
    why = f"The operation couldn't be performed because object '{identity}' couldn't be found."
    return Refusal("not_found", f"{cmdlet}: {why}")


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
    return None if moment is None else utc(moment + machine.skew)


def utc(moment: datetime) -> str:
    """A time as scripts write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def flag(call: ScriptCall, name: str) -> bool:
    """An argument that must be true or false."""
    value = call.args.get(name)
    if not isinstance(value, bool):
        raise Refusal("broken", f"The argument '{name}' is neither true nor false.")
    return value


def netbios(name: str) -> str:
    """MailboxServer and the members of a DAG are told in this form by Exchange."""
    return name.partition(".")[0].upper()
