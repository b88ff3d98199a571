"""States of the organisation: databases, DAGs, roles, components, POP settings."""

from collections.abc import Callable
from typing import Any

from daemon.lab.faults import Fault
from daemon.lab.pwsh.world import STARTED
from tests.powershell.agreement.state import Asked, Breaking, State, about
from tests.powershell.case import both, fault, revoke, rows
from tests.powershell.organisation import Json, ago

_LATE = ago(-600)

COPIES, DAG, SERVER = (about(script, "mbx2") for script in ("database_copies", "dag_health", "exchange_server"))
STOP = about("set_activation", "mbx2", expected=False, value=True, not_after=_LATE)
LOG_ON = about("set_protocol_log", "cas1", expected=False, value=True, not_after=_LATE)

AS_BUILT = State(
    "as built",
    (
        about("database_copies", "mbx1"),
        about("exchange_server", "mbx1"),
        about("dag_health", "mbx1"),
        about("pop_settings", "cas1"),
        about("set_activation", "mbx1", expected=False, value=True, not_after=_LATE),
        about("set_protocol_log", "cas1", expected=False, value=True, not_after=_LATE),
        Asked("organisation", "mbx3"),
    ),
)

ELSEWHERE = State(
    "as built elsewhere",
    (
        about("database_copies", "mbx5"),
        about("database_copies", "alone1"),
        about("database_copies", "cas1"),
        about("exchange_server", "multi1"),
        about("dag_health", "mbx4", "cas2"),
        about("dag_health", "alone1"),
        about("set_activation", "cas1", expected=False, value=True, not_after=_LATE),
        about("pop_settings", "mbx9"),
        about("exchange_server", "mbx9"),
    ),
)

REFUSED = (
    State("too late", (about("set_activation", "mbx1", expected=False, value=True, not_after=ago(60)),)),
    State("not as expected", (about("set_activation", "mbx1", expected=True, value=True, not_after=_LATE),)),
    State("nothing to do", (about("set_protocol_log", "cas1", expected=True, value=False, not_after=_LATE),)),
    State("neither true nor false", (about("set_protocol_log", "cas1", expected="no", value=True, not_after=_LATE),)),
    State("in no full name", (Asked("database_copies", "mbx3", {"server": "mbx1"}),)),
    *(
        State(
            f"with {logon} credential",
            (
                Asked("exchange_server", "mbx3", {"server": "mbx1.contoso.lab"}, logon=logon),
                Asked("organisation", "mbx3", logon=logon),
            ),
        )
        for logon in ("wrong", "none")
    ),
)


def broken(
    name: str,
    server: str,
    what: Fault,
    options: Json,
    world: Callable[[Json], object],
    *asked: Asked,
    **more: Any,  # noqa: ANN401 - fields of a state
) -> State:
    """A state in which one thing is broken."""
    return State(name, asked, (Breaking(server, what, options),), world, **more)


def copies(of: str, active: bool | None, **other: Any) -> Callable[[Json], object]:  # noqa: ANN401 - any JSON
    """Changes what Exchange says of the copies on a server: the active ones, the passive ones, or all."""

    def change(world: Json) -> None:
        for row in world["exchange"]["DatabaseCopyStatusEntry"]:
            if row["MailboxServer"] == of and active in (None, row["ActiveCopy"]):
                row.update(other)

    return change


def moved(of: str, to: dict[str, str], status: str = "Healthy") -> Callable[[Json], object]:
    """Databases are active elsewhere, each on the server named; the copies on the one before have a status."""

    def change(world: Json) -> None:
        for row in world["exchange"]["DatabaseCopyStatusEntry"]:
            if row["DatabaseName"] in to:
                here = row["MailboxServer"] == to[row["DatabaseName"]]
                row.update(ActiveCopy=here, Status="Mounted" if here else "Healthy")
            if row["MailboxServer"] == of:
                row["Status"] = status if not row["ActiveCopy"] else row["Status"]

    return change


