"""Facts about a healthy Mailbox server of a DAG, and about a healthy Client Access server, to be made worse."""

from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.domain.inventory import Role, Server
from daemon.exchange.answers import (
    DagHealth,
    DatabaseCopies,
    ExchangeServer,
    PopSettings,
    RecoveryLog,
    ServerHealth,
    ServerState,
)
from daemon.remediation.actions.preconditions.facts import Dependency, Facts, Member, Neighbour

NOW = datetime(2026, 1, 15, 3, 0, tzinfo=UTC)
NAMES = ("MBX1", "MBX2", "MBX3")
MAILBOX_ONLY, CAS_ONLY = frozenset({Role.MAILBOX}), frozenset({Role.CLIENT_ACCESS})

ACTIVE_DIRECTORY = Dependency(name="Active Directory", health_set="AD")

Changes = Any  #: any field of an answer


def server(name: str = "mbx1.contoso.com", roles: frozenset[Role] = MAILBOX_ONLY, dag: str | None = "DAG1") -> Server:
    return Server(
        name=name,
        roles=roles,
        dag=dag,
        site="Lyon",
        endpoint=f"http://{name}:5985/wsman",
        credential="lab",
        tags=frozenset(),
    )


def copies(**changes: Changes) -> DatabaseCopies:
    copy = {"activation_suspended": False, "copy_queue": 0, "replay_queue": 0, "lagged": False}
    answer = {
        "server": "mbx1.contoso.com",
        "mailbox_role": True,
        "dag": "DAG1",
        "databases": 1,
        "members": [
            {"server": name, "activation_blocked": False, "activation_policy": "Unrestricted"} for name in NAMES
        ],
        "copies": [
            {**copy, "database": "DB1", "server": "MBX1", "status": "Mounted", "active": True},
            {**copy, "database": "DB1", "server": "MBX2", "status": "Healthy", "active": False},
            {**copy, "database": "DB1", "server": "MBX3", "status": "Suspended", "active": False},
        ],
    }
    return DatabaseCopies.model_validate({**answer, **changes})


def copy_changed(row: int, known: DatabaseCopies | None = None, **changes: Changes) -> DatabaseCopies:
    answer = (known or copies()).model_dump()
    answer["copies"][row].update(changes)
    return DatabaseCopies.model_validate(answer)


def settings_changed(row: int, **changes: Changes) -> DatabaseCopies:
    answer = copies().model_dump()
    answer["members"][row].update(changes)
    return DatabaseCopies.model_validate(answer)


def moved() -> DatabaseCopies:
    """The copies once the active one is on MBX2."""
    return copy_changed(1, copy_changed(0, active=False, status="Healthy"), active=True, status="Mounted")


def dag(**changes: Changes) -> DagHealth:
    answer = {
        "server": "mbx1.contoso.com",
        "dag": "DAG1",
        "members": [
            {"server": name, "operational": True, "in_maintenance": False, "node_state": "Up"} for name in NAMES
        ],
        "replication": [
            {"server": "MBX1", "check": "ClusterService", "passed": True},
            {"server": "MBX1", "check": "ReplayService", "passed": True},
        ],
    }
    return DagHealth.model_validate({**answer, **changes})


def member_changed(row: int, **changes: Changes) -> DagHealth:
    answer = dag().model_dump()
    answer["members"][row].update(changes)
    return DagHealth.model_validate(answer)


def exchange(name: str = "MBX1", *, mailbox: bool = True, cas: bool = False, **changes: Changes) -> ExchangeServer:
    answer = {
        "server": name,
        "mailbox_role": mailbox,
        "client_access_role": cas,
        "version": "Version 15.0 (Build 1497.2)",
        "site": "Lyon",
        "components": [
            component("ServerWideOffline"),
            *([component("HubTransport")] if mailbox else []),
            component("PopProxy"),
        ],
    }
    return ExchangeServer.model_validate({**answer, **changes})


def component(name: str, state: str = "Active", *requesters: str) -> dict[str, Changes]:
    return {"name": name, "state": state, "requests": [{"requester": who, "state": state} for who in requesters]}


def with_component(known: ExchangeServer, name: str, state: str, *requesters: str) -> ExchangeServer:
    others = [found for found in known.model_dump()["components"] if found["name"] != name]
    return ExchangeServer.model_validate(
        {**known.model_dump(), "components": [*others, component(name, state, *requesters)]}
    )


