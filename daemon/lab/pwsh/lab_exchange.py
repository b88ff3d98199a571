"""Exchange's side of a world that is made from the lab's model: what its cmdlets answer about every server."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from daemon.lab.databases import shown_copy
from daemon.lab.faults import Fault
from daemon.lab.handlers import PROBE_PASSWORD
from daemon.lab.model import Simulation
from daemon.lab.organisation import BACK_END, FRONT_END, HEALTH_MANAGER, Machine, Monitor
from daemon.lab.pwsh.lab_windows import asked_for
from daemon.lab.script_call import netbios, shown

Json = dict[str, Any]

_RESOURCES = {BACK_END: "MSExchangePop3BE", FRONT_END: "MSExchangePop3"}
_LAG = "7.00:00:00"
_YEAR = timedelta(days=365)


def show_exchange(exchange: Json, simulation: Simulation) -> None:
    """Let what Exchange answers be as the model has it."""
    machines = simulation.organisation.machines.values()
    by_name = {netbios(machine.name): machine for machine in machines}
    for row in exchange["MailboxServer"]:
        machine = by_name[row["Name"]]
        row["DatabaseCopyActivationDisabledAndMoveNow"] = machine.activation_blocked
        row["DatabaseCopyAutoActivationPolicy"] = machine.activation_policy
    for row in exchange["MailboxDatabase"]:
        _database(row, simulation, by_name)
    for row in exchange["DatabaseCopyStatusEntry"]:
        _copy(row, simulation, by_name[row["MailboxServer"]])
    for row in exchange["DatabaseAvailabilityGroup"]:
        members = {name: by_name[name] for name in row["Servers"]}
        row["OperationalServers"] = [name for name, each in members.items() if each.node_state in ("Up", "Paused")]
        row["ServersInMaintenance"] = [name for name, each in members.items() if _offline(each)]
    for row in exchange["ReplicationCheckOutcome"]:
        if _fails(row["Check"], simulation, by_name[row["Server"]]):
            row |= {"Result": "Failed", "Error": f"{row['Check']} failed on {row['Server']}."}
    exchange["MonitorHealthEntry"] = [
        row for machine in machines for row in _monitors(exchange["MonitorHealthEntry"][0], machine)
    ]
    for row in exchange["ServerComponentState"]:
        asked = asked_for(simulation.machine(row["ServerFqdn"]), row["Component"])
        if asked is not None:
            row["State"] = asked[1]
    for row in exchange["PopSettings"]:
        row["ProtocolLogEnabled"] = by_name[row["Server"]].pop_log.enabled
    _certificates(exchange, by_name, simulation.timeline.now())


def show_probes(exchange: Json, machine: Machine, started: datetime, ended: datetime) -> None:
    """Let the probes of a server end as they do now, if they can run there."""
    monitors = {f"{monitor.health_set}\\{monitor.probe}": monitor for monitor in machine.monitors}
    of_it = [row for row in exchange["MonitoringProbeResult"] if row["Server"] == netbios(machine.name)]
    exchange["MonitoringProbeResult"] = []
    if Fault.PROBE_CANNOT_RUN in machine.faults:
        return
    for row in of_it:
        found = monitors.get(row["MonitorIdentity"])
        if found is None:
            continue  # of a role that Exchange tells, and that is not installed
        row.update({"ExecutionStartTime": shown(machine, started), "ExecutionEndTime": shown(machine, ended)})
        if machine.sick(found):
            row.update(_failure(machine, found))
        exchange["MonitoringProbeResult"].append(row)


def _failure(machine: Machine, monitor: Monitor) -> Json:
    problem = f"No connection to {monitor.service} on {machine.name}."
    fault = machine.faults.get(Fault.INCURABLE)
    return {
        "ResultType": "Failed",
        "StateAttribute1": "Networking" if fault is None else fault.reason,
        "StateAttribute2": f"HealthMailbox password {PROBE_PASSWORD}",
        "Error": f"{problem}\r\nPassword: {PROBE_PASSWORD}",
        "Exception": f"System.ApplicationException: {problem}\r\n   Pwd={PROBE_PASSWORD}",
        "FailureContext": f"Bad password for Monitoring Account:\r\n {PROBE_PASSWORD}",
        "ExecutionContext": f"USER HealthMailbox PASS {PROBE_PASSWORD}",
    }


def refuse_what_is_down(exchange: Json, machine: Machine) -> None:
    """Let the cmdlets fail that ask a server itself for something that does not run there."""

    def fails(command: str, what: str) -> None:
        exchange["faults"][command] = [{"error": {"message": f"{what} on {machine.name} cannot be reached."}}]

    if not machine.runs(HEALTH_MANAGER):
        fails("Get-ServerHealth", "The Microsoft Exchange Health Manager")
        fails("Invoke-MonitoringProbe", "The Microsoft Exchange Health Manager")
    if not machine.answering:
        fails("Test-ReplicationHealth", "The replication service")


def _offline(machine: Machine) -> bool:
    maintenance = machine.faults.get(Fault.MAINTENANCE)
    return maintenance is not None and maintenance.form == "server_wide_offline"


def _database(row: Json, simulation: Simulation, by_name: dict[str, Machine]) -> None:
    database = simulation.organisation.databases[row["Name"]]
    row["Server"] = netbios(database.active)
    for name in row["Servers"]:
        if shown_copy(by_name[name], database).lagged:
            row["ReplayLagTimes"][name] = _LAG


def _copy(row: Json, simulation: Simulation, machine: Machine) -> None:
    database = simulation.organisation.databases[row["DatabaseName"]]
    active, copy = database.active == machine.name, shown_copy(machine, database)
    row |= {
        "Status": simulation.databases.status(machine, database),
        "ActiveCopy": active,
        "ActiveDatabaseCopy": netbios(database.active).lower(),
        "ActivationSuspended": copy.activation_suspended and not active,
        "ActivationDisabledAndMoveNow": machine.activation_blocked,
        "AutoActivationPolicy": machine.activation_policy,
        "CopyQueueLength": 0 if active else copy.copy_queue,
        "ReplayQueueLength": 0 if active else copy.replay_queue,
    }
    if copy.lagged and not active:
        row["ReplayLagStatus"] = {"configured": _LAG, "enabled": True}


def _fails(check: str, simulation: Simulation, machine: Machine) -> bool:
    """Whether a check of Test-ReplicationHealth fails on a server."""
    injected = machine.faults.get(Fault.REPLICATION_FAILED)
    if injected is not None and injected.check == check:
        return True
    organisation = simulation.organisation
    held = organisation.copies_on(machine)
    if check == "DagMembersUp":
        return any(each.node_state not in ("Up", "Paused") for each in organisation.members(machine.dag))
    if check == "DBCopySuspended":
        return any(
            shown_copy(machine, database).status == "Suspended" for database in held if database.active != machine.name
        )
    if check == "DatabaseAvailabilityCheck":  # fewer than two copies where they may be active
        open_to = [
            sum(not organisation.machines[name].activation_blocked for name in each.copies) - min(2, len(each.copies))
            for each in held
        ]
        return any(too_few < 0 for too_few in open_to)
    return False


def _monitors(like: Json, machine: Machine) -> Iterator[Json]:
    second = machine.faults.get(Fault.SECOND_TARGET_BAD)
    for monitor in machine.monitors:
        row = {
            **like,
            "Server": netbios(machine.name),
            "Name": monitor.name,
            "TargetResource": _RESOURCES.get(monitor.service, ""),
            "HealthSetName": monitor.health_set,
            "AlertValue": monitor.value,
            "IsStale": monitor.stale or _struck(machine, monitor, Fault.STALE_MONITOR),
            "LastTransitionTime": shown(machine, monitor.last_transition),
        }
        if _struck(machine, monitor, Fault.MONITOR_SAYS):
            row["AlertValue"] = machine.faults[Fault.MONITOR_SAYS].value
        yield row
        if second is not None and second.monitor == monitor.name:
            yield {**row, "TargetResource": "Second", "AlertValue": "Unhealthy"}


def _struck(machine: Machine, monitor: Monitor, fault: Fault) -> bool:
    """Whether a fault is about this monitor's row: the one it names, or any of POP."""
    found = machine.faults.get(fault)
    if found is None:
        return False
    return found.monitor == monitor.name if found.monitor else monitor.health_set.startswith("POP")


def _certificates(exchange: Json, by_name: dict[str, Machine], now: datetime) -> None:
    for row in exchange["PopSettings"]:
        fault = by_name[row["Server"]].faults.get(Fault.CERTIFICATE)
        missing = fault is not None and fault.problem == "missing"
        row["X509CertificateName"] = f"pop.{by_name[row['Server']].name}" if missing else by_name[row["Server"]].name
    for row in exchange["ExchangeCertificate"]:
        machine = by_name[row["Server"]]
        fault = machine.faults.get(Fault.CERTIFICATE)
        until = now - timedelta(days=1) if fault is not None and fault.problem == "expired" else now + _YEAR
        row |= {"NotBefore": shown(machine, until - 2 * _YEAR), "NotAfter": shown(machine, until)}