def failed(server: str, *names: str) -> Callable[[Json], object]:
    """Checks of a server that fail."""

    def change(world: Json) -> None:
        for row in world["exchange"]["ReplicationCheckOutcome"]:
            if row["Server"] == server and row["Check"] in names:
                row.update(Result="Failed", Error=f"{row['Check']} failed on {server.lower()}.contoso.lab.")

    return change


def node(name: str, state: str) -> Callable[[Json], object]:
    """The state of a cluster's node, as every member of it has it."""
    number = {"Up": 0, "Down": 1, "Paused": 2, "Joining": 3}[state]

    def change(world: Json) -> None:
        for host in world["hosts"].values():
            for each in host.get("nodes", ()):
                each.update({"State": state} if each["Name"] == name else {})
            for each in host["cim"].get("MSCluster_Node", ()):
                each.update({"State": number} if each["Name"] == name else {})

    return change


def down(name: str) -> Callable[[Json], object]:
    """A member is away: the cluster, the DAG and its copies say so."""

    def change(world: Json) -> None:
        for dag in world["exchange"]["DatabaseAvailabilityGroup"]:
            dag["OperationalServers"] = [each for each in dag["OperationalServers"] if each != name]

    return both(change, node(name, "Down"), copies(name, None, Status="ServiceDown"))


def component(server: str, name: str, state: str, requester: str = "Maintenance") -> Callable[[Json], object]:
    """Somebody asks for another state of a component."""
    entry = {"Component": name, "Requester": requester, "State": state, "Timestamp": STARTED}

    def change(world: Json) -> None:
        for row in world["exchange"]["ServerComponentState"]:
            if (row["ServerFqdn"], row["Component"]) == (f"{server}.contoso.lab", name):
                kept = [each for each in row["LocalStates"] if each["Requester"] != requester]
                row.update(State=state, LocalStates=[*kept, entry], RemoteStates=[*kept, entry])

    return change


def listed_in_maintenance(server: str) -> Callable[[Json], object]:
    """Its DAG lists it so."""
    return lambda world: [
        dag["ServersInMaintenance"].append(server)
        for dag in world["exchange"]["DatabaseAvailabilityGroup"]
        if server in dag["Servers"]
    ]


def flagged(server: str) -> Callable[[Json], object]:
    """DatabaseCopyActivationDisabledAndMoveNow is set."""
    return rows("MailboxServer", "Name", server, DatabaseCopyActivationDisabledAndMoveNow=True)


#: Of a copy on MBX2 that is not healthy: where the lag is not in its status but beside it.
_LAGGED = {"ReplayLagStatus": {"configured": "7.00:00:00", "enabled": True}, "ReplayQueueLength": 4200}
_OF_MBX2 = ("MBX1-DB1", "MBX1-DB2", "MBX3-DB1", "MBX3-DB2")

