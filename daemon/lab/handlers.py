"""What each shipped script does, in Python, on the model. The contract is the docstring of `daemon.wire.answers`.

Written against that text and not with that module's code, so that lab and daemon cannot be wrong together unnoticed.
Every handler runs with the model's lock held, which only `call.process.wait` gives up.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from daemon.lab.organisation import HEALTH_MANAGER, TOPOLOGY, Database, Machine, Monitor, Power, Service
from daemon.lab.process import Process
from daemon.lab.simulation import Simulation

Result = dict[str, Any]


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
            raise Refusal("failed", f"The argument {name} is missing or empty.")
        return value

    def target(self) -> Machine:
        """The server that the script asks Exchange about, over the second hop."""
        name = self.text("server")
        if "." not in name:
            raise Refusal("failed", "The argument 'server' is not the full name of a server.")
        if self.exchange is not None:
            raise self.exchange
        if not self.executor.runs(TOPOLOGY):
            raise Refusal("failed", f"The Exchange session on {self.executor.name} could not be opened.")
        found = self.simulation.organisation.find(name)
        if found is None:
            raise Refusal("not_found", f"There is no server {name}.")
        return found

    def still_wanted(self) -> None:
        """Refuse what comes too late, on the executing server's own clock."""
        try:
            limit = datetime.fromisoformat(self.text("not_after"))
        except ValueError:
            raise Refusal("failed", "The argument not_after is not a time in ISO 8601.") from None
        if limit.tzinfo is None:
            raise Refusal("failed", "The argument not_after has no offset from UTC.")
        now = self.simulation.timeline.now() + self.executor.skew
        if now >= limit:
            raise Refusal("expired", f"It is {now.isoformat()} on {self.executor.name}, after {limit.isoformat()}.")


def _shown(machine: Machine, moment: datetime | None) -> str | None:
    """A time of the model as that server's own clock has it."""
    return None if moment is None else (moment + machine.skew).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _health_manager(machine: Machine) -> None:
    if not machine.runs(HEALTH_MANAGER):
        raise Refusal("failed", f"The Health Manager on {machine.name} cannot be reached.")


def server_health(call: ScriptCall) -> Result:
    """Get-ServerHealth: no rows for a health set that the server does not have."""
    machine = call.target()
    wanted = call.text("health_set").lower()
    _health_manager(machine)
    rows = [_health_row(machine, monitor) for monitor in machine.monitors if monitor.health_set.lower() == wanted]
    return {"rows": rows}


def _health_row(machine: Machine, monitor: Monitor) -> Result:
    return {
        "server": machine.name,
        "name": monitor.name,
        "target_resource": monitor.service,
        "health_set": monitor.health_set,
        "alert_value": monitor.value,
        "is_stale": monitor.stale,
        "current_health_set_state": "Online" if machine.power is Power.UP else "Offline",
        "last_transition": _shown(machine, monitor.last_transition),
        "error": "",
    }


def invoke_probe(call: ScriptCall) -> Result:
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
    call.process.wait(2)
    _health_manager(machine)
    sick = machine.sick(fits[0].service)
    problem = f"No connection to {fits[0].service} on {machine.name}." if sick else ""
    return {
        "objects": [
            {
                "server": machine.name,
                "monitor_identity": f"{health_set}\\{probe}",
                "request_id": call.step,
                "started": _shown(machine, started),
                "ended": _shown(machine, call.simulation.timeline.now()),
                "result_type": "Failed" if sick else "Succeeded",
                "error": problem,
                "exception": f"System.ApplicationException: {problem}" if sick else "",
                "failure_context": "",
                "execution_context": "",
            }
        ],
        "warnings": [],
    }


def database_copies(call: ScriptCall) -> Result:
    """Get-MailboxServer, Get-MailboxDatabase and Get-MailboxDatabaseCopyStatus in one answer."""
    machine = call.target()
    if not machine.mailbox:
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
                "server": _netbios(member.name),
                "activation_blocked": member.activation_blocked,
                "activation_policy": member.activation_policy,
            }
            for member in members
        ],
        "copies": [_copy(call, database, name) for database in databases for name in database.copies],
    }


def _netbios(name: str) -> str:
    """MailboxServer and the members of a DAG are told in this form by Exchange."""
    return name.partition(".")[0].upper()


def _copy(call: ScriptCall, database: Database, holder: str) -> Result:
    copy = database.copies[holder]
    return {
        "database": database.name,
        "server": _netbios(holder),
        "status": call.simulation.databases.status(call.simulation.organisation.machines[holder], database),
        "active": database.active == holder,
        "activation_suspended": copy.activation_suspended,
        "copy_queue": 0 if database.active == holder else copy.copy_queue,
        "replay_queue": 0 if database.active == holder else copy.replay_queue,
        "lagged": copy.lagged,
        "content_index": "Healthy",
    }


