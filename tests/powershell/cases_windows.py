"""Cases of what Windows answers on the server itself: services, events, processes, logs."""

from collections.abc import Iterator
from typing import Any

from daemon.lab.pwsh.world import FOLDER
from tests.powershell.case import Among, Case, both, service, windows
from tests.powershell.cases_exchange import DENIED
from tests.powershell.organisation import COLUMNS, MBX2, POP, Json, ago, log_line

CHILD = "ContosoPopWatch"
_RESULTS = "Microsoft-Exchange-ManagedAvailability/RecoveryActionResults"
_STARTS = "Microsoft-Exchange-ManagedAvailability/RecoveryActionLogs"


def restarts() -> Iterator[Case]:
    """A service that is told to stop and to start."""

    def case(name: str, outcomes: tuple[str, ...], effects: tuple[str, ...], *changes: Any, **more: Any) -> Case:  # noqa: ANN401 - changes of a world
        return Case("restart_service", name, outcomes, both(*changes), effects=effects, **more)

    stopped, started = f"stop {POP}", f"start {POP}"
    child = service(CHILD, status="Running", start_mode="Auto", depends_on=[POP])
    yield case("with a dependent", ("ok",), (f"stop {CHILD}", stopped, started, f"start {CHILD}"), child)
    yield case(
        "a dependent that was stopped stays so",
        ("ok",),
        (stopped, started),
        service(CHILD, status="Stopped", depends_on=[POP]),
    )
    yield case("stop denied", ("denied",), (), service(POP, on_stop={"error": 5}))
    yield case("stop denied when it is opened", ("denied",), (), service(POP, on_stop={"open_error": 5}))
    yield case(
        "stop does not answer (1053)",
        ("hung",),
        (f"{stopped} 1053",),
        service(POP, on_stop={"error": 1053}),
        quick=True,
    )
    yield case("it is just starting, and never ends", ("hung",), (), child, service(POP, status="StartPending"))
    yield case(
        "it is just starting, for 20 s",
        ("ok",),
        (stopped, started),
        service(POP, status="StartPending", pending={"becomes": "Running", "takes": 20}),
    )
    busy = service(POP, on_stop={"error": 1061, "times": 2})
    yield case("it takes no orders (1061) for a moment", ("ok",), (stopped, started), busy)
    yield case("it takes no orders (1061) at all", ("hung",), (), service(POP, on_stop={"error": 1061}))
    yield case("it hangs while it stops", ("hung",), (stopped,), service(POP, on_stop={"hangs": True}))
    yield case("it takes 30 s to stop", ("ok",), (stopped, started), service(POP, on_stop={"takes": 30}))
    yield case(
        "it hangs while it stops, with a dependent",
        ("hung",),
        (f"stop {CHILD}", stopped, f"start {CHILD}"),
        child,
        service(POP, on_stop={"hangs": True}),
    )
    yield case(
        "a dependent stopped, then the stop is denied",
        ("lost", "failed"),
        (f"stop {CHILD}", f"start {CHILD}"),
        child,
        service(POP, on_stop={"error": 5}),
    )
    yield case(
        "start denied after the stop", ("lost", "failed"), (stopped,), service(POP, on_start={"error": 5}), quick=True
    )
    yield case(
        "start fails with 1069",
        ("lost", "failed"),
        (stopped, f"{started} 1069"),
        service(POP, on_start={"error": 1069}),
    )
    yield case("it hangs while it starts", ("failed",), (stopped, started), service(POP, on_start={"hangs": True}))
    yield case(
        "it stops again at once", ("lost", "failed"), (stopped, started), service(POP, on_start={"ends": "Stopped"})
    )
    yield case(
        "its process is gone again",
        ("lost", "failed"),
        (stopped, started),
        service(POP, on_start={"process_gone": True}),
    )
    disabled = service(CHILD, status="Running", start_mode="Disabled", depends_on=[POP])
    yield case("a running dependent is disabled", ("conflict",), (), disabled)
    yield case("disabled", ("conflict",), (), service(POP, start_mode="Disabled"))
    yield case("manual and stopped", ("conflict",), (), service(POP, start_mode="Manual", status="Stopped"))
    yield case("automatic and stopped", ("ok",), (started,), service(POP, status="Stopped"))
    yield case("not installed", ("not_found",), (), lambda world: world["hosts"][MBX2]["services"].pop(POP))
    yield case("too late", ("expired",), (), args={"not_after": "2026-01-01T00:00:00Z"})
    yield case("CIM denies", ("denied", "broken"), (), windows("Get-CimInstance:Win32_Service", error=DENIED))
    yield case(
        "services may not be enumerated",
        ("ok",),
        (stopped, started),
        windows(
            "Get-Service",
            error={"type": "InvalidOperation/Win32", "code": 5, "message": "Cannot open Service Control Manager."},
        ),
    )
    yield case(
        "the read afterwards fails",
        ("lost",),
        (stopped, started),
        windows("Get-CimInstance:Win32_Process", error=DENIED),
    )
    yield case(
        "a property is missing",
        ("broken",),
        (),
        lambda world: world["hosts"][MBX2]["cim"].update(
            Win32_Service=[{"Name": POP, "State": "Running", "ProcessId": 5}]
        ),
    )
    yield case(
        "null",
        ("broken", "conflict"),
        (),
        lambda world: world["hosts"][MBX2]["cim"].update(
            Win32_Service=[{"Name": POP, "State": None, "StartMode": None, "ProcessId": None}]
        ),
    )