DATABASES = (
    broken(
        "lagged copies", "mbx2", Fault.LAGGED_COPIES, {}, copies("MBX2", active=False, **_LAGGED), COPIES, quick=True
    ),
    broken(
        "one lagged copy",
        "mbx2",
        Fault.LAGGED_COPIES,
        {"database": "MBX1-DB1"},
        rows("DatabaseCopyStatusEntry", "Name", "MBX1-DB1\\MBX2", **_LAGGED),
        COPIES,
    ),
    broken(
        "suspended copies",
        "mbx2",
        Fault.SUSPENDED_COPIES,
        {},
        both(
            copies("MBX2", active=False, Status="Suspended", ActivationSuspended=True),
            failed("MBX2", "DBCopySuspended"),
        ),
        COPIES,
        DAG,
    ),
    broken(
        "suspended copies where there are two",
        "mbx5",
        Fault.SUSPENDED_COPIES,
        {},
        both(
            copies("MBX5", active=False, Status="Suspended", ActivationSuspended=True),
            failed("MBX4", "DatabaseRedundancyCheck", "DatabaseAvailabilityCheck"),
        ),
        about("dag_health", "mbx4", "mbx6"),
    ),
    State(
        "after a move but for the one that is stuck",
        (COPIES, DAG),
        (
            Breaking("mbx2", Fault.DATABASE_STUCK, {"database": "MBX2-DB2"}),
            Breaking("mbx2", Fault.MAINTENANCE, {"form": "activation"}),
        ),
        both(flagged("MBX2"), moved("MBX2", {"MBX2-DB1": "MBX3"})),
        passes=300,
    ),
    State(
        "after a move",
        (COPIES, DAG),
        (Breaking("mbx2", Fault.MAINTENANCE, {"form": "activation"}),),
        both(flagged("MBX2"), moved("MBX2", {"MBX2-DB1": "MBX3", "MBX2-DB2": "MBX3"})),
        passes=300,
    ),
    State(
        "after a move where there are two copies",
        (about("database_copies", "mbx4"), about("dag_health", "mbx4", "mbx6")),
        (Breaking("mbx4", Fault.MAINTENANCE, {"form": "activation"}),),
        both(
            flagged("MBX4"),
            moved("MBX4", {"MBX4-DB1": "MBX5", "MBX4-DB2": "MBX5"}),
            failed("MBX4", "DatabaseAvailabilityCheck"),
        ),
        passes=300,
        quick=True,
    ),
    State(
        "while a database is on its way",
        (COPIES,),
        (Breaking("mbx2", Fault.MAINTENANCE, {"form": "activation"}),),
        both(flagged("MBX2"), rows("DatabaseCopyStatusEntry", "Name", "MBX2-DB1\\MBX2", Status="Dismounting")),
        passes=20,
    ),
    broken(
        "a name beyond ASCII",
        "mbx2",
        Fault.DATABASE_NAME,
        {"database": "MBX2-DB2", "called": "Données Œuvres 3 \u0645"},
        lambda world: _rename(world, "MBX2-DB2", "Données Œuvres 3 \u0645"),
        COPIES,
    ),
)


def _rename(world: Json, old: str, new: str) -> None:
    for row in world["exchange"]["MailboxDatabase"]:
        if row["Name"] == old:
            row.update(Name=new, Identity=new)
    for row in world["exchange"]["DatabaseCopyStatusEntry"]:
        if row["DatabaseName"] == old:
            name = f"{new}\\{row['MailboxServer']}"
            row.update(DatabaseName=new, Name=name, Identity=name)


_FAILS = {
    "Failed": ("DBCopyFailed",),
    "FailedAndSuspended": ("DBCopyFailed", "DBCopySuspended"),
    "Suspended": ("DBCopySuspended",),
    "Initializing": ("DBInitializing",),
    "DisconnectedAndHealthy": ("DBDisconnected",),
    "DisconnectedAndResynchronizing": ("DBDisconnected",),
}
_COMPARED_STATUSES = (
    "Failed",
    "FailedAndSuspended",
    "Initializing",
    "DisconnectedAndHealthy",
    "Seeding",
)
STATUSES = tuple(
    broken(
        f"a copy {status}",
        "mbx2",
        Fault.COPY_STATUS,
        {"database": "MBX1-DB1", "status": status},
        both(
            rows(
                "DatabaseCopyStatusEntry",
                "Name",
                "MBX1-DB1\\MBX2",
                Status=status,
                ActivationSuspended=status in {"Suspended", "FailedAndSuspended"},
            ),
            failed("MBX2", *_FAILS.get(status, ())),
        ),
        COPIES,
        *([DAG] if status in {"FailedAndSuspended", "Initializing", "DisconnectedAndHealthy", "Seeding"} else []),
    )
    for status in _COMPARED_STATUSES
)

