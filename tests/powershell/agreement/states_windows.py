"""States of one server by itself: Windows, its services, Managed Availability and its logs."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from daemon.lab.faults import Fault
from daemon.lab.pwsh.world import FOLDER, log_on
from tests.powershell.agreement.state import Asked, Breaking, State, about, fqdn
from tests.powershell.case import both
from tests.powershell.cases_windows import event
from tests.powershell.organisation import COLUMNS, Json, ago, ticks_ago

POP = "MSExchangePOP3BE"
FRONT = "MSExchangePOP3"
CTP = ("POP", "PopCTPProbe")
DEEP = ("POP.Protocol", "PopDeepTestProbe")
CHILD = "ContosoPopWatch"
_LATE = ago(-600)
_MONITORS = {
    "mbx1": ("PopDeepTestMonitor", "PopSelfTestMonitor"),
    "cas1": ("PopCTPMonitor", "PopProxyTestMonitor"),
    "cas2": ("PopCTPMonitor", "PopProxyTestMonitor"),
}

Change = Callable[[Json], object]


def _health(server: str, *sets: str) -> Asked:
    return about("server_health", server, health_sets=list(sets or ("POP*",)))


def _probe(server: str, executor: str = "mbx3") -> Asked:
    health_set, probe = CTP if server.startswith("cas") else DEEP
    return about("invoke_probe", server, executor, health_set=health_set, probe=probe)


def _state(server: str, *services: str) -> Asked:
    return Asked("server_state", server, {"services": list(services)})


def _restart(server: str, service: str = POP, seconds: int = 60) -> Asked:
    return Asked("restart_service", server, {"service": service, "stop_timeout": seconds, "not_after": _LATE})


def _reboot(server: str) -> Asked:
    return about("reboot", server, mailbox=False, not_after=_LATE)


RECOVERIES = Asked("recovery_log", "mbx1", {"hours": 6})
STEP = Asked("step_running", "mbx1", {"step": "i7.2"})

AS_BUILT = State(
    "as built",
    (
        _health("mbx1"),
        _probe("mbx1"),
        _state("mbx1", POP, "MSExchangeIS"),
        RECOVERIES,
        STEP,
        _restart("mbx1"),
        _reboot("cas1"),
        Asked(
            "protocol_log", "cas1", {"folder": FOLDER, "since": ago(60), "until": ago(-60), "users": ["HealthMailbox*"]}
        ),
    ),
    world=lambda world: world["files"].update({f"{FOLDER}/made by setup.txt": ""}),
)


# What a server shows then. The texts that quote secrets have the forms that were seen in public: exchange.md would
# call for a scrub of each.
_PASSWORD = "9x;R,q2:Hb=7_mailbox"


def _row(server: str, name: str, **other: object) -> Change:
    def change(world: Json) -> None:
        rows = world["exchange"]["MonitorHealthEntry"]
        found = [row for row in rows if row["Server"] == server.upper() and row["Name"] == name]
        assert found, (server, name)
        found[0].update(other)

    return change


def _unhealthy(server: str, seconds: float = 0, *names: str) -> Change:
    monitors = names or _MONITORS[server]
    return both(*(_row(server, each, AlertValue="Unhealthy", LastTransitionTime=ago(seconds)) for each in monitors))


def _result(server: str, probe: str, **other: object) -> Change:
    def change(world: Json) -> None:
        rows = world["exchange"]["MonitoringProbeResult"]
        found = [row for row in rows if row["Server"] == server.upper() and row["MonitorIdentity"].endswith(probe)]
        assert found, (server, probe)
        found[0].update(other)

    return change


def _failed(server: str, reason: str = "Networking", took: float = 2, result: str = "Failed") -> Change:
    """A failing probe tells its mailbox's password in every field that has words."""
    probe, service = (CTP[1], FRONT) if server.startswith("cas") else (DEEP[1], POP)
    problem = f"No connection to {service} on {fqdn(server)}."
    return _result(
        server,
        probe,
        ResultType=result,
        ExecutionStartTime=ago(took),
        Error=f"{problem}\r\nPassword: {_PASSWORD}",
        Exception=f"System.ApplicationException: {problem}\r\n   Pwd={_PASSWORD}",
        FailureContext=f"Bad password for Monitoring Account:\r\n {_PASSWORD}",
        ExecutionContext=f"{probe} started\r\nUser: HealthMailbox7@contoso.lab\r\nPassword: {_PASSWORD}",
        StateAttribute1=reason,
        StateAttribute2=f"Password: {_PASSWORD}",
    )


