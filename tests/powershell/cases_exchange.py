"""Cases of what Exchange answers: by each script that asks it."""

from collections.abc import Callable, Iterator

from daemon.exchange.launch import NAMES
from tests.powershell.case import CHANGING, Among, Case, OneOf, both, fault, revoke, rows, windows
from tests.powershell.organisation import CAS1, CULTURES, MBX1, MBX2, PASSWORD, POP, Json, healthy

DENIED = {
    "type": "CimException",
    "native": "AccessDenied",
    "message_id": "HRESULT 0x80070005",
    "message": "Access is denied.",
    "category": "PermissionDenied",
}
EXPIRED = {
    "type": "CimException",
    "native": "Failed",
    "message_id": "HRESULT 0x80070532",
    "message": "The password for this account has expired.",
    "category": "ConnectionError",
}
UNREACHED = {
    "type": "CimException",
    "native": "Failed",
    "message_id": "HRESULT 0x80338126",
    "message": "WinRM cannot complete the operation.",
    "category": "ConnectionError",
}

#: By script: the cmdlet it rests on, the class of its rows, what names the server in them, what must be there; and the
#: outcome for no row, two rows and rows of another server.
RESTS_ON = {
    "server_health": ("Get-ServerHealth", "MonitorHealthEntry", "Server", "AlertValue", ("ok", "ok", "broken")),
    "invoke_probe": ("Invoke-MonitoringProbe", "MonitoringProbeResult", "Server", "ResultType", ("ok", "ok", "broken")),
    "database_copies": (
        "Get-MailboxServer",
        "MailboxServer",
        "Name",
        "DatabaseCopyAutoActivationPolicy",
        ("broken",) * 3,
    ),
    "set_activation": (
        "Get-MailboxServer",
        "MailboxServer",
        "Name",
        "DatabaseCopyActivationDisabledAndMoveNow",
        ("broken",) * 3,
    ),
    "reboot": ("Get-ExchangeServer", "ExchangeServer", "Fqdn", "IsMailboxServer", ("broken",) * 3),
    "exchange_server": (
        "Get-ServerComponentState",
        "ServerComponentState",
        "ServerFqdn",
        "State",
        ("broken", "ok", "broken"),
    ),
    "dag_health": ("Get-DatabaseAvailabilityGroup", "DatabaseAvailabilityGroup", "Name", "Servers", ("broken",) * 3),
    "pop_settings": ("Get-PopSettings", "PopSettings", "Server", "ProtocolLogEnabled", ("broken",) * 3),
    "set_protocol_log": ("Get-PopSettings", "PopSettings", "Server", "ProtocolLogEnabled", ("broken",) * 3),
    "organisation": ("Get-ExchangeServer", "ExchangeServer", "Name", "IsMailboxServer", ("ok", "ok", "ok")),
}