#: One of the service, one of the quorum, one of the databases; that each of the rest shows is a test of the lab.
_COMPARED_CHECKS = ("TcpListener", "FileShareQuorum", "DBLogReplayKeepingUp")
MEMBERS = (
    broken("a paused node", "mbx2", Fault.NODE_PAUSED, {}, node("MBX2", "Paused"), DAG),
    broken(
        "a paused node seen from outside",
        "mbx2",
        Fault.NODE_PAUSED,
        {},
        node("MBX2", "Paused"),
        about("dag_health", "mbx1", "cas2"),
    ),
    broken(
        "a member that is down",
        "mbx2",
        Fault.MEMBER_DOWN,
        {},
        both(
            moved("MBX2", {"MBX2-DB1": "MBX3", "MBX2-DB2": "MBX3"}),
            down("MBX2"),
            failed("MBX1", "DagMembersUp"),
        ),
        about("database_copies", "mbx1"),
        COPIES,
        about("dag_health", "mbx1"),
        SERVER,
        passes=600,
    ),
    broken(
        "a member that is down, and is asked",
        "mbx2",
        Fault.MEMBER_DOWN,
        {},
        both(
            down("MBX2"),
            fault(
                "Test-ReplicationHealth",
                error={
                    "type": "InvalidOperation",
                    "message": "The server mbx2.contoso.lab cannot be reached.",
                },
            ),
        ),
        DAG,
    ),
    broken(
        "a witness that counts",
        "mbx1",
        Fault.WITNESS,
        {},
        rows("DatabaseAvailabilityGroup", "Name", "DAG1", WitnessShareInUse="Primary"),
        DAG,
    ),
    broken("a member that would not come back", "mbx2", Fault.NEVER_BACK, {}, lambda _: None, DAG),
    *(
        broken(f"{check} fails", "mbx2", Fault.REPLICATION_FAILED, {"check": check}, failed("MBX2", check), DAG)
        for check in _COMPARED_CHECKS
    ),
)


def _both_roles(world: Json, name: str, *, mailbox: bool) -> None:
    """A server answers that it has both roles, and what comes with them."""
    rows("ExchangeServer", "Name", name, IsMailboxServer=True, IsClientAccessServer=True)(world)
    rows("ExchangeServer", "Name", name, ServerRole="Mailbox, ClientAccess")(world)
    exchange = world["exchange"]
    like = next(row for row in exchange["MailboxServer"] if row["Name"] == "ALONE1")
    if not mailbox:
        at = [row["Name"] for row in exchange["MailboxServer"]].index("MULTI1")
        exchange["MailboxServer"].insert(at, {**like, "Name": name, "Identity": name})
    of_multi = [row for row in exchange["ServerComponentState"] if row["ServerFqdn"] == "multi1.contoso.lab"]
    others = [row for row in exchange["ServerComponentState"] if row["ServerFqdn"] != f"{name.lower()}.contoso.lab"]
    taken = [{**row, "ServerFqdn": f"{name.lower()}.contoso.lab"} for row in of_multi]
    exchange["ServerComponentState"] = [*others, *taken]


ROLES = (
    broken(
        "another role than the inventory says",
        "mbx2",
        Fault.ROLES_DIFFER,
        {},
        lambda world: _both_roles(world, "MBX2", mailbox=True),
        SERVER,
        COPIES,
        Asked("organisation", "mbx3"),
    ),
    broken(
        "a Client Access server that is a Mailbox server",
        "cas3",
        Fault.ROLES_DIFFER,
        {},
        lambda world: _both_roles(world, "CAS3", mailbox=False),
        about("exchange_server", "cas3"),
        about("database_copies", "cas3"),
        about("dag_health", "cas3"),
        about("set_activation", "cas3", expected=False, value=True, not_after=_LATE),
        Asked("organisation", "mbx3"),
    ),
)

MAINTENANCE = (
    broken(
        "in maintenance",
        "mbx2",
        Fault.MAINTENANCE,
        {"form": "server_wide_offline"},
        both(component("mbx2", "ServerWideOffline", "Inactive"), listed_in_maintenance("MBX2")),
        SERVER,
        DAG,
    ),
    broken(
        "draining",
        "mbx2",
        Fault.MAINTENANCE,
        {"form": "hub_transport"},
        component("mbx2", "HubTransport", "Draining"),
        SERVER,
    ),
    broken(
        "activation blocked by somebody",
        "mbx2",
        Fault.MAINTENANCE,
        {"form": "activation"},
        flagged("MBX2"),
        COPIES,
        STOP,
    ),
    broken(
        "the policy Blocked",
        "mbx2",
        Fault.MAINTENANCE,
        {"form": "policy"},
        rows("MailboxServer", "Name", "MBX2", DatabaseCopyAutoActivationPolicy="Blocked"),
        COPIES,
    ),
    broken(
        "PopProxy Inactive",
        "cas1",
        Fault.POPPROXY_INACTIVE,
        {"requester": "HealthAPI"},
        component("cas1", "PopProxy", "Inactive", "HealthAPI"),
        about("exchange_server", "cas1"),
    ),
)