def _sick(server: str) -> Change:
    return both(_unhealthy(server), _failed(server))


def _service(server: str, name: str, **other: object) -> Change:
    def change(world: Json) -> None:
        host = world["hosts"][fqdn(server)]
        host["services"].setdefault(name, {}).update(other)
        host["services"] = dict(sorted(host["services"].items(), key=lambda one: one[0].lower()))

    return change


def _on(server: str, **other: Any) -> Change:  # noqa: ANN401 - any JSON
    return lambda world: world["hosts"][fqdn(server)].update(other)


def _key(server: str, key: str, **values: object) -> Change:
    return lambda world: world["hosts"][fqdn(server)]["registry"].update({key: {"values": values}})


def _people(server: str, *accounts: str) -> Change:
    """Each at the console, in two sessions: an administrator's logon makes two."""

    def change(world: Json) -> None:
        for number, account in enumerate(accounts):
            for session in (1, 2):
                log_on(world["hosts"][fqdn(server)]["cim"], f"{number}{session}01", account, kind=2, since=ago(0))

    return change


_DENIED = {"type": "CimException", "native": "AccessDenied", "message": "Access is denied. "}


def _denied(*commands: str, server: str = "mbx1") -> Change:
    """CIM's own access denied."""
    return lambda world: world["hosts"][fqdn(server)]["faults"].update(
        {command: [{"error": _DENIED}] for command in commands}
    )


def _recovery(state: str, begun: float, end: float, **other: str) -> Json:
    kind = "RecoveryActionResults" if state == "Finished" else "RecoveryActionLogs"
    fields = {
        "Id": "RestartService",
        "InstanceId": "261201.0312",
        "ResourceName": POP,
        "StartTime": ago(begun),
        "EndTime": ago(end),
        "State": state,
        **other,
    }
    return event(f"Microsoft-Exchange-ManagedAvailability/{kind}", end if state == "Finished" else begun, **fields)


def _recovered(*events: Json, server: str = "mbx1", booted: float | None = None) -> Change:
    def change(world: Json) -> None:
        host = world["hosts"][fqdn(server)]
        host["events"].extend(events)
        if booted is not None:
            host["cim"]["Win32_OperatingSystem"][0]["LastBootUpTime"] = {"$date": ago(booted)}

    return change


def _broken(server: str, fault: Fault, **options: object) -> tuple[Breaking, ...]:
    return (Breaking(server, fault, options),)


def sickness() -> Iterator[State]:
    """A POP service that is sick, and what tells so."""
    mbx1 = (_health("mbx1"), _probe("mbx1"))
    yield State(
        "a restart cures",
        (*mbx1, _restart("mbx1")),
        _broken("mbx1", Fault.RESTART_CURES),
        _sick("mbx1"),
    )
    yield State(
        "a reboot cures a front end",
        (_health("cas1"), _probe("cas1"), _reboot("cas1")),
        _broken("cas1", Fault.REBOOT_CURES),
        _sick("cas1"),
    )
    yield State(
        "incurable, by the logon",
        (_probe("mbx1"),),
        _broken("mbx1", Fault.INCURABLE, reason="Auth"),
        _failed("mbx1", "Auth"),
    )
    yield State(
        "only the counter",
        mbx1,
        _broken("mbx1", Fault.INCURABLE, monitor="AverageCommandProcessingTimeGt60sMonitor"),
        _unhealthy("mbx1", 0, "AverageCommandProcessingTimeGt60sMonitor"),
    )
    yield State("hanging", mbx1, _broken("mbx1", Fault.HANGING), both(_unhealthy("mbx1"), _failed("mbx1", took=110)))
    yield State(
        "healed by itself, and the monitor not yet",
        mbx1,
        _broken("mbx1", Fault.HEALS_ITSELF, minutes=5),
        _unhealthy("mbx1", 310),
        passes=310,
    )
    yield State(
        "a back end behind a front end is sick",
        (_health("cas1"), _probe("cas1"), _health("cas2")),
        (*_broken("mbx1", Fault.INCURABLE), *_broken("cas1", Fault.BACKEND_SICK, backend="mbx1")),
        both(_unhealthy("cas1", 0, "PopCTPMonitor"), _failed("cas1")),
    )
    yield State(
        "the other Client Access servers are sick",
        (_health("cas1"), _health("cas2")),
        _broken("cas1", Fault.OTHER_CAS_SICK),
        _sick("cas2"),
    )
    yield State(
        "Active Directory is sick",
        (_health("mbx1", "POP*", "AD"),),
        _broken("mbx1", Fault.DEPENDENCY_SICK, health_set="AD"),
        _unhealthy("mbx1", 0, "ActiveDirectoryConnectivityMonitor"),
    )


