"""What Exchange answers about databases and their copies, and the setting that moves them."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.lab.databases import shown_copy
from daemon.lab.faults import Fault
from daemon.lab.organisation import MAILBOX, Database, Machine
from daemon.lab.script_call import Lost, Refusal, Result, ScriptCall, flag, netbios, not_found

_FLAG = "DatabaseCopyActivationDisabledAndMoveNow"


async def database_copies(call: ScriptCall) -> Result:
    """Get-MailboxServer, Get-MailboxDatabase and Get-MailboxDatabaseCopyStatus in one answer."""
    machine = call.target()
    call.ask("Get-ExchangeServer", "Fqdn", "IsMailboxServer", about=machine)
    if MAILBOX not in machine.shown_roles:
        return {"server": machine.name, "mailbox_role": False}
    members = [machine, *(each for each in call.simulation.organisation.members(machine.dag) if each is not machine)]
    if machine.dag is not None:
        call.ask("Get-DatabaseAvailabilityGroup", about=machine, one=False)
    for member in members:
        call.ask("Get-MailboxServer", "Name", _FLAG, "DatabaseCopyAutoActivationPolicy", about=member)
    call.ask("Get-MailboxDatabase", about=machine, one=False)
    databases = call.simulation.organisation.copies_on(machine)
    return {
        "server": machine.name,
        "mailbox_role": True,
        "dag": machine.dag,
        "databases": len(databases),
        "members": [
            {
                "server": member.name if member is machine else netbios(member.name),
                "activation_blocked": member.activation_blocked,
                "activation_policy": member.activation_policy,
            }
            for member in members
        ],
        "copies": [copy for member in members for copy in _copies(call, member, databases)],
    }


_OF_A_COPY = (
    "MailboxServer",
    "DatabaseName",
    "Status",
    "ActiveCopy",
    "ActivationSuspended",
    "CopyQueueLength",
    "ReplayQueueLength",
)


def _copies(call: ScriptCall, holder: Machine, databases: list[Database]) -> list[Result]:
    here = [database for database in databases if holder.name in database.copies]
    needed = _OF_A_COPY if call.simulation.organisation.copies_on(holder) else ()
    call.ask("Get-MailboxDatabaseCopyStatus", *needed, about=holder, one=False)
    return [_copy(call, database, holder) for database in here]


def _copy(call: ScriptCall, database: Database, holder: Machine) -> Result:
    copy = shown_copy(holder, database)
    return {
        "database": database.name,
        "server": netbios(holder.name),
        "status": call.simulation.databases.status(holder, database),
        "active": database.active == holder.name,
        "activation_suspended": copy.activation_suspended,
        "copy_queue": copy.copy_queue,
        "copy_queue_stale": False,
        "replay_queue": copy.replay_queue,
        "lagged": copy.lagged,
        "content_index": "Healthy",
    }


async def set_activation(call: ScriptCall) -> Result:
    """Set-MailboxServer -DatabaseCopyActivationDisabledAndMoveNow as a compare-and-set."""
    machine = call.target()
    if MAILBOX not in machine.shown_roles:
        raise not_found("Get-MailboxServer", machine.name)
    call.ask("Get-MailboxServer", "Name", _FLAG, about=machine)

    def change(value: bool) -> None:
        call.simulation.databases.set_blocked(machine, value)
        call.simulation.record.effect(
            "stop_activation" if value else "allow_activation",
            machine.name,
            executor=call.executor.name,
            step=call.step,
            detail=f"{_FLAG} {not value} -> {value}",
        )

    setting = Setting(name=_FLAG, setter="Set-MailboxServer", before=machine.activation_blocked, change=change)
    return compare_and_set(call, machine, setting, marks=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a script sets: its name, by which cmdlet, its value now, and what changing it does."""

    name: str
    setter: str
    before: bool
    change: Callable[[bool], None]


def compare_and_set(call: ScriptCall, machine: Machine, setting: Setting, *, marks: bool = False) -> Result:
    """Set what is still as expected. `marks`: the step leaves its mark on the executing server's disk before."""
    before = setting.before
    expected, value = flag(call, "expected"), flag(call, "value")
    if before != value:
        if before != expected:
            raise Refusal("conflict", f"{setting.name} of {machine.name} is {before}, not {expected} as expected.")
        if marks:
            call.simulation.marks.add((call.executor.name, call.step))
        call.still_wanted()
        call.ask(setting.setter, about=machine, one=False)
        if call.simulation.strike(Fault.CHANGE_LOST, *call.concerned(machine), script=call.script) is not None:
            raise Lost(f"{setting.setter}: the session ended before it had answered.")
        setting.change(value)
    return {"server": machine.name, "before": before, "after": value, "changed": before != value}
