"""What Exchange answers about a server beside its health and its databases: roles, components, DAG, POP settings."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType

from daemon.lab.database_answers import Setting, compare_and_set
from daemon.lab.faults import Fault
from daemon.lab.organisation import CLIENT_ACCESS, MAILBOX, Machine
from daemon.lab.pop_log import FOLDER
from daemon.lab.replication import replication_checks
from daemon.lab.script_call import Refusal, Result, ScriptCall, netbios, shown, utc

#: By component, whose it is; in the order in which Get-ServerComponentState tells them.
_COMPONENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ServerWideOffline": frozenset({MAILBOX, CLIENT_ACCESS}),
        "HubTransport": frozenset({MAILBOX}),
        "FrontendTransport": frozenset({CLIENT_ACCESS}),
        "Monitoring": frozenset({MAILBOX, CLIENT_ACCESS}),
        "RecoveryActionsEnabled": frozenset({MAILBOX, CLIENT_ACCESS}),
        "AutoDiscoverProxy": frozenset({CLIENT_ACCESS}),
        "EwsProxy": frozenset({CLIENT_ACCESS}),
        "ImapProxy": frozenset({CLIENT_ACCESS}),
        "OwaProxy": frozenset({CLIENT_ACCESS}),
        "PopProxy": frozenset({CLIENT_ACCESS}),
        "HighAvailability": frozenset({MAILBOX}),
    }
)
_ROLES = {MAILBOX: "Mailbox", CLIENT_ACCESS: "ClientAccess"}
_VERSION = "Version 15.0 (Build 1497.2)"
#: X509CertificateName: one name for the POP of all servers.
_CERTIFICATE = "mail.contoso.lab"
#: Component and state that each form of maintenance shows.
_MAINTENANCE = {"server_wide_offline": ("ServerWideOffline", "Inactive"), "hub_transport": ("HubTransport", "Draining")}


async def exchange_server(call: ScriptCall) -> Result:
    """Get-ExchangeServer and Get-ServerComponentState, which Exchange answers from Active Directory."""
    machine = call.target()
    needed = ("Fqdn", "IsMailboxServer", "IsClientAccessServer", "AdminDisplayVersion")
    call.ask("Get-ExchangeServer", *needed, about=machine)
    call.ask("Get-ServerComponentState", "Component", "State", about=machine, one=False)
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
    for name in (name for name, roles in _COMPONENTS.items() if roles & machine.shown_roles):
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
    call.open_session()
    machines = list(call.simulation.organisation.machines.values())
    for cmdlet in ("Get-ExchangeServer", "Get-MailboxServer", "Get-DatabaseAvailabilityGroup"):
        call.ask(cmdlet, about=call.executor, one=False)
    for machine in machines:
        call.tells("IsMailboxServer", "IsClientAccessServer", about=machine)
    dags = dict.fromkeys(machine.dag for machine in machines if machine.dag is not None)
    return {
        "servers": [_listed(machine) for machine in machines],
        "mailbox_servers": [
            {"name": netbios(machine.name), "dag": machine.dag or ""}
            for machine in machines
            if MAILBOX in machine.shown_roles
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
        "roles": ", ".join(word for role, word in _ROLES.items() if role in machine.shown_roles),
        "mailbox_role": MAILBOX in machine.shown_roles,
        "client_access_role": CLIENT_ACCESS in machine.shown_roles,
        "edge_role": False,
        "version": _VERSION,
        "site": machine.site,
    }


async def dag_health(call: ScriptCall) -> Result:
    """Get-DatabaseAvailabilityGroup -Status, Test-ReplicationHealth, and the nodes as the cluster has them."""
    machine = call.target()
    call.ask("Get-ExchangeServer", "Fqdn", "IsMailboxServer", about=machine)
    if MAILBOX in machine.shown_roles:
        call.ask("Get-MailboxServer", "Name", about=machine)
    if machine.dag is not None:
        call.ask("Get-DatabaseAvailabilityGroup", about=machine, one=False)
        call.ask("Test-ReplicationHealth", "Server", "Check", "Result", about=machine, one=False)
        if not machine.answering:
            raise Refusal("broken", f"Test-ReplicationHealth: The server {machine.name} cannot be reached.")
    members = list(call.simulation.organisation.members(machine.dag))
    return {
        "server": machine.name,
        "dag": machine.dag,
        "members": [_member(member) for member in members],
        "witness_counts": _witness(members) in ("Primary", "Alternate"),
        "replication": [
            {
                "server": machine.name,
                "check": check,
                "passed": not failed,
                "readable": True,
                "error": f"{check} failed on {machine.name}." if failed else "",
            }
            for check, failed in replication_checks(call.simulation, machine)
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


def _witness(members: list[Machine]) -> str:
    """Which share is in use: by itself one where the members are even in number."""
    for member in members:
        if Fault.WITNESS in member.faults:
            return member.faults[Fault.WITNESS].share
    return "Primary" if members and len(members) % 2 == 0 else "None"


async def pop_settings(call: ScriptCall) -> Result:
    """Get-PopSettings, which Exchange answers from Active Directory."""
    machine = call.target()
    call.ask("Get-PopSettings", "ProtocolLogEnabled", "LogFileLocation", about=machine)
    return {
        "server": machine.name,
        "protocol_log_enabled": machine.pop_log.enabled,
        "log_location": FOLDER,
        "certificate": _certificate(call, machine),
    }


def _certificate(call: ScriptCall, machine: Machine) -> Result | None:
    """The certificate that X509CertificateName names: a year old, and good for another one. None: not to be read."""
    try:
        call.ask("Get-ExchangeCertificate", about=machine, one=False)
    except Refusal:
        return None
    now, year = call.simulation.timeline.now(), timedelta(days=365)
    fault = machine.faults.get(Fault.CERTIFICATE)
    if call.empty or (fault is not None and fault.problem == "missing"):
        return {"name": _CERTIFICATE, "found": False, "valid_from": None, "valid_until": None}
    until = now + year if fault is None else now - timedelta(days=2)
    return {
        "name": _CERTIFICATE,
        "found": True,
        "valid_from": utc(until - 2 * year),
        "valid_until": utc(until),
    }


async def set_protocol_log(call: ScriptCall) -> Result:
    """Set-PopSettings -ProtocolLogEnabled as a compare-and-set; the service takes it over when it starts again."""
    machine = call.target()
    call.ask("Get-PopSettings", "ProtocolLogEnabled", about=machine)

    def change(value: bool) -> None:
        machine.pop_log.enabled = value
        call.simulation.record.effect(
            "protocol_log_on" if value else "protocol_log_off",
            machine.name,
            executor=call.executor.name,
            step=call.step,
            detail=f"ProtocolLogEnabled {not value} -> {value}",
        )

    before = machine.pop_log.enabled
    setting = Setting(name="ProtocolLogEnabled", setter="Set-PopSettings", before=before, change=change)
    return compare_and_set(call, machine, setting)