def monitors() -> Iterator[State]:
    """What Managed Availability says, whatever is so."""
    asked = (_health("mbx1"),)

    def probes(world: Json) -> None:
        world["exchange"]["MonitoringProbeResult"] = []

    yield State("a probe that cannot run", (_probe("mbx1"),), _broken("mbx1", Fault.PROBE_CANNOT_RUN), probes)
    yield State(
        "a stale monitor",
        (_health("mbx1", "POP.Protocol"),),
        _broken("mbx1", Fault.STALE_MONITOR, monitor="PopSelfTestMonitor"),
        _row("mbx1", "PopSelfTestMonitor", IsStale=True),
    )
    for value in ("Repairing", "Degraded", "UnInitialized"):
        yield State(
            f"a monitor says {value}",
            asked,
            _broken("mbx1", Fault.MONITOR_SAYS, monitor="PopDeepTestMonitor", value=value),
            _row("mbx1", "PopDeepTestMonitor", AlertValue=value),
        )
    error = "Le serveur a refus\u00e9 \u2013 \u0130stanbul \U0001f4ec"
    yield State(
        "a monitor says something beyond ASCII",
        asked,
        _broken("mbx1", Fault.MONITOR_SAYS, monitor="PopDeepTestMonitor", value="Degraded", error=error),
        _row("mbx1", "PopDeepTestMonitor", AlertValue="Degraded", Error=error),
    )
    for result in ("Timeout", "Quarantined", "Rejected", "Poisoned"):
        yield State(
            f"a probe says {result}",
            (_probe("mbx1"),),
            _broken("mbx1", Fault.PROBE_SAYS, value=result),
            _failed("mbx1", result=result),
        )

    def second(world: Json) -> None:
        rows = world["exchange"]["MonitorHealthEntry"]
        at = next(n for n, row in enumerate(rows) if row["Server"] == "MBX1" and row["Name"] == "PopSelfTestMonitor")
        rows.insert(at + 1, {**rows[at], "TargetResource": "Second", "AlertValue": "Unhealthy"})

    yield State(
        "a second target is bad",
        asked,
        _broken("mbx1", Fault.SECOND_TARGET_BAD, monitor="PopSelfTestMonitor"),
        second,
    )
    nothing = {"TargetResource": None, "CurrentHealthSetState": None, "LastTransitionTime": "0001-01-01T00:00:00"}
    missing = ("RequestId", "ExecutionStartTime", "ExecutionEndTime", "Error", "Exception", "FailureContext")
    yield State(
        "nulls",
        (*asked, _probe("mbx1")),
        _broken("mbx1", Fault.NULLS),
        both(
            *(
                _row("mbx1", each, **nothing)
                for each in (*_MONITORS["mbx1"], "AverageCommandProcessingTimeGt60sMonitor")
            ),
            _result("mbx1", DEEP[1], **dict.fromkeys(missing)),
        ),
    )