def set_activation(call: ScriptCall) -> Result:
    """Set-MailboxServer -DatabaseCopyActivationDisabledAndMoveNow as a compare-and-set."""
    machine = call.target()
    if not machine.mailbox:
        raise Refusal("not_found", f"{machine.name} is not a Mailbox server.")
    expected, value = call.args.get("expected"), call.args.get("value")
    if not isinstance(expected, bool) or not isinstance(value, bool):
        raise Refusal("failed", "The arguments expected and value must be true or false.")
    before = machine.activation_blocked
    if before != value:
        if before != expected:
            raise Refusal("conflict", f"The flag of {machine.name} is {before}, which is neither expected nor wanted.")
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


def server_state(call: ScriptCall) -> Result:
    """Boot time, event User32/1074 and services of the executing server itself."""
    names = call.args.get("services")
    if not isinstance(names, list):
        raise Refusal("failed", "The argument services must be a list of names.")
    machine = call.executor
    found = [_service(machine, str(name)) for name in names]
    return {
        "boot_time": _shown(machine, machine.boot_time),
        "restart_requested_at": _shown(machine, machine.restart_requested_at),
        "services": [_service_state(machine, service) for service in found if service is not None],
    }


def _service(machine: Machine, name: str) -> Service | None:
    folded = name.lower()
    return next((service for service in machine.services.values() if service.name.lower() == folded), None)


def _service_state(machine: Machine, service: Service) -> Result:
    return {
        "name": service.name,
        "status": service.status,
        "start_type": service.start_type,
        "pid": service.pid,
        "started_at": _shown(machine, service.started_at),
    }


def restart_service(call: ScriptCall) -> Result:
    """Stop and start a service. Killed in between, it leaves the service stopped, as a real script does."""
    name = call.text("service")
    machine, windows = call.executor, call.simulation.windows
    timeout = call.args.get("stop_timeout")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise Refusal("failed", "The argument stop_timeout must be a positive number of seconds.")
    service = _service(machine, name)
    if service is None:
        raise Refusal("not_found", f"{machine.name} has no service {name}.")
    if service.start_type == "Disabled":
        raise Refusal("failed", f"The service {service.name} on {machine.name} is disabled.")
    if service.start_type != "Automatic" and service.status == "Stopped":
        raise Refusal("failed", f"{service.name} is stopped and does not start by itself; nothing was done.")
    call.still_wanted()
    if service.status != "StopPending":
        call.simulation.record.effect(
            "restart", machine.name, executor=machine.name, step=call.step, detail=service.name
        )
    if service.running:
        windows.stop_service(machine, service)
    if service.status == "StopPending" and not call.process.wait(timeout, lambda: service.status == "Stopped"):
        raise Refusal("hung", f"The service {service.name} did not stop in {timeout} seconds; it is {service.status}.")
    if service.status == "Stopped":
        windows.start_service(machine, service)
    if not call.process.wait(60, lambda: service.running):
        raise Refusal("failed", f"The service {service.name} was stopped and does not start; it is {service.status}.")
    return {"service": _service_state(machine, service)}


def reboot(call: ScriptCall) -> Result:
    """Restart-Computer -Force on another server."""
    machine = call.target()
    if machine is call.executor:
        raise Refusal("failed", f"{machine.name} cannot report its own reboot: run this on another server.")
    call.still_wanted()
    if machine.power is Power.GOING_DOWN:
        raise Lost(f"A shutdown of {machine.name} is already in progress.")
    if machine.power is not Power.UP:
        raise Lost(f"{machine.name} cannot be reached: the RPC server is unavailable.")
    active = [database.name for database in call.simulation.organisation.active_on(machine)]
    call.simulation.windows.reboot(machine)
    call.simulation.record.effect(
        "reboot",
        machine.name,
        executor=call.executor.name,
        step=call.step,
        detail=f"active here: {', '.join(active) or 'nothing'}",
    )
    return {"accepted": True}


def step_running(call: ScriptCall) -> Result:
    """Whether another process of that step runs on the executing server."""
    marker = f"exmedic-{call.text('step')}"
    others = [process for process in call.siblings() if process is not call.process]
    return {"running": any(process.running and has_marker(process.command_line, marker) for process in others)}


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
HANDLERS: Mapping[str, Callable[[ScriptCall], Result]] = MappingProxyType(
    {
        "server_health": server_health,
        "invoke_probe": invoke_probe,
        "database_copies": database_copies,
        "set_activation": set_activation,
        "server_state": server_state,
        "restart_service": restart_service,
        "reboot": reboot,
        "step_running": step_running,
    }
)

#: Scripts that change something; the others are only counted.
CHANGING = frozenset({"set_activation", "restart_service", "reboot"})