def without_component(known: ExchangeServer, name: str) -> ExchangeServer:
    others = [found for found in known.model_dump()["components"] if found["name"] != name]
    return ExchangeServer.model_validate({**known.model_dump(), "components": others})


def windows(service: str = "MSExchangePOP3BE", start_type: str = "Automatic") -> ServerState:
    found = {"name": service, "status": "Running", "start_type": start_type, "pid": 7}
    answer = {
        "boot_time": NOW - timedelta(days=2),
        "services": [found],
        "logons": logons(),
        "reboot_pending": pending(),
    }
    return ServerState.model_validate(answer)


def state(**changes: Changes) -> ServerState:
    return ServerState.model_validate({**windows().model_dump(), **changes})


def logons(*accounts: str, since: datetime | None = NOW - timedelta(hours=1)) -> dict[str, Changes]:
    people = [{"account": account, "how": "console", "since": since} for account in accounts]
    return {"count": len(people), "people": people}


def pending(**changes: bool) -> dict[str, Changes]:
    return {"servicing": False, "windows_update": False, "file_renames": False, **changes}


def recovery(
    action: str = "RestartService",
    ago: timedelta = timedelta(hours=2),
    took: timedelta | None = timedelta(minutes=1),
    expected: timedelta | None = None,
    *,
    truncated: bool = False,
) -> RecoveryLog:
    started = NOW - ago
    ended = None if took is None else started + took
    row = {"action": action, "resource": "MSExchangePOP3BE", "started": started, "ended": ended}
    row["expected_end"] = None if expected is None else started + expected
    return RecoveryLog.model_validate({"actions": [row], "truncated": truncated})


def pop_settings(**changes: Changes) -> PopSettings:
    answer = {"server": "mbx1.contoso.com", "protocol_log_enabled": False, "log_location": "C:\\Logging\\Pop3"}
    certificate = {"name": "mbx1", "found": True, "valid_until": NOW + timedelta(days=90)}
    return PopSettings.model_validate({**answer, "certificate": certificate, **changes})


def mailbox(**changes: Changes) -> Facts:
    known = {
        "server": server(),
        "service": "MSExchangePOP3BE",
        "blocked_by_us": False,
        "clock": NOW,
        "state": windows(),
        "exchange": exchange(),
        "recovery": recovery(),
        "copies": copies(),
        "dag": dag(),
        "pop": pop_settings(),
    }
    return Facts(**{**known, **changes})


def member(**changes: Changes) -> Member:
    known = {"server": server("mbx2.contoso.com"), "clock": NOW, "state": windows(), "recovery": recovery()}
    return Member(**{**known, **changes})


def client_access(**changes: Changes) -> Facts:
    known = {
        "server": server("cas1.contoso.com", CAS_ONLY, None),
        "service": "MSExchangePOP3",
        "exchange": exchange("CAS1", mailbox=False, cas=True),
        "state": windows("MSExchangePOP3"),
        "copies": DatabaseCopies(server="cas1.contoso.com", mailbox_role=False),
        "dag": None,
        "pop": pop_settings(server="cas1.contoso.com"),
        "neighbours": (neighbour(),),
    }
    return mailbox(**{**known, **changes})


def neighbour(**changes: Changes) -> Neighbour:
    known = {
        "server": server("cas2.contoso.com", CAS_ONLY, None),
        "busy": False,
        "exchange": exchange("CAS2", mailbox=False, cas=True),
        "health": pop_health("PopCTPMonitor", "PopProxyTestMonitor"),
    }
    return Neighbour(**{**known, **changes})


def needing(value: str = "Healthy", **changes: Changes) -> Facts:
    """A Mailbox server whose monitor depends on Active Directory and on what has no health set."""
    row = {"server": "MBX1", "name": "ADMonitor", "health_set": "ad", "alert_value": value, "is_stale": False}
    health = ServerHealth.model_validate({"rows": [{**row, **changes}]})
    needs = (Dependency(name="Authentication", noted="no health set tells of it"), ACTIVE_DIRECTORY)
    return mailbox(dependencies=needs, health=health)


def pop_health(*monitors: str, **changes: Changes) -> ServerHealth:
    row = {"server": "CAS2", "health_set": "POP", "alert_value": "Healthy", "is_stale": False, **changes}
    return ServerHealth.model_validate({"rows": [{**row, "name": name} for name in monitors]})