def services() -> Iterator[State]:
    """A service that does not do what it is told."""
    restart = (_restart("mbx1"),)
    yield State(
        "it hangs while it stops",
        restart,
        _broken("mbx1", Fault.SERVICE_HANGS),
        _service("mbx1", POP, on_stop={"hangs": True}),
        quick=True,
    )
    stuck = _service("mbx1", POP, status="StopPending")
    yield State(
        "it has been stopping for ten minutes",
        (_state("mbx1", POP), _health("mbx1"), _probe("mbx1"), *restart),
        _broken("mbx1", Fault.SERVICE_HANGS),
        both(stuck, _unhealthy("mbx1", 540), _failed("mbx1", took=110)),
        first=restart,
        passes=600,
    )
    yield State(
        "it does not answer the order to stop (1053)",
        restart,
        _broken("mbx1", Fault.SERVICE_HANGS, how="no_answer"),
        _service("mbx1", POP, on_stop={"error": 1053}),
    )
    yield State(
        "it never ends starting (1061)",
        (_state("mbx1", POP), *restart),
        _broken("mbx1", Fault.SERVICE_HANGS, how="starting"),
        _service("mbx1", POP, status="StartPending"),
    )
    yield State(
        "it may not be started",
        restart,
        _broken("mbx1", Fault.START_REFUSED),
        _service("mbx1", POP, on_start={"error": 5}),
    )
    yield State(
        "it may not be started, and is stopped",
        restart,
        _broken("mbx1", Fault.START_REFUSED),
        _service("mbx1", POP, status="Stopped", on_start={"error": 5}),
        first=restart,
    )
    yield State(
        "it may not be stopped",
        restart,
        _broken("mbx1", Fault.WINDOWS_DENIES, right="service"),
        _service("mbx1", POP, on_stop={"open_error": 5}),
    )
    yield State(
        "it ends by itself",
        restart,
        _broken("mbx1", Fault.SERVICE_DIES),
        _service("mbx1", POP, on_start={"process_gone": True}),
    )
    for kind in ("Manual", "Disabled"):
        mode = _service("mbx1", POP, start_mode=kind)
        yield State(
            f"its start type is {kind}",
            (_state("mbx1", POP), *restart),
            _broken("mbx1", Fault.START_TYPE, start_type=kind),
            mode,
        )
        child = _service("mbx1", CHILD, status="Running", start_mode=kind, depends_on=[POP])
        yield State(
            f"a service depends on it whose start type is {kind}",
            (*restart, _state("mbx1", POP, CHILD)),
            _broken("mbx1", Fault.HAS_DEPENDENT, start_type=kind),
            child,
        )
    dependent = _service("mbx1", CHILD, status="Running", start_mode="Manual", depends_on=[POP])
    hangs = _service("mbx1", POP, on_stop={"hangs": True})
    yield State(
        "a service depends on it, and it hangs while it stops",
        restart,
        (*_broken("mbx1", Fault.HAS_DEPENDENT), *_broken("mbx1", Fault.SERVICE_HANGS)),
        both(dependent, hangs),
    )
    refused = _service("mbx1", POP, on_stop={"open_error": 5})
    yield State(
        "a service depends on it, and it may not be stopped",
        restart,
        (*_broken("mbx1", Fault.HAS_DEPENDENT), *_broken("mbx1", Fault.WINDOWS_DENIES, right="service")),
        both(dependent, refused),
    )
    inactive = "SOFTWARE\\Microsoft\\ExchangeServer\\v15\\ServerComponentStates\\PopProxy"
    yield State(
        "the front end's component is Inactive",
        (_state("cas1", FRONT), _restart("cas1", FRONT)),
        _broken("cas1", Fault.POPPROXY_INACTIVE),
        both(
            _service("cas1", FRONT, status="Stopped"),
            _key("cas1", inactive, HealthAPI="1:Active:639158000000000000", Maintenance=f"1:Inactive:{ticks_ago(30)}"),
        ),
        passes=30,
    )
    yield State("it would never come back", (_reboot("cas1"),), _broken("cas1", Fault.NEVER_BACK))


def windows() -> Iterator[State]:
    """What else Windows tells, or does not."""
    asked = (_state("mbx1", POP),)
    yield State(
        "CIM is denied",
        (*asked, RECOVERIES, STEP, _restart("mbx1")),
        _broken("mbx1", Fault.WINDOWS_DENIES, right="cim"),
        _denied("Get-CimInstance"),
    )
    yield State(
        "CIM is denied from elsewhere",
        (_reboot("cas1"),),
        _broken("cas1", Fault.WINDOWS_DENIES, right="cim"),
        _on("cas1", winrm={"error": _DENIED}),
    )
    yield State(
        "two are logged on",
        asked,
        _broken("mbx1", Fault.LOGGED_ON, account="CONTOSO\\jdupont,CONTOSO\\anna"),
        _people("mbx1", "CONTOSO\\jdupont", "CONTOSO\\anna"),
    )
    odd = "CONTOSO\\Mar\u00eda \u0130nce"
    yield State(
        "one is logged on whose name is beyond ASCII",
        asked,
        _broken("mbx1", Fault.LOGGED_ON, account=odd),
        _people("mbx1", odd),
    )
    update = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired"
    manager = "SYSTEM\\CurrentControlSet\\Control\\Session Manager"
    yield State(
        "a reboot is pending",
        asked,
        _broken("mbx1", Fault.REBOOT_PENDING),
        both(_key("mbx1", update), _key("mbx1", manager, PendingFileRenameOperations=["\\??\\C:\\a", ""])),
    )


