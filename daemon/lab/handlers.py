"""What each shipped script does, in Python, on the model. The contract is the docstring of `daemon.exchange.answers`.

Written against that text and not with that module's code, so that lab and daemon cannot be wrong together unnoticed.
Every handler runs with the model's lock held, which only `call.process.wait` gives up.
"""

import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from daemon.lab.databases import shown_copy
from daemon.lab.exchange_answers import (
    component_requests,
    dag_health,
    exchange_server,
    organisation,
    pop_settings,
    set_protocol_log,
)
from daemon.lab.faults import Fault, Injected
from daemon.lab.organisation import (
    CTP_MONITOR,
    FRONT_END,
    HEALTH_MANAGER,
    MAILBOX,
    Database,
    Machine,
    Monitor,
    Power,
    Service,
)
from daemon.lab.own_logs import log_writer, protocol_log, recovery_log
from daemon.lab.pop_log import Session
from daemon.lab.script_call import Lost, Refusal, Result, ScriptCall, flag, netbios, shown

#: A failing probe tells the password of its monitoring mailbox to whoever asks. So does the lab's, so that everything
#: which is made of an answer can be searched for it.
PROBE_PASSWORD = "9x;R,q2:Hb=7_mailbox"  # noqa: S105 - of a mailbox that does not exist


#: Seconds after which the probe of a service that hangs says that it failed.
_HUNG_PROBE = 110


def _health_manager(machine: Machine) -> None:
    if not machine.runs(HEALTH_MANAGER):
        raise Refusal("broken", f"The Health Manager on {machine.name} cannot be reached.")


async def server_health(call: ScriptCall) -> Result:
    """Get-ServerHealth: no rows for a health set that the server does not have. `POP*`: all that begin so."""
    machine = call.target()
    wanted = call.texts("health_sets")
    _health_manager(machine)
    found = [monitor for monitor in machine.monitors if any(_wanted(monitor.health_set, each) for each in wanted)]
    return {"rows": [row for monitor in found for row in _health_rows(machine, monitor)]}


def _wanted(health_set: str, asked: str) -> bool:
    named, prefix = health_set.lower(), asked.lower().removesuffix("*")
    return named.startswith(prefix) if asked.endswith("*") else named == prefix


def _health_rows(machine: Machine, monitor: Monitor) -> Iterator[Result]:
    row = _health_row(machine, monitor)
    yield row
    second = machine.faults.get(Fault.SECOND_TARGET_BAD)
    if second is not None and second.monitor == monitor.name:
        yield {**row, "target_resource": "Second", "alert_value": "Unhealthy"}


def _health_row(machine: Machine, monitor: Monitor) -> Result:
    return {
        "server": machine.name,
        "name": monitor.name,
        "target_resource": monitor.service,
        "health_set": monitor.health_set,
        "alert_value": said.value if (said := _struck(machine, monitor, Fault.MONITOR_SAYS)) else monitor.value,
        "is_stale": monitor.stale or _struck(machine, monitor, Fault.STALE_MONITOR) is not None,
        "current_health_set_state": "Online" if machine.power is Power.UP else "Offline",
        "last_transition": shown(machine, monitor.last_transition),
        "error": "",
    }


def _struck(machine: Machine, monitor: Monitor, fault: Fault) -> Injected | None:
    """The fault, if it is about this monitor's row: the one it names, or any of POP."""
    found = machine.faults.get(fault)
    if found is None:
        return None
    about = found.monitor == monitor.name if found.monitor else monitor.health_set.startswith("POP")
    return found if about else None


async def invoke_probe(call: ScriptCall) -> Result:
    """Invoke-MonitoringProbe: a probe that the server does not have, or cannot run, gives a warning and no object."""
    machine = call.target()
    health_set, probe = call.text("health_set"), call.text("probe")
    _health_manager(machine)
    fits = [
        monitor
        for monitor in machine.monitors
        if monitor.health_set.lower() == health_set.lower() and monitor.probe.lower() == probe.lower()
    ]
    if not fits or not call.simulation.health.runs_probe(machine, fits[0]):
        warning = f"Could not find assembly or object type associated with monitor identity '{health_set}\\{probe}'."
        return {"objects": [], "warnings": [warning]}
    started = call.simulation.timeline.now()
    hung = machine.faults.get(Fault.HANGING)
    await call.process.wait(_HUNG_PROBE if hung is not None and hung.service == fits[0].service else 2)
    _health_manager(machine)
    sick = machine.sick(fits[0])
    if fits[0].name == CTP_MONITOR and machine.backend is not None and machine.runs(FRONT_END):
        writer = log_writer(call.simulation, machine)
        machine.pop_log.probes.append(Session(started, writer.probe_user, writer.backend, served=not sick))
    problem = f"No connection to {fits[0].service} on {machine.name}."
    return {
        "objects": [
            {
                "server": machine.name,
                "monitor_identity": f"{health_set}\\{probe}",
                "request_id": call.step,
                "started": shown(machine, started),
                "ended": shown(machine, call.simulation.timeline.now()),
                "result_type": "Failed" if sick else "Succeeded",
                "error": f"{problem}\r\nPassword: {PROBE_PASSWORD}" if sick else "",
                "exception": f"System.ApplicationException: {problem}\r\n   Pwd={PROBE_PASSWORD}" if sick else "",
                "reason": _why(machine) if sick else "",
                "failure_context": f"Bad password for Monitoring Account:\r\n {PROBE_PASSWORD}" if sick else "",
            }
        ],
        "warnings": [],
    }