def states() -> Iterator[Case]:
    """The state of Windows: one optional field must not cost all of it."""
    asked = {
        "log": "System",
        "provider": "User32",
        "id": 1074,
        "time": "2026-11-21T01:02:03Z",
        "properties": ["shutdown.exe", "MBX2", "a reason", "0x1", "restart", "for a step", "CONTOSO\\maria"],
    }
    other = {**asked, "provider": "Contoso", "time": "2026-11-22T01:02:03Z"}

    def case(name: str, outcome: str, change: Any, result: Any = None, **more: Any) -> Case:  # noqa: ANN401 - JSON and changes of a world
        return Case("server_state", name, (outcome,), change, result=result, **more)

    def cim(name: str, **what: Any) -> Any:  # noqa: ANN401 - a change of a world
        return windows("Get-CimInstance:" + name, **what)

    yield case(
        "a restart was asked for",
        "ok",
        lambda world: world["hosts"][MBX2]["events"].append(asked),
        {"restart_requested_at": "2026-11-21T01:02:03.000000Z", "restart_comment": "for a step"},
    )
    component = "SOFTWARE\\Microsoft\\ExchangeServer\\v15\\ServerComponentStates\\HubTransport"
    values = {"Maintenance": "1:Inactive:639158000000000000", "Functional": "1:1:639158000000000000", "HealthAPI": "?"}
    yield case(
        "who asked for the state of a component",
        "ok",
        lambda world: world["hosts"][MBX2]["registry"].update({component: {"values": values}}),
        {
            "component_requests": {
                "HubTransport": Among(
                    (
                        {"requester": "Maintenance", "state": "Inactive", "at": "2026-05-31T04:53:20.000000Z"},
                        {"requester": "Functional", "state": "Active"},
                        {"requester": "HealthAPI", "state": "unreadable", "at": None},
                    )
                )
            }
        },
    )
    yield case(
        "the same number of another provider",
        "ok",
        lambda world: world["hosts"][MBX2]["events"].extend([other, asked]),
        {"restart_requested_at": "2026-11-21T01:02:03.000000Z"},
    )
    broken = {
        "type": "EventLog",
        "message": "Could not retrieve information about the User32 provider.",
        "id": "ProviderMetadataError",
    }
    yield case(
        "the provider's metadata cannot be loaded",
        "ok",
        lambda world: world["hosts"][MBX2].update(providers={"User32": broken}),
        {"services": [{}] * 2, "restarts_readable": True},
    )
    yield case(
        "the event log is denied",
        "ok",
        windows("Get-WinEvent", error={"type": "Unauthorized", "message": "no"}),
        {"restart_requested_at": None, "restarts_readable": False},
    )
    for name in ("Win32_LogonSession", "Win32_LoggedOnUser", "Win32_SessionProcess"):
        yield case(
            f"{name} is denied",
            "ok",
            cim(name, error=DENIED),
            {"logons": None, "services": [{}] * 2},
            quick=name == "Win32_LogonSession",
        )
    key = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired"
    yield case(
        "a key is denied",
        "ok",
        lambda world: world["hosts"][MBX2]["registry"].update({key: {"error": {"type": "Security", "message": "no"}}}),
        {"reboot_pending": None},
    )
    yield case(
        "a reboot is pending",
        "ok",
        lambda world: world["hosts"][MBX2]["registry"].update({key: {}}),
        {"reboot_pending": {"windows_update": True}},
    )
    renames = {"values": {"PendingFileRenameOperations": ["\\??\\C:\\a", ""]}}
    yield case(
        "files wait to be renamed",
        "ok",
        lambda world: world["hosts"][MBX2]["registry"].update(
            {"SYSTEM\\CurrentControlSet\\Control\\Session Manager": renames}
        ),
        {"reboot_pending": {"file_renames": True}},
    )
    yield Case(
        "server_state", "the boot time is denied", ("denied", "broken"), cim("Win32_OperatingSystem", error=DENIED)
    )
    yield case("no row of the operating system", "broken", cim("Win32_OperatingSystem", rows=[]))
    yield case("the boot time is missing", "broken", cim("Win32_OperatingSystem", rows=[{"Version": "6.3"}]))
    yield case(
        "no service is installed", "ok", lambda world: world["hosts"][MBX2].update(services={}), {"services": []}
    )
    name = "Mar\u00eda \u0130 \u2122"
    maria = lambda world: world["hosts"][MBX2]["cim"]["Win32_LoggedOnUser"][2]["Antecedent"].update(Name=name)  # noqa: E731
    yield case(
        "a name of odd letters",
        "ok",
        maria,
        {"logons": {"count": 1, "people": [{"account": "CONTOSO\\Mar\u00eda \u0130 \u2122"}]}},
    )
    yield case("one service", "ok", lambda _: None, {"services": [{"name": POP}]}, args={"services": [POP]})
    yield Case(
        "server_state",
        "a service that is spelled another way",
        ("ok",),
        args={"services": ["MSEXCHANGEIS"]},
        culture="tr-TR",
        result={"services": [{"name": "MSExchangeIS"}]},
    )


