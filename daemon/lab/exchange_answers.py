"""What Exchange answers about a server beside its health and its databases: roles, components, DAG, POP settings."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from daemon.lab.databases import shown_copy
from daemon.lab.faults import Fault
from daemon.lab.model import Simulation
from daemon.lab.organisation import CLIENT_ACCESS, MAILBOX, Machine
from daemon.lab.pop_log import FOLDER
from daemon.lab.script_call import Refusal, Result, ScriptCall, flag, netbios, shown

_COMPONENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        MAILBOX: ("ServerWideOffline", "HubTransport", "Monitoring", "RecoveryActionsEnabled", "HighAvailability"),
        CLIENT_ACCESS: (
            "ServerWideOffline",
            "FrontendTransport",
            "Monitoring",
            "RecoveryActionsEnabled",
            "AutoDiscoverProxy",
            "EwsProxy",
            "ImapProxy",
            "OwaProxy",
            "PopProxy",
        ),
    }
)
_VERSION = "Version 15.0 (Build 1497.2)"
#: Component and state that each form of maintenance shows.
_MAINTENANCE = {"server_wide_offline": ("ServerWideOffline", "Inactive"), "hub_transport": ("HubTransport", "Draining")}


async def exchange_server(call: ScriptCall) -> Result:
    """Get-ExchangeServer and Get-ServerComponentState, which Exchange answers from Active Directory."""
    machine = call.target()
    return {
        "server": machine.name,
        "mailbox_role": MAILBOX in machine.shown_roles,
        "client_access_role": CLIENT_ACCESS in machine.shown_roles,
        "version": _VERSION,
        "site": machine.site,
        "components": [{**component, "requests": _lost(component["requests"])} for component in _components(machine)],
    }


def _lost(requests: list[Result]) -> list[Result]:
    """The requests as they come through a session of Exchange: without their parts, locally and in the directory."""
    return [{"requester": "unreadable", "state": "unreadable", "at": None} for _ in range(2 * len(requests))]


def _components(machine: Machine) -> Iterator[Result]:
    names = dict.fromkeys(name for role in sorted(machine.roles) for name in _COMPONENTS[role])
    for name in names:
        inactive = _asked_for(machine, name)
        requests = [{"requester": "HealthAPI", "state": "Active", "at": shown(machine, machine.boot_time)}]
        if inactive is not None and inactive["requester"] == "HealthAPI":
            requests = []
        yield {
            "name": name,
            "state": "Active" if inactive is None else inactive["state"],
            "requests": requests if inactive is None else [*requests, inactive],
        }


def component_requests(machine: Machine) -> Result:
    """Who asks for which state of each component, as the server's own registry has it."""
    return {component["name"]: component["requests"] for component in _components(machine)}


def _asked_for(machine: Machine, component: str) -> Result | None:
    """The request that keeps a component from being Active."""
    maintenance = machine.faults.get(Fault.MAINTENANCE)
    if maintenance is not None and (asked := _MAINTENANCE.get(maintenance.form)) and asked[0] == component:
        return {"requester": "Maintenance", "state": asked[1], "at": shown(machine, maintenance.at)}
    proxy = machine.faults.get(Fault.POPPROXY_INACTIVE)
    if proxy is not None and component == "PopProxy":
        return {"requester": proxy.requester, "state": "Inactive", "at": shown(machine, proxy.at)}
    return None


async def organisation(call: ScriptCall) -> Result:
    """Get-ExchangeServer, Get-MailboxServer and Get-DatabaseAvailabilityGroup of everything there is."""
    machines = list(call.simulation.organisation.machines.values())
    dags = dict.fromkeys(machine.dag for machine in machines if machine.dag is not None)
    return {
        "servers": [_listed(machine) for machine in machines],
        "mailbox_servers": [
            {"name": netbios(machine.name), "dag": machine.dag or ""} for machine in machines if machine.mailbox
        ],
        "dags": [
            {"name": dag, "members": [netbios(member.name) for member in call.simulation.organisation.members(dag)]}
            for dag in dags
        ],
        "warnings": [],
    }


def _listed(machine: Machine) -> Result:
    return {
        "name": netbios(machine.name),
        "fqdn": machine.name,
        "roles": ", ".join("Mailbox" if role == MAILBOX else "ClientAccess" for role in sorted(machine.shown_roles)),
        "mailbox_role": MAILBOX in machine.shown_roles,
        "client_access_role": CLIENT_ACCESS in machine.shown_roles,
        "edge_role": False,
        "version": _VERSION,
        "site": machine.site,
    }