CERTIFICATES = (
    broken(
        "no certificate",
        "cas1",
        Fault.CERTIFICATE,
        {"problem": "missing"},
        lambda world: world["exchange"].update(ExchangeCertificate=[]),
        about("pop_settings", "cas1"),
    ),
    broken(
        "a certificate that has expired",
        "cas1",
        Fault.CERTIFICATE,
        {"problem": "expired"},
        rows("ExchangeCertificate", "Server", "CAS1", NotBefore=ago(900 * 86400), NotAfter=ago(3 * 86400)),
        about("pop_settings", "cas1"),
    ),
)


def _nothing(*cmdlets: str) -> Callable[[Json], object]:
    return both(*(fault(cmdlet, rows=[]) for cmdlet in cmdlets))


def _session(code: int) -> Callable[[Json], object]:
    return lambda world: world["session"].update(code=code)


_NO_ROWS = _nothing("Get-ExchangeServer", "Get-MailboxServer", "Get-PopSettings", "Get-DatabaseAvailabilityGroup")
ANSWERS = (
    broken(
        "no rows",
        "mbx2",
        Fault.EMPTY_ANSWER,
        {},
        _NO_ROWS,
        COPIES,
        SERVER,
        DAG,
        STOP,
        about("pop_settings", "mbx2"),
    ),
    *(
        broken(
            f"no session: {refusal}",
            "mbx3",
            Fault.SESSION_REFUSED,
            {"refusal": refusal},
            _session(code),
            SERVER,
        )
        for refusal, code in (("denied", 5), ("logon", 1326), ("no_session", -2144108526))
    ),
    broken("no rows about all", "mbx3", Fault.EMPTY_ANSWER, {}, _NO_ROWS, Asked("organisation", "mbx3")),
    *(
        broken(f"{cmdlet} not granted", "mbx2", Fault.CMDLET_DENIED, {"cmdlet": cmdlet}, revoke(cmdlet), asked)
        for cmdlet, asked in (
            ("Get-ExchangeServer", COPIES),
            ("Get-MailboxDatabaseCopyStatus", COPIES),
            ("Get-ServerComponentState", SERVER),
            ("Test-ReplicationHealth", DAG),
            ("Set-MailboxServer", STOP),
            ("Get-ExchangeCertificate", about("pop_settings", "mbx2")),
        )
    ),
    *(
        broken(
            f"{each} null", "mbx2", Fault.NULL_PROPERTY, {"missing": each}, rows(table, key, at, **{each: None}), asked
        )
        for each, table, key, at, asked in (
            ("ActiveCopy", "DatabaseCopyStatusEntry", "MailboxServer", "MBX2", COPIES),
            ("State", "ServerComponentState", "ServerFqdn", "mbx2.contoso.lab", SERVER),
            ("Result", "ReplicationCheckOutcome", "Server", "MBX2", DAG),
            ("IsMailboxServer", "ExchangeServer", "Name", "MBX2", Asked("organisation", "mbx3")),
            ("DatabaseCopyActivationDisabledAndMoveNow", "MailboxServer", "Name", "MBX2", STOP),
        )
    ),
    *(
        broken(
            f"{asked.script} cut off {when}",
            "mbx2" if asked is STOP else "cas1",
            Fault.CHANGE_LOST if when == "before its change" else Fault.SCRIPT_DIES,
            {"script": asked.script},
            fault(setter, kill="before" if when == "before its change" else "after"),
            asked,
        )
        for asked, setter in ((STOP, "Set-MailboxServer"), (LOG_ON, "Set-PopSettings"))
        for when in ("before its change", "after its change")
    ),
)

STATES = (
    AS_BUILT,
    ELSEWHERE,
    *REFUSED,
    *DATABASES,
    *STATUSES,
    *MEMBERS,
    *ROLES,
    *MAINTENANCE,
    *CERTIFICATES,
    *ANSWERS,
)