def steps() -> Iterator[Case]:
    """Processes that were started for a step, and the mark on the disk."""

    def runs(line: str | None, number: Any = 777) -> Any:  # noqa: ANN401 - JSON, and a change of a world
        row = {
            "ProcessId": number,
            "Name": "powershell.exe",
            "CommandLine": line,
            "CreationDate": {"$date": "2026-11-30T01:00:00Z"},
        }
        return lambda world: world["hosts"][MBX2]["processes"].append(row)

    for culture in ("en-US", "tr-TR"):
        yield Case(
            "step_running",
            "it runs",
            ("ok",),
            runs("powershell -Command $null='exmedic-i7.2';x"),
            culture=culture,
            result={"running": True},
        )
    yield Case(
        "step_running", "one that begins the same", ("ok",), runs("x 'exmedic-i7.21'"), result={"running": False}
    )
    yield Case("step_running", "a command line that cannot be read", ("denied",), runs(None))
    own = runs("x 'exmedic-i7.2'", number={"$pid": True})
    yield Case("step_running", "it is this process", ("ok",), own, result={"running": False})
    yield Case(
        "step_running",
        "the mark is there",
        ("ok",),
        lambda world: world["files"].update({"ProgramData/exmedic/i7.2.begun": ""}),
        result={"began": True},
    )
    yield Case("step_running", "CIM denies", ("denied", "broken"), windows("Get-CimInstance", error=DENIED))
    yield Case(
        "step_running", "a property is missing", ("broken",), windows("Get-CimInstance", rows=[{"Name": "x.exe"}])
    )