def _why(machine: Machine) -> str:
    """What failed, as StateAttribute1 has it."""
    found = machine.faults.get(Fault.INCURABLE)
    return "Networking" if found is None else found.reason


async def database_copies(call: ScriptCall) -> Result:
    """Get-MailboxServer, Get-MailboxDatabase and Get-MailboxDatabaseCopyStatus in one answer."""
    machine = call.target()
    if MAILBOX not in machine.shown_roles:
        return {"server": machine.name, "mailbox_role": False}
    organisation = call.simulation.organisation
    databases = organisation.copies_on(machine)
    members = list(organisation.members(machine.dag)) or [machine]
    return {
        "server": machine.name,
        "mailbox_role": True,
        "dag": machine.dag,
        "databases": len(databases),
        "members": [
            {
                "server": netbios(member.name),
                "activation_blocked": member.activation_blocked,
                "activation_policy": member.activation_policy,
            }
            for member in members
        ],
        "copies": [_copy(call, database, name) for database in databases for name in database.copies],
    }


def _copy(call: ScriptCall, database: Database, holder: str) -> Result:
    copy = shown_copy(call.simulation.organisation.machines[holder], database)
    return {
        "database": database.name,
        "server": netbios(holder),
        "status": call.simulation.databases.status(call.simulation.organisation.machines[holder], database),
        "active": database.active == holder,
        "activation_suspended": copy.activation_suspended,
        "copy_queue": 0 if database.active == holder else copy.copy_queue,
        "replay_queue": 0 if database.active == holder else copy.replay_queue,
        "lagged": copy.lagged,
        "content_index": "Healthy",
    }


async def set_activation(call: ScriptCall) -> Result:
    """Set-MailboxServer -DatabaseCopyActivationDisabledAndMoveNow as a compare-and-set."""
    machine = call.target()
    if not machine.mailbox:
        raise Refusal("not_found", f"{machine.name} is not a Mailbox server.")
    expected, value = flag(call, "expected"), flag(call, "value")
    before = machine.activation_blocked
    if before != value:
        if before != expected:
            raise Refusal("conflict", f"The flag of {machine.name} is {before}, which is neither expected nor wanted.")
        call.simulation.marks.add((call.executor.name, call.step))
        call.still_wanted()
        call.simulation.databases.set_blocked(machine, value)
        call.simulation.record.effect(
            "stop_activation" if value else "allow_activation",
            machine.name,
            executor=call.executor.name,
            step=call.step,
            detail=f"DatabaseCopyActivationDisabledAndMoveNow {before} -> {value}",
        )
    return {"server": machine.name, "before": before, "after": value, "changed": before != value}


async def server_state(call: ScriptCall) -> Result:
    """Boot time, event User32/1074, services, logons and what waits for a reboot, of the executing server itself."""
    names = call.args.get("services")
    if not isinstance(names, list):
        raise Refusal("broken", "The argument services must be a list of names.")
    machine = call.executor
    found = [_service(machine, str(name)) for name in names]
    return {
        "boot_time": shown(machine, machine.boot_time),
        "restart_requested_at": shown(machine, machine.restart_requested_at),
        "restart_comment": machine.restart_comment,
        "restarts_readable": True,
        "services": [_service_state(machine, service) for service in found if service is not None],
        "logons": {"count": len(people := list(_people(machine))), "people": people},
        "component_requests": component_requests(machine),
        "reboot_pending": {
            "servicing": False,
            "windows_update": Fault.REBOOT_PENDING in machine.faults,
            "file_renames": Fault.REBOOT_PENDING in machine.faults,
        },
    }


def _people(machine: Machine) -> Iterator[Result]:
    logged_on = machine.faults.get(Fault.LOGGED_ON)
    if logged_on is not None:
        # A reboot logs everybody off, and this administrator comes back.
        since = max(logged_on.at, machine.boot_time)
        yield {"account": logged_on.account, "how": "console", "since": shown(machine, since)}


def _service(machine: Machine, name: str) -> Service | None:
    folded = name.lower()
    return next((service for service in machine.services.values() if service.name.lower() == folded), None)


def _service_state(machine: Machine, service: Service) -> Result:
    return {
        "name": service.name,
        "status": service.status,
        "start_type": service.start_type,
        "pid": service.pid,
        "started_at": shown(machine, service.started_at),
    }