#: What each says where all is well: enough of it that a wrong culture would show.
HAPPY = {
    "server_health": {
        "rows": [
            {
                "server": MBX1,
                "alert_value": "Healthy",
                "is_stale": False,
                "last_transition": "2026-11-20T03:14:05.000000Z",
            }
        ]
        * 3
    },
    "invoke_probe": {
        "objects": [{"result_type": "Succeeded", "started": "2026-11-30T02:00:00.000000Z"}],
        "warnings": [],
    },
    "database_copies": {
        "dag": "DAG1",
        "databases": 3,
        "copies": [{"lagged": False, "copy_queue": 0}] * 6,
        "members": [{"activation_blocked": False, "activation_policy": "Unrestricted"}] * 2,
    },
    "set_activation": {"before": False, "after": True, "changed": True},
    "server_state": {
        "boot_time": "2026-11-20T03:04:05.500000Z",
        "services": [{"status": "Running", "start_type": "Automatic"}] * 2,
        "logons": {"count": 1, "people": [{"account": "CONTOSO\\maria", "how": "remote"}]},
        "reboot_pending": {"servicing": False, "windows_update": False, "file_renames": False},
    },
    "restart_service": {"service": {"name": POP, "status": "Running", "start_type": "Automatic"}},
    "reboot": {"accepted": True},
    "step_running": {"running": False, "began": False},
    "exchange_server": {
        "server": MBX1,
        "mailbox_role": True,
        "client_access_role": False,
        "version": "Version 15.0 (Build 1497.2)",
        "site": "Lyon",
    },
    "dag_health": {
        "dag": "DAG1",
        "members": [{"operational": True, "node_state": "Up", "in_maintenance": False}] * 2,
        "witness_counts": True,
        "replication": [{"passed": True}] * 18,
    },
    "recovery_log": {"actions": []},
    "pop_settings": {
        "server": MBX1,
        "protocol_log_enabled": False,
        "certificate": {"name": "mail.contoso.lab", "found": True, "valid_until": "2028-01-01T00:00:00.000000Z"},
    },
    "set_protocol_log": {"before": False, "after": True, "changed": True},
    "protocol_log": {"files": 1, "truncated": False, "rows": [["*"] * 13]},
    "organisation": {
        "servers": [{"site": "Lyon"}] * 4,
        "mailbox_servers": [{"dag": "DAG1"}] * 2,
        "dags": [{"name": "DAG1", "members": ["MBX1", "MBX2"]}],
        "warnings": [],
    },
}
DONE = {
    "set_activation": (f"set {MBX1} True",),
    "set_protocol_log": (f"set {MBX1} True",),
    "restart_service": (f"stop {POP}", f"start {POP}"),
    "reboot": (f"reboot {CAS1}",),
}
_QUICK = {
    "server_health",
    "database_copies",
    "set_activation",
    "restart_service",
    "reboot",
    "server_state",
    "dag_health",
}


#: They ask for the same object in the same way as a script that changes it.
_ALIKE = {"database_copies", "pop_settings"}


def happy() -> Iterator[Case]:
    """All is well, in each culture."""
    for script in NAMES:
        for culture in CULTURES:
            quick = (culture == "en-US" and script in _QUICK) or (culture, script) == ("tr-TR", "step_running")
            yield Case(
                script,
                "happy",
                ("ok",),
                culture=culture,
                result=HAPPY[script],
                effects=DONE.get(script, ()),
                quick=quick,
            )


def _given(script: str) -> list[Json]:
    """The rows that the script's cmdlet gives where all is well."""
    _, table, key, _, _ = RESTS_ON[script]
    wanted = {"reboot": "cas1", "dag_health": "dag1"}.get(script, "mbx1")
    found = [row for row in healthy()["exchange"][table] if row[key].lower().partition(".")[0] == wanted]
    return [
        row for row in found if row.get("MonitorIdentity", "POP.Protocol\\PopDeepTestProbe").endswith("DeepTestProbe")
    ]


def shapes() -> Iterator[Case]:
    """No row, two, another server's; a property that is missing or null; a warning and nothing else."""
    for script, (command, table, key, needed, (nothing, two, other)) in RESTS_ON.items():
        given = _given(script)
        none = () if script in CHANGING else None
        elsewhere = [{**row, key: "other.contoso.lab" if "." in row[key] else "OTHER"} for row in given]
        empty = [{**row, needed: None} for row in given]
        yield Case(script, "nothing", (nothing,), fault(command, rows=[]), effects=none)
        warned = ("broken",) if nothing == "broken" else ("ok", "broken")
        if script in {"server_health", "invoke_probe", "set_activation", "organisation"}:
            yield Case(
                script, "a warning and nothing", warned, fault(command, rows=[], warning="It may be so."), effects=none
            )
        if script not in _ALIKE | {"organisation", "exchange_server"}:
            yield Case(script, "two rows", (two,), fault(command, rows=given + given), effects=none)
        if script not in _ALIKE | {"organisation"}:
            yield Case(script, "another server", (other,), fault(command, rows=elsewhere), effects=none)
        yield Case(script, "null", ("broken",), fault(command, rows=empty), effects=none)

        def lacks(world: Json, table: str = table, needed: str = needed) -> None:
            world["exchange"]["without"][table] = [needed]

        yield Case(script, "a property is missing", ("broken",), lacks, effects=none)


