"""What Windows answers on a lab server: its state, what runs on it, and to whoever reboots another."""

from collections.abc import Iterator

from daemon.lab.exchange_answers import component_requests
from daemon.lab.faults import Fault
from daemon.lab.organisation import MAILBOX, Machine, Power, Service
from daemon.lab.script_call import Lost, Refusal, Result, ScriptCall, flag, shown

#: Statuses of a copy that is or may be active.
_NOT_PASSIVE = ("Mounted", "Mounting", "Dismounting", "Dismounted", "ServiceDown", "Unknown", "Misconfigured")
CIM_DENIED = "Access is denied."


def cim(machine: Machine) -> None:
    """Refuse whoever may not ask CIM on a server."""
    denies = machine.faults.get(Fault.WINDOWS_DENIES)
    if denies is not None and denies.right == "cim":
        raise Refusal("denied", CIM_DENIED)


async def server_state(call: ScriptCall) -> Result:
    """Boot time, event User32/1074, services, logons and what waits for a reboot, of the executing server itself."""
    names = call.args.get("services")
    if not isinstance(names, list):
        raise Refusal("broken", "The argument services must be a list of names.")
    machine = call.executor
    cim(machine)
    asked = {str(name).lower() for name in names}
    found = [each for each in machine.services.values() if each.name.lower() in asked]
    pending = machine.faults.get(Fault.REBOOT_PENDING) is not None
    return {
        "boot_time": shown(machine, machine.boot_time),
        "restart_requested_at": shown(machine, machine.restart_requested_at),
        "restart_comment": machine.restart_comment,
        "restarts_readable": True,
        # Windows lists them by name.
        "services": [service_state(machine, each) for each in sorted(found, key=lambda each: each.name.lower())],
        "logons": {"count": len(people := list(_people(machine))), "people": people},
        "component_requests": component_requests(machine),
        "reboot_pending": {"servicing": False, "windows_update": pending, "file_renames": pending},
    }


def _people(machine: Machine) -> Iterator[Result]:
    logged_on = machine.faults.get(Fault.LOGGED_ON)
    if logged_on is not None:
        # A reboot logs everybody off, and these administrators come back.
        since = max(logged_on.at, machine.boot_time)
        for account in sorted(logged_on.accounts, key=str.lower):
            yield {"account": account, "how": "console", "since": shown(machine, since)}


def service_named(machine: Machine, name: str) -> Service | None:
    """The service of that name, in any case."""
    return next((each for each in machine.services.values() if each.name.lower() == name.lower()), None)


def service_state(machine: Machine, service: Service) -> Result:
    """A service and its process."""
    return {
        "name": service.name,
        "status": service.status,
        "start_type": service.start_type,
        "pid": service.pid,
        "started_at": shown(machine, service.started_at),
    }


def _spared(call: ScriptCall, machine: Machine, *, mailbox: bool) -> None:
    """Refuse the reboot of a server that may hold an active database copy."""
    simulation, name = call.simulation, machine.name
    if not mailbox:
        if MAILBOX in machine.shown_roles:
            raise Refusal("conflict", f"{name} is a Mailbox server, which the call does not say; nothing was done.")
        return
    if not machine.activation_blocked:
        raise Refusal("conflict", f"Activation is not blocked on {name} any more; nothing was done.")
    for database in simulation.organisation.copies_on(machine):
        status = simulation.databases.status(machine, database)
        if database.active == name or status in _NOT_PASSIVE:
            told = f"The copy of {database.name} on {name} is or may be active ({status})"
            raise Refusal("conflict", f"{told}; nothing was done.")


async def reboot(call: ScriptCall) -> Result:
    """Win32ShutdownTracker of another server by CIM, unless an active database copy may be there."""
    machine = call.target()
    if machine is call.executor:
        told = f"This is {machine.name} itself; its reboot must be asked for from another server."
        raise Refusal("broken", told)
    mailbox = flag(call, "mailbox")
    if mailbox:
        call.ask("Get-MailboxServer", "DatabaseCopyActivationDisabledAndMoveNow", about=machine)
    else:
        call.ask("Get-ExchangeServer", "IsMailboxServer", about=machine)
    _spared(call, machine, mailbox=mailbox)
    opening = "Opening a CIM session; nothing was sent: "
    if machine.power not in (Power.UP, Power.GOING_DOWN):
        raise Refusal("no_session", f"{opening}{machine.name} cannot be reached.")
    try:
        cim(machine)
    except Refusal as denied:
        raise Refusal("denied", opening + denied.message) from None
    call.still_wanted()
    if machine.power is Power.GOING_DOWN:
        raise Lost(f"A shutdown of {machine.name} is already in progress.")
    active = [database.name for database in call.simulation.organisation.active_on(machine)]
    call.simulation.windows.reboot(machine, f"exmedic {call.step}")
    call.simulation.record.effect(
        "reboot",
        machine.name,
        executor=call.executor.name,
        step=call.step,
        detail=f"active here: {', '.join(active) or 'nothing'}",
    )
    return {"accepted": True}


async def step_running(call: ScriptCall) -> Result:
    """Whether another process of that step runs on the executing server."""
    cim(call.executor)
    marker = f"exmedic-{call.text('step')}"
    others = [process for process in call.siblings() if process is not call.process]
    return {
        "looked_at": shown(call.executor, call.simulation.timeline.now()),
        "running": any(process.running and has_marker(process.command_line, marker) for process in others),
        "began": (call.executor.name, call.text("step")) in call.simulation.marks,
    }


def has_marker(command_line: str, marker: str) -> bool:
    """Whether a command line contains a step's marker, and not only a longer one that begins with it."""
    start = command_line.find(marker)
    while start >= 0:
        following = command_line[start + len(marker) : start + len(marker) + 1]
        if not following or not (following.isalnum() or following in ".-"):
            return True
        start = command_line.find(marker, start + 1)
    return False