def event(log: str, seconds: float, **fields: str) -> Json:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    data = f"<UserData><EventXML xmlns='myNs'>{inner}</EventXML></UserData>"
    xml = f"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>{data}</Event>"
    return {
        "log": log,
        "provider": "Microsoft-Exchange-ManagedAvailability",
        "id": 2050,
        "time": ago(seconds),
        "xml": xml,
    }


def recoveries() -> Iterator[Case]:
    """What Managed Availability did."""

    def case(name: str, outcome: str, events: list[Json], result: Any = None, **more: Any) -> Case:  # noqa: ANN401 - JSON
        return Case(
            "recovery_log",
            name,
            (outcome,),
            lambda world: world["hosts"][MBX2]["events"].extend(events),
            result=result,
            **more,
        )

    begun = {"Id": "RestartService", "InstanceId": "n1", "ResourceName": "MSExchangePOP3BE", "StartTime": ago(3600)}
    start = event(_STARTS, 3600, **begun, State="Started", EndTime=ago(3000))
    ended = event(_RESULTS, 3590, **begun, State="Finished", EndTime=ago(3590), Result="Succeeded")
    for culture in ("en-US", "th-TH", "ar-SA"):
        yield case(
            "one that ended",
            "ok",
            [start, ended],
            {"actions": [{"action": "RestartService", "result": "Succeeded"}]},
            culture=culture,
        )
    running = event(_STARTS, 60, **{**begun, "StartTime": ago(60)}, State="Started", EndTime=ago(-600))
    yield case("one that is under way", "ok", [running], {"actions": [{"ended": None}]})
    soon = event(_STARTS, 3600, **{**begun, "InstanceId": "n2"}, State="Started", EndTime="soon")
    died = {"action": "RestartService", "ended": None}
    yield case(
        "one whose worker died, and one whose expected end cannot be read",
        "ok",
        [start, soon],
        {"actions": Among(({**died, "expected_end": "*"}, {**died, "expected_end": None}))},
    )
    more = [
        event(
            _RESULTS,
            3000 + number,
            **{**begun, "InstanceId": f"n{number}"},
            State="Finished",
            EndTime=ago(3000),
            Result="Succeeded",
        )
        for number in range(2100)
    ]
    yield case("more than 2,000", "ok", more)
    yield case("one whose state is not known", "broken", [event(_RESULTS, 60, **begun, State="Perhaps")])
    yield case("one without a state", "broken", [event(_RESULTS, 60, **begun)])
    yield case(
        "one whose end cannot be read", "broken", [event(_RESULTS, 60, **begun, State="Finished", EndTime="soon")]
    )
    yield Case(
        "recovery_log",
        "the log is denied",
        ("denied", "broken"),
        windows("Get-WinEvent", error={"type": "Unauthorized", "message": "no"}),
    )
    yield Case(
        "recovery_log",
        "the boot time is null",
        ("ok", "broken"),
        windows("Get-CimInstance", rows=[{"LastBootUpTime": None}]),
    )
    yield Case("recovery_log", "no hours", ("broken",), args={"hours": 0})


def _headed(*lines: str, fields: str | None = None) -> str:
    """The text of a log with these lines."""
    head = ["#Software: Microsoft Exchange Server", f"#Fields: {COLUMNS}"] if fields is None else [fields]
    return "\r\n".join([*head, *lines]) + "\r\n"