def errors() -> Iterator[Case]:
    """Each kind of error of the cmdlet it rests on, before anything was changed."""
    for script, (command, *_) in RESTS_ON.items():
        none = () if script in CHANGING else None
        there = {"type": "NotFound", "message": "The object could not be found."}
        sick = {
            "type": "ADTransient",
            "message": "LDAP said no to " + PASSWORD.replace(" ", "\r\n") + ".",
            "terminating": True,
        }
        yield Case(script, "not found", ("not_found",), fault(command, error=there), effects=none)
        yield Case(
            script,
            "an error that quotes the password",
            ("broken",),
            fault(command, error=sick),
            effects=none,
            says="***",
            quick=script == "set_protocol_log",
        )

        yield Case(script, "a cmdlet that is not granted", ("denied",), revoke(command), effects=none)
        yield Case(
            script,
            "killed while it is asked",
            ("broken",),
            fault(command, kill="before"),
            effects=none,
            quick=script == "pop_settings",
        )


def sessions() -> Iterator[Case]:
    """A session that cannot be opened, and one that cannot be closed."""
    for script in [*sorted(CHANGING & RESTS_ON.keys()), "server_health"]:
        none = () if script in CHANGING else None
        refused = lambda world: world["session"].update(code=1326, message=f"Logon failure: {PASSWORD}")  # noqa: E731
        yield Case(script, "logon refused", ("logon",), refused, effects=none)
    for code, kind in ((5, "denied"), (1909, "logon"), (-2144108387, "logon"), (-2144108526, "no_session")):

        def fails(world: Json, code: int = code) -> None:
            world["session"]["code"] = code

        kinds = ("broken", kind) if kind == "no_session" else (kind,)
        yield Case("set_activation", f"the session ends with {code}", kinds, fails, effects=())
        if code in {5, -2144108387}:
            yield Case(
                "set_activation", f"without a credential {code}", ("second_hop",), fails, logon=False, effects=()
            )
    yield Case(
        "pop_settings",
        "without a credential, delegated",
        ("ok",),
        lambda world: world["session"].update(delegated=True),
        logon=False,
    )
    stuck = {"type": "InvalidOperation", "message": f"It cannot be closed: {PASSWORD}", "terminating": True}
    for script in ("set_activation", "organisation"):
        yield Case(script, "the session cannot be closed", ("ok",), windows("Remove-PSSession", error=stuck))


def settings() -> Iterator[Case]:
    """Changes by a Set- cmdlet: before, in the middle of and after it."""
    for script, setter, getter in (
        ("set_activation", "Set-MailboxServer", "Get-MailboxServer"),
        ("set_protocol_log", "Set-PopSettings", "Get-PopSettings"),
    ):
        done = DONE[script]
        gone = {"type": "NotFound", "message": "not there any more"}
        yield Case(
            script,
            "too late",
            ("expired",),
            args={"not_after": "2026-01-01T00:00:00Z"},
            effects=(),
            quick=script == "set_activation",
        )
        yield Case(script, "killed before the change", ("lost",), fault(setter, kill="before"), effects=())
        yield Case(
            script,
            "killed after the change",
            ("lost",),
            fault(setter, kill="after"),
            effects=done,
            quick=script == "set_activation",
        )
        yield Case(script, "not found before the change", ("lost", "not_found"), fault(setter, error=gone), effects=())
        yield Case(
            script,
            "not found after the change",
            ("lost",),
            fault(setter, error=gone, when="after"),
            effects=done,
            quick=script == "set_protocol_log",
        )
        yield Case(script, "the read afterwards fails", ("lost",), fault(getter, error=gone, call=2), effects=done)
        yield Case(script, "the setter is not granted", ("denied",), revoke(setter), effects=())
    yield Case(
        "set_activation",
        "the write is lost",
        ("ok",),
        lambda world: world["exchange"].update(writes_are_lost=True),
        result={"after": False},
        effects=DONE["set_activation"],
    )
    yield Case(
        "set_activation",
        "nothing to do",
        ("ok",),
        args={"expected": True, "value": False},
        result={"changed": False},
        effects=(),
    )
    slow = fault("Set-MailboxServer", warning="It may take a while.")
    yield Case("set_activation", "a warning beside the change", ("ok",), slow, effects=DONE["set_activation"])
    yield Case(
        "set_activation",
        "the mark cannot be written",
        ("denied",),
        lambda world: world.update(disk_is_read_only=True),
        effects=(),
    )


