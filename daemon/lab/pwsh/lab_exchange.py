"""Exchange's side of a world that is made from the lab's model: what its cmdlets answer about every server."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from daemon.lab.databases import shown_copy
from daemon.lab.faults import Fault
from daemon.lab.handlers import PROBE_PASSWORD
from daemon.lab.model import Simulation
from daemon.lab.organisation import BACK_END, FRONT_END, HEALTH_MANAGER, Machine, Monitor
from daemon.lab.pwsh.lab_windows import asked_for
from daemon.lab.replication import replication_checks
from daemon.lab.script_call import netbios, shown

Json = dict[str, Any]

_RESOURCES = {BACK_END: "MSExchangePop3BE", FRONT_END: "MSExchangePop3"}
_NEVER = "0001-01-01T00:00:00"  #: what Exchange has for a time that it does not know
_NO_RESULTS = ("RequestId", "ExecutionStartTime", "ExecutionEndTime", "Error", "Exception", "FailureContext")
#: Whose rows tell of one server.
_TABLES = (
    "ExchangeServer",
    "MailboxServer",
    "DatabaseCopyStatusEntry",
    "ReplicationCheckOutcome",
    "ServerComponentState",
    "PopSettings",
)
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
        witness = [each.faults[Fault.WITNESS].share for each in members.values() if Fault.WITNESS in each.faults]
        row["WitnessShareInUse"] = witness[0] if witness else row["WitnessShareInUse"]
    failing = {name: dict(replication_checks(simulation, machine)) for name, machine in by_name.items()}
    for row in exchange["ReplicationCheckOutcome"]:
        if failing[row["Server"]][row["Check"]]:
            row |= {"Result": "Failed", "Error": f"{row['Check']} failed on {by_name[row['Server']].name}."}
    exchange["MonitorHealthEntry"] = [
        row for machine in machines for row in _monitors(exchange["MonitorHealthEntry"][0], machine)
    ]
    for row in exchange["ServerComponentState"]:
        _component(row, simulation.machine(row["ServerFqdn"]))
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
        row["RequestId"] = str(uuid5(NAMESPACE_OID, f"{machine.name} {started.isoformat()}"))
        row.update({"ExecutionStartTime": shown(machine, started), "ExecutionEndTime": shown(machine, ended)})
        says = machine.faults.get(Fault.PROBE_SAYS)
        if machine.sick(found) or says is not None:
            row.update(_failure(machine, found))
        if says is not None:
            row["ResultType"] = says.value
        if Fault.NULLS in machine.faults:
            row.update(dict.fromkeys(_NO_RESULTS if row["ResultType"] == "Succeeded" else _NO_RESULTS[:3]))
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


def refuse_what_is_not_granted(exchange: Json, machine: Machine) -> None:
    """Take away the cmdlet that the account is denied there."""
    denied = machine.faults.get(Fault.CMDLET_DENIED)
    if denied is not None and denied.cmdlet in exchange["granted"]:
        exchange["granted"].remove(denied.cmdlet)


def leave_out(exchange: Json, machine: Machine) -> None:
    """Let a property have no value in what Exchange answers about a server."""
    null = machine.faults.get(Fault.NULL_PROPERTY)
    if null is None:
        return
    names = {netbios(machine.name), machine.name}
    for table in _TABLES:
        for row in exchange[table]:
            if null.missing in row and names & {
                row.get(key) for key in ("Server", "MailboxServer", "ServerFqdn", "Name")
            }:
                row[null.missing] = None


def _offline(machine: Machine) -> bool:
    maintenance = machine.faults.get(Fault.MAINTENANCE)
    return maintenance is not None and maintenance.form == "server_wide_offline"


def _component(row: Json, machine: Machine) -> None:
    asked = asked_for(machine, row["Component"])
    if asked is not None:
        requester, state, at = asked
        entry = {"Component": row["Component"], "Requester": requester, "State": state, "Timestamp": shown(machine, at)}
        kept = [each for each in row["LocalStates"] if each["Requester"] != requester]
        row |= {"State": state, "LocalStates": [*kept, entry], "RemoteStates": [*kept, entry]}


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
            said = machine.faults[Fault.MONITOR_SAYS]
            row |= {"AlertValue": said.value, "Error": said.error}
        if Fault.NULLS in machine.faults:
            row |= {"TargetResource": None, "CurrentHealthSetState": None, "LastTransitionTime": _NEVER}
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
    """Each good for another year, but for those that are missing or not valid any more."""
    left = []
    for row in exchange["ExchangeCertificate"]:
        machine = by_name[row["Server"]]
        fault = machine.faults.get(Fault.CERTIFICATE)
        until = now + _YEAR if fault is None else now - timedelta(days=1)
        row.update({"NotBefore": shown(machine, until - 2 * _YEAR), "NotAfter": shown(machine, until)})
        if fault is None or fault.problem != "missing":
            left.append(row)
    exchange["ExchangeCertificate"] = left