def recoveries() -> Iterator[State]:
    """What Managed Availability did."""
    asked = (RECOVERIES,)
    yield State(
        "a recovery is under way",
        asked,
        _broken("mbx1", Fault.RECOVERY_RUNNING, minutes=10),
        _recovered(_recovery("Started", 120, -480)),
        passes=120,
    )
    yield State(
        "a recovery has ended",
        asked,
        _broken("mbx1", Fault.RECOVERY_RUNNING, minutes=10),
        _recovered(_recovery("Started", 900, 300), _recovery("Finished", 900, 300, Result="Succeeded")),
        passes=900,
    )
    yield State(
        "a recovery ended lately",
        asked,
        _broken("mbx1", Fault.RECOVERY_RECENT, minutes=5, action="ForceReboot"),
        _recovered(
            _recovery("Finished", 320, 300, Result="Succeeded", Id="ForceReboot", ResourceName="mbx1"),
        ),
    )
    yield State(
        "a recovery's worker died",
        asked,
        _broken("mbx1", Fault.RECOVERY_DEAD, minutes=10),
        _recovered(_recovery("Started", 900, 300)),
        passes=900,
    )
    yield State(
        "a recovery was cut off by a reboot",
        (Asked("recovery_log", "cas1", {"hours": 6}),),
        _broken("cas1", Fault.RECOVERY_RUNNING, minutes=60),
        _recovered(_recovery("Started", 900, -2700, ResourceName=FRONT), server="cas1", booted=815),
        first=(_reboot("cas1"),),
        passes=900,
    )


_PROXIED = "Proxy:MBX1.contoso.lab:1995:SSL"
_UNAVAILABLE = 'R="-ERR Server Unavailable. 21"'
_REFUSED = 'R="-ERR Logon failure: unknown user name or bad password.";Msg="AuthFailed:LogonDenied"'
_READ = Asked(
    "protocol_log", "cas1", {"folder": FOLDER, "since": ago(30), "until": ago(-60), "users": ["HealthMailbox*"]}
)
_RESTARTED = _restart("cas1", FRONT)
_LOGGING = (about("set_protocol_log", "cas1", expected=False, value=True, not_after=_LATE), _RESTARTED, _probe("cas1"))
_TELLTALE = "HealthMailbox7@contoso.lab"
Line = dict[str, str]


def _session(seconds: float, number: int, answer: str, *more: str, known: bool = True) -> list[Line]:
    """The lines of a probe's session, with the columns that they have."""
    commands = [
        ("OpenSession", "", ""),
        ("capa", "", "R=ok"),
        ("user", _TELLTALE, "R=ok"),
        ("pass", "*****", answer),
        *((each, "", "R=ok") for each in (*more, "quit")),
        ("CloseSession", "", ""),
    ]
    return [
        {
            "dateTime": ago(seconds),
            "sessionId": str(number),
            "seqNumber": str(count),
            "sIp": "10.1.0.20:995",
            "cIp": "127.0.0.1:4711",
            "user": _TELLTALE if known and count > 2 else "",
            "duration": str(3 + count),
            "rqsize": str(len(command)),
            "rpsize": "51",
            "command": command,
            "parameters": parameters,
            "context": context,
        }
        for count, (command, parameters, context) in enumerate(commands)
    ]


def _somebodys(seconds: float, number: int) -> list[Line]:
    """Another person's session, at another server."""
    lines = _session(seconds, number, "R=ok;Msg=Proxy:MBX3.contoso.lab:1995:SSL", "stat")
    return [
        {
            name: cell.replace(_TELLTALE, "anna@contoso.lab").replace("127.0.0.1", "10.1.7.7")
            for name, cell in line.items()
        }
        for line in lines
    ]


def _file(name: str, *sessions: list[Line], columns: Sequence[str] = COLUMNS.split(","), cut: int = 0) -> Change:
    """A file of the log. `cut`: how many cells its lines leave out."""
    text = io.StringIO(newline="")
    text.write(f"#Software: Microsoft Exchange Server\r\n#Fields: {','.join(columns)}\r\n")
    rows = csv.writer(text, lineterminator="\r\n")
    kept = columns[: len(columns) - cut]
    rows.writerows([line.get(column, "") for column in kept] for session in sessions for line in session)
    return lambda world: world["files"].update({f"{FOLDER}/{name}.log": text.getvalue()})