def reboots() -> Iterator[Case]:
    """The reboot of another server."""
    about = {"server": MBX1, "mailbox": True}
    quiet = both(
        rows("MailboxServer", "Name", "MBX1", DatabaseCopyActivationDisabledAndMoveNow=True),
        rows("DatabaseCopyStatusEntry", "MailboxServer", "MBX1", Status="Healthy", ActiveCopy=False),
        rows("DatabaseCopyStatusEntry", "MailboxServer", "MBX2", Status="Mounted", ActiveCopy=True),
    )

    def reboot(name: str, kinds: tuple[str, ...], change: Callable[[Json], object], **more: object) -> Case:
        return Case("reboot", name, kinds, both(quiet, change), args={**about}, **{"effects": (), **more})  # type: ignore[arg-type]

    recovery = both(
        rows("MailboxDatabase", "Name", "DB3", Recovery=True),
        rows("DatabaseCopyStatusEntry", "Name", "DB3\\MBX1", Status="Mounted", ActiveCopy=True),
    )
    yield reboot("a Mailbox server with a recovery database", ("ok",), recovery, effects=(f"reboot {MBX1}",))
    active = rows("DatabaseCopyStatusEntry", "Name", "DB1\\MBX1", ActiveCopy=True, Status="Mounted")
    yield reboot("an active copy", ("conflict",), active, quick=True)
    yield reboot(
        "a copy ServiceDown", ("conflict",), rows("DatabaseCopyStatusEntry", "Name", "DB1\\MBX1", Status="ServiceDown")
    )
    yield reboot(
        "activation is not blocked",
        ("conflict",),
        rows("MailboxServer", "Name", "MBX1", DatabaseCopyActivationDisabledAndMoveNow=False),
    )
    yield reboot("no row of a copy", ("conflict",), fault("Get-MailboxDatabaseCopyStatus", rows=[]))
    empty = both(
        fault("Get-MailboxDatabase", rows=[], warning="cut short"),
        fault("Get-MailboxDatabaseCopyStatus", rows=[], warning="cut short"),
    )
    yield reboot("no databases, no copies and a warning", ("conflict", "broken"), empty)
    yield Case("reboot", "a Mailbox server after all", ("conflict",), args={"server": MBX1}, effects=())
    yield Case("reboot", "itself", ("broken",), args={"server": MBX2}, effects=())
    yield Case("reboot", "too late", ("expired",), args={"not_after": "2026-01-01T00:00:00Z"}, effects=())
    shut = {"type": "COM", "message": "The RPC server is unavailable. (0x800706BA)"}
    closed = lambda world: world["hosts"][CAS1].update(dcom={"error": shut})  # noqa: E731
    yield Case("reboot", "DCOM is closed, as it is by default", ("ok",), closed, effects=DONE["reboot"], quick=True)
    yield Case("reboot", "by CIM over WinRM", ("ok",), effects=(f"reboot {CAS1} Win32ShutdownTracker",))
    for name, problem, kinds in (
        ("WinRM cannot be reached", UNREACHED, ("broken", "no_session")),
        ("WinRM denies", DENIED, ("denied",)),
        ("WinRM says that the password has expired", EXPIRED, ("logon",)),
    ):

        def unreached(world: Json, problem: Json = problem) -> None:
            world["hosts"][CAS1].update(winrm={"error": problem}, dcom={"error": problem})

        yield Case("reboot", name, kinds, unreached, effects=())
    nobody = windows("Get-CimInstance:Win32_OperatingSystem", CAS1, rows=[])
    yield Case("reboot", "no row of the operating system", ("broken",), nobody, effects=())
    cut = lambda world: world["hosts"][CAS1].update(shutdown={"error": UNREACHED})  # noqa: E731
    yield Case("reboot", "the connection is cut by the reboot", ("lost",), cut, effects=DONE["reboot"])
    yield Case(
        "reboot",
        "Windows says 5",
        ("denied",),
        lambda world: world["hosts"][CAS1].update(shutdown={"return": 5}),
        effects=(),
    )