async def dag_health(call: ScriptCall) -> Result:
    """Get-DatabaseAvailabilityGroup -Status, Test-ReplicationHealth, and the nodes as the cluster has them."""
    machine = call.target()
    members = list(call.simulation.organisation.members(machine.dag))
    if machine.dag is not None and not machine.answering:
        raise Refusal("broken", f"Test-ReplicationHealth: the server {machine.name} cannot be reached.")
    return {
        "server": machine.name,
        "dag": machine.dag,
        "members": [_member(member) for member in members],
        "witness_counts": bool(members) and len(members) % 2 == 0,
        "replication": [
            {
                "server": machine.name,
                "check": check,
                "passed": not failed,
                "error": f"{check} failed on {machine.name}." if failed else "",
            }
            for check, failed in _checks(call.simulation, machine, members)
        ],
    }


def _member(member: Machine) -> Result:
    maintenance = member.faults.get(Fault.MAINTENANCE)
    return {
        "server": netbios(member.name),
        "operational": member.node_state in ("Up", "Paused"),
        "in_maintenance": maintenance is not None and maintenance.form == "server_wide_offline",
        "node_state": member.node_state,
    }


def _checks(simulation: Simulation, machine: Machine, members: list[Machine]) -> Iterator[tuple[str, bool]]:
    """The checks by name, and whether they fail. A copy that only catches up after a move does not count as failed."""
    if machine.dag is None:
        return
    injected = machine.faults.get(Fault.REPLICATION_FAILED)
    conditions: Mapping[str, Callable[[], bool]] = {
        "ClusterService": lambda: False,
        "ReplayService": lambda: False,
        "ActiveManager": lambda: False,
        "TasksRpcListener": lambda: False,
        "TcpListener": lambda: False,
        "DagMembersUp": lambda: any(member.node_state not in ("Up", "Paused") for member in members),
        "ClusterNetwork": lambda: False,
        "DatabaseAvailabilityCheck": lambda: _no_second_copy_may_activate(simulation, machine),
        "QuorumGroup": lambda: False,
        "DBCopySuspended": lambda: _suspended(simulation, machine),
        "DBCopyFailed": lambda: False,
        "DBLogCopyKeepingUp": lambda: False,
        "DBLogReplayKeepingUp": lambda: False,
    }
    for check, fails in conditions.items():
        yield check, fails() or (injected is not None and injected.check == check)


def _no_second_copy_may_activate(simulation: Simulation, machine: Machine) -> bool:
    """Whether a database with a copy here has fewer than two copies on servers that may activate them."""
    machines = simulation.organisation.machines
    return any(
        sum(not machines[name].activation_blocked for name in database.copies) < min(2, len(database.copies))
        for database in simulation.organisation.copies_on(machine)
    )


def _suspended(simulation: Simulation, machine: Machine) -> bool:
    passive = [each for each in simulation.organisation.copies_on(machine) if each.active != machine.name]
    return any(shown_copy(machine, database).status == "Suspended" for database in passive)


async def pop_settings(call: ScriptCall) -> Result:
    """Get-PopSettings, which Exchange answers from Active Directory."""
    machine = call.target()
    return {
        "server": machine.name,
        "protocol_log_enabled": machine.pop_log.enabled,
        "log_location": FOLDER,
        "certificate": _certificate(machine, call.simulation.timeline.now()),
    }


def _certificate(machine: Machine, now: datetime) -> Result:
    """The certificate that X509CertificateName names: a year old, and good for another one."""
    fault, year = machine.faults.get(Fault.CERTIFICATE), timedelta(days=365)
    if fault is not None and fault.problem == "missing":
        return {"name": f"pop.{machine.name}", "found": False, "valid_from": None, "valid_until": None}
    until = now + year if fault is None else now - timedelta(days=1)
    return {
        "name": machine.name,
        "found": True,
        "valid_from": shown(machine, until - 2 * year),
        "valid_until": shown(machine, until),
    }


async def set_protocol_log(call: ScriptCall) -> Result:
    """Set-PopSettings -ProtocolLogEnabled as a compare-and-set; the service takes it over when it starts again."""
    machine = call.target()
    expected, value = flag(call, "expected"), flag(call, "value")
    before = machine.pop_log.enabled
    if before != value:
        if before != expected:
            raise Refusal("conflict", f"ProtocolLogEnabled of {machine.name} is {before}, which is not expected.")
        call.still_wanted()
        machine.pop_log.enabled = value
        call.simulation.record.effect(
            "protocol_log_on" if value else "protocol_log_off",
            machine.name,
            executor=call.executor.name,
            step=call.step,
            detail=f"ProtocolLogEnabled {before} -> {value}",
        )
    return {"server": machine.name, "before": before, "after": value, "changed": before != value}