def logs() -> Iterator[Case]:
    """The POP protocol log."""

    def log(*lines: str, fields: str | None = None, name: str = "POP20261130.log") -> Any:  # noqa: ANN401 - a change
        return lambda world: world["files"].update({f"{FOLDER}/{name}": _headed(*lines, fields=fields)})

    mine = log_line(600, "1", "HealthMailbox7@contoso.lab", "x")
    for culture in ("en-US", "tr-TR"):
        yield Case(
            "protocol_log",
            "a name in other letters",
            ("ok",),
            log(mine.replace("HealthMailbox7", "HEALTHMAILBOX7")),
            culture=culture,
            result={"rows": [["*"] * 13]},
        )
    yield Case(
        "protocol_log",
        "quotes, commas and odd characters",
        ("ok",),
        log(mine.replace(",x,", ',"a ""b"", \u212a\u0130 \U0001f4ec",')),
        result={"rows": [["*"] * 10 + ['a "b", \u212a\u0130 \U0001f4ec', "*", "*"]]},
    )
    again = [
        log_line(300, "1", user, "x").replace(",1,1,", f",1,{number},") for number, user in enumerate(("", "anna"))
    ]
    yield Case(
        "protocol_log",
        "somebody's session with the same number, after a start of the service",
        ("ok",),
        log(mine, *again),
        result={"rows": [[*["*"] * 5, "HealthMailbox7@contoso.lab", *["*"] * 7]]},
    )
    yield Case(
        "protocol_log",
        "an empty file",
        ("ok",),
        lambda world: world["files"].update({f"{FOLDER}/POP20261130.log": ""}),
        result={"rows": []},
    )
    yield Case("protocol_log", "a column is missing", ("broken",), log(fields="#Fields: dateTime,sessionId"))
    yield Case("protocol_log", "no columns are named", ("broken",), log(fields="nothing of the kind"))
    short = mine.rpartition(",")[0]
    cut = _headed(mine, short).rstrip()
    yield Case(
        "protocol_log",
        "lines of 12 cells below 13 names",
        ("ok",),
        log(short),
        result={"rows": [[*["*"] * 11, "R=ok", ""]]},
    )
    yield Case(
        "protocol_log",
        "a last line that is not finished",
        ("ok",),
        lambda world: world["files"].update({f"{FOLDER}/POP20261130.log": cut}),
        result={"rows": [["*"] * 13]},
    )
    yield Case("protocol_log", "no folder", ("not_found",), lambda world: world.update(files={}))
    yield Case("protocol_log", "a folder elsewhere", ("broken",), args={"folder": "\\\\server\\share"})
    yield Case(
        "protocol_log",
        "a time without an offset",
        ("broken",),
        args={"since": "2026-11-30T00:00:00", "until": "2026-11-30T01:00:00"},
    )
    nameless = mine.replace("HealthMailbox7@contoso.lab", "").replace(",x,", ",HealthMailbox7@contoso.lab,")
    stranger = nameless.replace("127.0.0.1:4711", "10.1.7.7:4711").replace(",1,1,", ",2,1,")
    yield Case(
        "protocol_log",
        "a logon refused before its user is known, and somebody else's",
        ("ok",),
        log(nameless, stranger),
        result={"rows": [["*", "1", *["*"] * 11]]},
    )
    backend = [
        log_line(600, "1", "anna@contoso.lab", "y").replace(",1,1,", ",1,2,"),
        log_line(500, "2", "HealthMailbox8@contoso.lab", "y"),
    ]
    for name in ("POPBE20261130.log", "Pop3Be20261130-1.LOG"):
        yield Case(
            "protocol_log",
            f"beside it the back end's own, {name}",
            ("ok",),
            both(log(mine), log(*backend, name=name)),
            result={"rows": [[*["*"] * 5, "HealthMailbox7@contoso.lab", *["*"] * 7]], "files": 1},
        )
    yield Case("protocol_log", "2,100 rows", ("ok",), log(*[mine] * 2100), result={"truncated": True})


def all_of_them() -> Iterator[Case]:
    """Every case of this module."""
    for group in (restarts, states, steps, recoveries, logs):
        yield from group()