def texts() -> Iterator[Case]:
    """What is compared as text, in each culture, and texts that are odd."""
    for culture in [each for each in CULTURES[1:] if each != "de-DE"]:
        yield Case(
            "dag_health",
            "a failed check",
            ("ok",),
            rows("ReplicationCheckOutcome", "Check", "QuorumGroup", Result="Failed", Error="no quorum"),
            culture=culture,
            result={
                "replication": [{"passed": OneOf((True,))}] * 8 + [{"passed": False}] + [{"passed": OneOf((True,))}] * 9
            },
        )
        lagged = both(
            rows(
                "DatabaseCopyStatusEntry",
                "Name",
                "DB1\\MBX2",
                ReplayLagStatus={"configured": "7.00:00:00", "enabled": True},
            ),
            lambda world: [
                row.update(ReplayLagTimes={"MBX1": "00:00:00", "MBX2": "7.00:00:00"})
                for row in world["exchange"]["MailboxDatabase"]
                if row["Name"] == "DB1"
            ],
        )
        yield Case(
            "database_copies",
            "a lagged copy",
            ("ok",),
            lagged,
            culture=culture,
            result={
                "copies": Among(
                    (
                        {"database": "DB1", "server": "MBX1", "lagged": False},
                        {"database": "DB1", "server": "MBX2", "lagged": True},
                        {"database": "DB2", "server": "MBX2", "lagged": False},
                    )
                )
            },
        )
    yield Case(
        "database_copies",
        "a stale queue beside a recovery database",
        ("ok",),
        both(
            rows("DatabaseCopyStatusEntry", "Name", "DB1\\MBX2", LastLogInfoIsStale=True),
            rows("MailboxDatabase", "Name", "DB3", Recovery=True),
            rows("MailboxDatabase", "Name", "DB2", Name="Count"),
            rows("DatabaseCopyStatusEntry", "DatabaseName", "DB2", DatabaseName="Count"),
        ),
        result={
            "databases": OneOf((2,)),
            "copies": [
                {"database": "DB1", "server": "MBX1", "copy_queue_stale": False},
                {"database": "Count", "server": "MBX1"},
                {"database": "DB1", "server": "MBX2", "copy_queue_stale": True},
                {"database": "Count", "server": "MBX2"},
            ],
        },
    )
    held = healthy()["exchange"]["ExchangeCertificate"][0]
    renewed = {**held, "NotBefore": "2990-01-01T00:00:00Z", "NotAfter": "2999-01-01T00:00:00Z"}
    past = {**held, "NotAfter": "2026-02-01T00:00:00Z"}
    yield Case(
        "pop_settings",
        "a certificate whose time has not come, and one whose time is over",
        ("ok",),
        fault("Get-ExchangeCertificate", rows=[past, held, renewed]),
        result={"certificate": {"found": True, "valid_until": "2028-01-01T00:00:00.000000Z"}},
    )
    yield Case(
        "pop_settings",
        "certificates that may not be read",
        ("ok",),
        revoke("Get-ExchangeCertificate"),
        result={"protocol_log_enabled": False, "certificate": OneOf((None,))},
    )
    yield Case(
        "dag_health",
        "a failed check",
        ("ok",),
        rows("ReplicationCheckOutcome", "Check", "QuorumGroup", Result="Failed", Error="no quorum"),
        result={
            "replication": [{"passed": True}] * 8 + [{"passed": False, "error": "no quorum"}] + [{"passed": True}] * 9
        },
    )
    yield Case(
        "dag_health",
        "a result of no known word",
        ("ok", "broken"),
        rows("ReplicationCheckOutcome", "Check", "QuorumGroup", Result="Perhaps"),
        result={"replication": [{}] * 8 + [{"passed": OneOf((False, None))}] + [{}] * 9},
    )
    yield Case(
        "dag_health",
        "the cluster cannot be asked",
        ("ok",),
        windows("Get-ClusterNode", error=DENIED),
        result={"members": [{"node_state": ""}] * 2},
    )
    odd = "\U0001f4ec \u202e\u0000\u001b[31m \u2028 \"quotes\" 'and' <tags> & \\ \u212a"
    yield Case(
        "server_health",
        "odd characters",
        ("ok",),
        rows("MonitorHealthEntry", "Name", "PopDeepTestMonitor", Error=odd),
        result={"rows": [{}] * 3},
        quick=True,
    )
    row = healthy()["exchange"]["MonitorHealthEntry"][2]
    many = fault("Get-ServerHealth", rows=[{**row, "Name": f"M{number}"} for number in range(700)])
    one = fault("Get-ServerHealth", rows=[row])
    yield Case("server_health", "700 rows", ("ok",), many, result={"rows": [{"health_set": "POP.Protocol"}] * 700})
    yield Case("server_health", "one row", ("ok",), one, result={"rows": [{"health_set": "POP.Protocol"}]})
    never = rows("MonitorHealthEntry", "Name", "PopDeepTestMonitor", LastTransitionTime="0001-01-01T00:00:00")
    yield Case(
        "server_health", "a time of the year 1", ("ok",), never, result={"rows": [{"last_transition": None}, {}, {}]}
    )
    failing = rows(
        "MonitoringProbeResult",
        "Server",
        "MBX1",
        ResultType="Failed",
        Error="Logon failed.\r\nPassword: Wint3r-of-99\r\nfor it",
        ExecutionContext="User: HealthMailbox7\r\nWint3r-of-99",
        StateAttribute1="Auth\r\nPassword: Wint3r-of-99",
    )
    yield Case(
        "invoke_probe",
        "a failing probe tells its mailbox's password",
        ("ok",),
        failing,
        result={"objects": [{"result_type": "Failed", "reason": "Auth"}]},
        hidden=("Wint3r-of-99",),
        quick=True,
    )
    yield Case(
        "organisation",
        "one server in no site",
        ("ok",),
        rows("ExchangeServer", "Name", "CAS2", Site=None),
        result={"servers": [{"site": "Lyon"}] * 3 + [{"site": ""}]},
    )


_HOLD_THE_LOGON = {"set_activation", "set_protocol_log", "reboot", "organisation"}


def cut() -> Iterator[Case]:
    """Standard input that ends too early: nothing may be done, and nobody logged on."""
    for script in NAMES:
        where = ("first", "boundary", "second") if script in _HOLD_THE_LOGON else ("first",)
        for place in where:
            yield Case(
                script,
                f"standard input ends ({place})",
                ("lost",),
                cut=place,
                effects=(),
                quick=(script, place) == ("reboot", "second"),
            )


def all_of_them() -> Iterator[Case]:
    """Every case of this module."""
    for group in (happy, shapes, errors, sessions, settings, reboots, texts, cut):
        yield from group()