def _to_restart(call: ScriptCall) -> Service:
    """The service that is to be restarted, if it is one that may be."""
    name, machine = call.text("service"), call.executor
    service = _service(machine, name)
    if service is None:
        raise Refusal("not_found", f"{machine.name} has no service {name}.")
    if service.start_type == "Disabled":
        raise Refusal("conflict", f"The service {service.name} on {machine.name} is disabled; nothing was done.")
    if service.start_type != "Automatic" and service.status == "Stopped":
        raise Refusal("conflict", f"{service.name} is stopped and does not start by itself; nothing was done.")
    return service


async def restart_service(call: ScriptCall) -> Result:
    """Stop and start a service. Killed in between, it leaves the service stopped, as a real script does."""
    machine, windows = call.executor, call.simulation.windows
    timeout = call.args.get("stop_timeout")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise Refusal("broken", "The argument stop_timeout must be a positive number of seconds.")
    service = _to_restart(call)
    call.still_wanted()
    refused = machine.faults.get(Fault.START_REFUSED)
    denied = f"Cannot start service {service.name} on computer '.': Access is denied."
    startable = refused is None or refused.service != service.name
    if service.status == "Stopped" and not startable:
        raise Refusal("denied", denied)
    if service.status != "StopPending":
        call.simulation.record.effect(
            "restart", machine.name, executor=machine.name, step=call.step, detail=service.name
        )
    if service.running:
        windows.stop_service(machine, service)
    if service.status == "StopPending" and not await call.process.wait(timeout, lambda: service.status == "Stopped"):
        raise Refusal("hung", f"The service {service.name} did not stop in {timeout} seconds; it is {service.status}.")
    if not startable:
        raise Lost(denied)  # it has stopped the service, so it does not say that nothing was tried
    if service.status == "Stopped":
        windows.start_service(machine, service)
    if not await call.process.wait(60, lambda: service.running):
        raise Refusal("failed", f"The service {service.name} was stopped and does not start; it is {service.status}.")
    return {"service": _service_state(machine, service)}


def _spared(call: ScriptCall, machine: Machine, *, mailbox: bool) -> None:
    """Refuse the reboot of a server that may hold an active database copy."""
    simulation = call.simulation
    if not mailbox:
        if MAILBOX in machine.shown_roles:
            raise Refusal("conflict", f"{machine.name} is a Mailbox server; nothing was done.")
        return
    if not machine.activation_blocked:
        raise Refusal("conflict", f"Activation is not blocked on {machine.name}; nothing was done.")
    for database in simulation.organisation.copies_on(machine):
        status = simulation.databases.status(machine, database)
        if database.active == machine.name or status in ("ServiceDown", "Unknown", "Misconfigured"):
            raise Refusal("conflict", f"{database.name} on {machine.name} is {status}; nothing was done.")


async def reboot(call: ScriptCall) -> Result:
    """Win32ShutdownTracker of another server by CIM, unless an active database copy may be there."""
    machine = call.target()
    if machine is call.executor:
        raise Refusal("broken", f"{machine.name} cannot report its own reboot: run this on another server.")
    _spared(call, machine, mailbox=flag(call, "mailbox"))
    call.still_wanted()
    if machine.power is Power.GOING_DOWN:
        raise Lost(f"A shutdown of {machine.name} is already in progress.")
    if machine.power is not Power.UP:
        raise Refusal("broken", f"Opening a CIM session; nothing was sent: {machine.name} cannot be reached.")
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


#: The handler of each shipped script.
HANDLERS: Mapping[str, Callable[[ScriptCall], Coroutine[Any, Any, Result]]] = MappingProxyType(
    {
        "server_health": server_health,
        "invoke_probe": invoke_probe,
        "database_copies": database_copies,
        "set_activation": set_activation,
        "server_state": server_state,
        "restart_service": restart_service,
        "reboot": reboot,
        "step_running": step_running,
        "exchange_server": exchange_server,
        "dag_health": dag_health,
        "recovery_log": recovery_log,
        "pop_settings": pop_settings,
        "set_protocol_log": set_protocol_log,
        "protocol_log": protocol_log,
        "organisation": organisation,
    }
)

#: Scripts that change something; the others are only counted.
CHANGING = frozenset({"set_activation", "restart_service", "reboot", "set_protocol_log"})


async def carry_out(script: str, call: ScriptCall, error: Fault | None = None) -> Result:
    """Run a script's twin. `error`: an error of its own that befalls it, if those of its servers do not."""
    about = call.simulation.organisation.find(str(call.args.get("server", "")))
    servers = (call.executor, None if about is call.executor else about)
    words = "You cannot call a method on a null-valued expression."

    def struck(fault: Fault) -> bool:
        return error is fault or call.simulation.strike(fault, *servers, script=script) is not None

    if struck(Fault.SCRIPT_BROKEN):
        raise Refusal("broken", words)
    result = await HANDLERS[script](call)
    if struck(Fault.SCRIPT_DIES):
        if script in CHANGING and result.get("changed", True):
            raise Lost(words)
        raise Refusal("broken", words)
    return result
