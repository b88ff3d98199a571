"""The Windows side of a world that is made from the lab's model: what a server itself shows of its state."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.lab.faults import Fault, Injected
from daemon.lab.model import Simulation
from daemon.lab.organisation import Machine, Power, Service
from daemon.lab.pwsh.world import log_on
from daemon.lab.script_call import netbios, shown

Json = dict[str, Any]

_STARTS = "Microsoft-Exchange-ManagedAvailability/RecoveryActionLogs"
_RESULTS = "Microsoft-Exchange-ManagedAvailability/RecoveryActionResults"
_COMPONENTS = "SOFTWARE\\Microsoft\\ExchangeServer\\v15\\ServerComponentStates"
_WINDOWS_UPDATE = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired"
_SESSIONS = "SYSTEM\\CurrentControlSet\\Control\\Session Manager"
#: Numbers that a cluster has for its nodes' states: Microsoft, MSCluster_Node class.
_NODE_STATES = {"Up": 0, "Down": 1, "Paused": 2, "Joining": 3}
_START_MODES = {"Automatic": "Auto"}
_ACCESS_DENIED, _NO_ANSWER, _SHUTTING_DOWN = 5, 1053, 1115
_DENIED = {"type": "CimException", "native": "AccessDenied", "message": "Access is denied. "}
_UNREACHED = {
    "type": "CimException",
    "native": "Failed",
    "message_id": "HRESULT 0x80338126",
    "message": "WinRM cannot complete the operation: the computer cannot be reached.",
    "category": "ConnectionError",
}


def show_windows(host: Json, simulation: Simulation, machine: Machine) -> None:
    """Let one host of a world be as the model has that server."""
    host["services"] = services(machine)
    system = host["cim"]["Win32_OperatingSystem"][0]
    system["LastBootUpTime"] = {"$date": shown(machine, machine.boot_time)}
    host["events"] = [*_restart_requests(machine), *_recoveries(machine, simulation.timeline.now())]
    _logons(host["cim"], machine)
    _registry(host["registry"], machine)
    if machine.dag is not None:
        states = {netbios(each.name): each.node_state for each in simulation.organisation.members(machine.dag)}
        host["nodes"] = [{"Name": name, "State": state} for name, state in states.items()]
        host["cim"]["MSCluster_Node"] = [{"Name": name, "State": _NODE_STATES[state]} for name, state in states.items()]
    denies = machine.faults.get(Fault.WINDOWS_DENIES)
    if denies is not None and denies.right == "cim":
        host["faults"]["Get-CimInstance"] = [{"error": _DENIED}]
    if not machine.answering:
        host["winrm"] = {"error": _UNREACHED}
    if machine.power is Power.GOING_DOWN:
        host["shutdown"] = {"return": _SHUTTING_DOWN}


def services(machine: Machine) -> Json:
    """The services of a server as they are now."""
    found = {service.name: _service(machine, service) for service in machine.services.values()}
    refused, hangs, denies = (
        machine.faults.get(fault) for fault in (Fault.START_REFUSED, Fault.SERVICE_HANGS, Fault.WINDOWS_DENIES)
    )
    if refused is not None:
        found[refused.service]["on_start"] = {"error": _ACCESS_DENIED}
    if hangs is not None and hangs.how == "no_answer":
        found[hangs.service]["on_stop"] = {"error": _NO_ANSWER}
    if denies is not None and denies.right == "service":
        found[denies.service]["on_stop"] = {"open_error": _ACCESS_DENIED}
    return dict(sorted(found.items(), key=lambda one: one[0].lower()))  # Windows tells them by name


def _service(machine: Machine, service: Service) -> Json:
    return {
        "status": service.status,
        "start_mode": _START_MODES.get(service.start_type, service.start_type),
        "pid": service.pid,
        "started": shown(machine, service.started_at),
        "depends_on": list(service.depends_on),
    }


def _restart_requests(machine: Machine) -> Iterator[Json]:
    if machine.restart_requested_at is not None:
        process = "C:\\Windows\\system32\\wbem\\wmiprvse.exe"
        comment = machine.restart_comment or ""
        yield {
            "log": "System",
            "provider": "User32",
            "id": 1074,
            "time": shown(machine, machine.restart_requested_at),
            "properties": [process, netbios(machine.name), "-", "0x80040001", "restart", comment, "CONTOSO\\exmedic"],
        }


def _recoveries(machine: Machine, now: datetime) -> Iterator[Json]:
    """What Managed Availability logs of its actions: one event when it begins, and one when it has ended."""
    for kind, fault in machine.faults.items():
        span = timedelta(minutes=fault.minutes)
        if kind is Fault.RECOVERY_RECENT:
            end = fault.at - span
            yield from _recovery(machine, fault, end - timedelta(seconds=20), end, ended=True)
        elif kind is Fault.RECOVERY_RUNNING:
            yield from _recovery(machine, fault, fault.at, fault.at + span, ended=fault.at + span <= now)
        elif kind is Fault.RECOVERY_DEAD:
            yield from _recovery(machine, fault, fault.at, fault.at + span, ended=False)


def _recovery(machine: Machine, fault: Injected, begun: datetime, end: datetime, *, ended: bool) -> Iterator[Json]:
    fields = {
        "Id": fault.action,
        "InstanceId": f"{begun:%y%m%d.%H%M%S.%f}.001",
        "ResourceName": machine.pop_service if fault.action == "RestartService" else netbios(machine.name),
        "StartTime": shown(machine, begun),
        "EndTime": shown(machine, end),
    }
    yield _event(_STARTS, shown(machine, begun), {**fields, "State": "Started"})
    if ended:
        yield _event(_RESULTS, shown(machine, end), {**fields, "State": "Finished", "Result": "Succeeded"})


def _event(log: str, at: str | None, fields: dict[str, str | None]) -> Json:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    data = f"<UserData><EventXML xmlns='myNs'>{inner}</EventXML></UserData>"
    xml = f"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>{data}</Event>"
    return {"log": log, "provider": "Microsoft-Exchange-ManagedAvailability", "id": 2050, "time": at, "xml": xml}


def _logons(cim: Json, machine: Machine) -> None:
    """Whoever the fault has at the console."""
    people = machine.faults.get(Fault.LOGGED_ON)
    if people is None:
        return
    # A reboot logs everybody off, and these administrators come back.
    since = str(shown(machine, max(people.at, machine.boot_time)))
    for number, account in enumerate(people.accounts):
        log_on(cim, str(500 + number), account, kind=2, since=since)


def _registry(registry: Json, machine: Machine) -> None:
    begin = f"{_COMPONENTS}\\"
    for path, key in registry.items():
        if path.startswith(begin):
            requests = {"HealthAPI": ("Active", machine.boot_time)}
            asked = asked_for(machine, path.removeprefix(begin))
            if asked is not None:
                requests[asked[0]] = asked[1:]
            key["values"] = {who: f"1:{state}:{_ticks(machine, at)}" for who, (state, at) in requests.items()}
    if Fault.REBOOT_PENDING in machine.faults:
        registry[_WINDOWS_UPDATE] = {"values": {}}
        registry[_SESSIONS]["values"]["PendingFileRenameOperations"] = ["\\??\\C:\\Windows\\Temp\\old.dll", ""]


def asked_for(machine: Machine, component: str) -> tuple[str, str, datetime] | None:
    """Who asks for which state of a component since when, where it is not Active."""
    forms = {"server_wide_offline": ("ServerWideOffline", "Inactive"), "hub_transport": ("HubTransport", "Draining")}
    maintenance = machine.faults.get(Fault.MAINTENANCE)
    if maintenance is not None and maintenance.form in forms and forms[maintenance.form][0] == component:
        return ("Maintenance", forms[maintenance.form][1], maintenance.at)
    proxy = machine.faults.get(Fault.POPPROXY_INACTIVE)
    if proxy is not None and component == "PopProxy":
        return (proxy.requester, "Inactive", proxy.at)
    return None


def _ticks(machine: Machine, moment: datetime) -> int:
    """A moment as .NET counts it: in tenths of a microsecond since the year 1."""
    return (moment + machine.skew - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