def logs() -> Iterator[State]:
    """The POP protocol log: how each kind of logon ends, beside somebody else's."""

    def state(
        name: str,
        broken: tuple[Breaking, ...],
        *worlds: Change,
        first: tuple[Asked, ...] = _LOGGING,
        quick: bool = False,
    ) -> State:
        return State(f"a log {name}", (_READ,), broken, both(*worlds), first=first, quick=quick)

    sick = _broken("cas1", Fault.REBOOT_CURES)
    failed = f'{_UNAVAILABLE};Msg="{_PROXIED};ErrMsg=ProxyNotAuthenticated"'
    well = _session(2, 2, f'R=ok;Msg="{_PROXIED}"', "stat")
    other = _somebodys(4, 1)
    yield state("of a logon that was not proxied", sick, _file("POP20261130-1", other, _session(2, 2, failed)))
    yield state(
        "of a logon that was refused before its user was known",
        (*sick, *_broken("cas1", Fault.LOG_NAMES_NOBODY)),
        _file("POP20261130-1", other, _session(2, 2, _REFUSED, known=False)),
        quick=True,
    )
    yield state(
        "of a time-out without a destination",
        (*sick, *_broken("cas1", Fault.LOG_NAMES_NOBODY, form="timed_out")),
        _file("POP20261130-1", other, _session(2, 2, f'{_UNAVAILABLE};Msg="ErrMsg=ProxyTimeout"')),
    )
    yield state(
        "of two starts that count alike",
        (),
        _file("POP20261130-1", _session(12, 1, f'R=ok;Msg="{_PROXIED}"', "stat")),
        _file("POP20261130-2", _session(2, 1, f'R=ok;Msg="{_PROXIED}"', "stat"), _somebodys(1, 2)),
        first=(*_LOGGING, _RESTARTED, _probe("cas1")),
    )
    itself = 'R=ok;Msg="Proxy:MULTI1.contoso.lab:1995:SSL"'
    yield State(
        "a log of a front end beside its back end, which count alike",
        (replace(_READ, executor="multi1"),),
        (),
        both(
            _file("POP20261130-1", _session(2, 1, itself, "stat")),
            _file("POPBE20261130-2", _somebodys(3, 1)),
        ),
        first=(
            about("set_protocol_log", "multi1", expected=False, value=True, not_after=_LATE),
            _restart("multi1", FRONT),
            _restart("multi1"),
            about("invoke_probe", "multi1", health_set=CTP[0], probe=CTP[1]),
        ),
    )
    columns = COLUMNS.split(",")
    order = ["sessionId", "activityId", "user", "context", "dateTime", *columns[2:5], *columns[6:11], "puid"]
    yield state(
        "with its columns in another order",
        _broken("cas1", Fault.LOG_COLUMNS_DIFFER),
        _file("POP20261130-1", other, well, columns=order),
    )
    yield state(
        "of twelve columns",
        _broken("cas1", Fault.LOG_COLUMNS_DIFFER, form="twelve"),
        _file("POP20261130-1", other, well, columns=columns[:-1]),
    )
    yield state(
        "whose lines leave out the last cell",
        _broken("cas1", Fault.LOG_COLUMNS_DIFFER, form="short_lines"),
        _file("POP20261130-1", other, well, cut=1),
    )


def nothing() -> Iterator[State]:
    """Exchange answers with no object at all. A probe warns then: that is the fault `probe_cannot_run`."""

    def silent(world: Json) -> None:
        reading = [command for command in world["exchange"]["granted"] if not command.startswith("Set-")]
        world["exchange"]["faults"].update({command: [{"rows": []}] for command in reading})

    asked = (
        _health("mbx1"),
        about("database_copies", "mbx1"),
        about("exchange_server", "mbx1"),
        about("dag_health", "mbx1"),
        about("pop_settings", "mbx1"),
        about("set_activation", "mbx1", expected=False, value=True, not_after=_LATE),
        about("set_protocol_log", "mbx1", expected=False, value=True, not_after=_LATE),
        about("reboot", "mbx1", mailbox=True, not_after=_LATE),
    )
    yield State("Exchange answers nothing", asked, _broken("mbx1", Fault.EMPTY_ANSWER), silent)


STATES = (AS_BUILT, *sickness(), *monitors(), *services(), *windows(), *recoveries(), *logs(), *nothing())
