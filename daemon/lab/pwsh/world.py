"""A world for the stubs, healthy, from plain data: what servers there are and what is on them.

Every row has the names and values that Windows and Exchange give it; nothing is taken from what the lab answers. A test
breaks a part of it by changing the document; what can be broken, and how it is said, is in `README.md` beside this.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

VERSION = "Version 15.0 (Build 1497.2)"
FOLDER = "C:\\Program Files\\Microsoft\\Exchange Server\\V15\\Logging\\Pop3"
BOOTED = "2026-11-20T03:04:05.5Z"
STARTED = "2026-11-20T03:06:05.25Z"

#: Everything of Exchange that the scripts may call.
GRANTED = (
    "Get-ExchangeServer",
    "Get-MailboxServer",
    "Set-MailboxServer",
    "Get-MailboxDatabase",
    "Get-MailboxDatabaseCopyStatus",
    "Get-DatabaseAvailabilityGroup",
    "Test-ReplicationHealth",
    "Get-ServerHealth",
    "Invoke-MonitoringProbe",
    "Get-ServerComponentState",
    "Get-PopSettings",
    "Set-PopSettings",
    "Get-ExchangeCertificate",
)

#: Test-ReplicationHealth of 2013.
CHECKS = (
    "ClusterService",
    "ReplayService",
    "ActiveManager",
    "TasksRpcListener",
    "TcpListener",
    "ServerLocatorService",
    "DagMembersUp",
    "ClusterNetwork",
    "QuorumGroup",
    "FileShareQuorum",
    "DatabaseRedundancyCheck",
    "DatabaseAvailabilityCheck",
    "DBCopySuspended",
    "DBCopyFailed",
    "DBInitializing",
    "DBDisconnected",
    "DBLogCopyKeepingUp",
    "DBLogReplayKeepingUp",
)

_TOPOLOGY = "MSExchangeADTopology"
_COMMON_SERVICES = (_TOPOLOGY, "MSExchangeHM")
_MAILBOX_SERVICES = ("MSExchangeIS", "MSExchangeRepl", "MSExchangePOP3BE", "MSExchangeIMAP4BE")
_FRONT_SERVICES = ("MSExchangePOP3", "MSExchangeIMAP4")

_MAILBOX_MONITORS = (
    ("PopDeepTestMonitor", "POP.Protocol", "MSExchangePop3BE", "PopDeepTestProbe"),
    ("PopSelfTestMonitor", "POP.Protocol", "MSExchangePop3BE", "PopSelfTestProbe"),
    ("AverageCommandProcessingTimeGt60sMonitor", "POP", "MSExchangePop3BE", ""),
    ("StoreServiceMonitor", "Store", "", ""),
    ("ServiceHealthMSExchangeReplEndpointMonitor", "DataProtection", "", ""),
)
_FRONT_MONITORS = (
    ("PopCTPMonitor", "POP", "MSExchangePop3", "PopCTPProbe"),
    ("PopProxyTestMonitor", "POP.Proxy", "MSExchangePop3", "PopProxyTestProbe"),
    ("AverageCommandProcessingTimeGt60sMonitor", "POP", "MSExchangePop3", ""),
)
_COMMON_MONITORS = (
    ("ActiveDirectoryConnectivityMonitor", "AD", "", ""),
    ("NetworkAdapterRssMonitor", "Network", "", ""),
)
_PROXIES = ("AutoDiscoverProxy", "EwsProxy", "ImapProxy", "OwaProxy", "PopProxy")
_EVERYWHERE = ("ServerWideOffline", "Monitoring", "RecoveryActionsEnabled")
_COMPONENTS_OF = (_EVERYWHERE, ("HubTransport", "HighAvailability"), ("FrontendTransport", *_PROXIES))
#: As Get-ServerComponentState tells them.
_FIRST = ("ServerWideOffline", "HubTransport", "FrontendTransport", "Monitoring", "RecoveryActionsEnabled")
_COMPONENT_ORDER = (*_FIRST, *_PROXIES, "HighAvailability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server of the organisation: `name` is its FQDN in lower case, `dag` None for one that is in none."""

    name: str
    site: str
    mailbox: bool
    client_access: bool
    dag: str | None = None

    @property
    def short(self) -> str:
        """The name that Exchange has for it."""
        return self.name.partition(".")[0].upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database with a copy on each of `servers` (short names), active on the first."""

    name: str
    servers: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An organisation as an inventory knows it."""

    servers: Sequence[Server]
    databases: Sequence[Database] = ()
    password: str = "Pa55-of-the-lab"  # noqa: S105 - what the played Exchange accepts
    username: str = "CONTOSO\\exmedic"
    events: Mapping[str, Sequence[Json]] = field(default_factory=dict)


def world_of(site: Site, *, host: str, culture: str = "en-US") -> Json:
    """The world of a healthy organisation as the server `host` sees it. It is the caller's to change."""
    return deepcopy(
        {
            "host": host,
            "culture": culture,
            "session": {"accepts": {site.username: site.password}, "delegated": False},
            "hosts": {server.name: _host(site, server) for server in site.servers},
            "files": {},
            "exchange": {
                "granted": list(GRANTED),
                "faults": {},
                "without": {},
                "ExchangeServer": [_exchange_server(server) for server in site.servers],
                "MailboxServer": [_mailbox_server(server) for server in site.servers if server.mailbox],
                "MailboxDatabase": [_database(database, site) for database in site.databases],
                "DatabaseCopyStatusEntry": [row for database in site.databases for row in _copies(database)],
                "DatabaseAvailabilityGroup": list(_dags(site)),
                "ReplicationCheckOutcome": [row for server in site.servers for row in _checks(server)],
                "MonitorHealthEntry": [row for server in site.servers for row in _monitors(server)],
                "MonitoringProbeResult": [row for server in site.servers for row in _probes(server)],
                "ServerComponentState": [row for server in site.servers for row in _components(server)],
                "PopSettings": [_pop_settings(server) for server in site.servers],
                "ExchangeCertificate": [_certificate(server) for server in site.servers],
            },
        }
    )


def _of_roles(server: Server, common: Sequence[Any], mailbox: Sequence[Any], front: Sequence[Any]) -> list[Any]:
    return [*common, *(mailbox if server.mailbox else ()), *(front if server.client_access else ())]


def _host(site: Site, server: Server) -> Json:
    host: Json = {
        "services": _services(server),
        "processes": [
            {
                "ProcessId": 4321,
                "Name": "powershell.exe",
                "CommandLine": "powershell.exe -NoProfile",
                "CreationDate": {"$date": STARTED},
            }
        ],
        "cim": {
            "Win32_OperatingSystem": [
                {
                    "CSName": server.short,
                    "LastBootUpTime": {"$date": BOOTED.replace("Z", "+00:00")},
                    "Version": "6.3.9600",
                }
            ],
            **_logons(),
        },
        "events": list(site.events.get(server.name, ())),
        "registry": _registry(server),
        "faults": {},
    }
    if server.dag is not None:
        members = [other.short for other in site.servers if other.dag == server.dag]
        host["nodes"] = [{"Name": member, "State": "Up"} for member in members]
        host["cim"]["MSCluster_Node"] = [{"Name": member, "State": 0} for member in members]  # 0 is Up
    return host


def _services(server: Server) -> Json:
    names = _of_roles(server, _COMMON_SERVICES, _MAILBOX_SERVICES, _FRONT_SERVICES)
    # Windows tells them by name.
    return {
        name: {
            "status": "Running",
            "start_mode": "Auto",
            "pid": 2000 + 4 * number,
            "started": STARTED,
            "depends_on": [] if name == _TOPOLOGY else [_TOPOLOGY],
        }
        for number, name in enumerate(sorted(names, key=str.lower))
    }


def _registry(server: Server) -> Json:
    root = "SOFTWARE\\Microsoft\\ExchangeServer\\v15\\ServerComponentStates"
    return {
        "SYSTEM\\CurrentControlSet\\Control\\Session Manager": {"values": {"PendingFileRenameOperations": []}},
        "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing": {"values": {}},
        root: {"values": {}},
        **{
            f"{root}\\{component}": {"values": {"HealthAPI": _registry_state("Active")}}
            for component in _of_roles(server, *_COMPONENTS_OF)
        },
    }


def _registry_state(state: str, ticks: int = 639_158_000_000_000_000) -> str:
    """A requester's value in the registry: version, state and the moment in ticks."""
    return f"1:{state}:{ticks}"


def _logons() -> dict[str, list[Json]]:
    """Windows' own sessions. Nobody is logged on."""
    cim: dict[str, list[Json]] = {"Win32_LogonSession": [], "Win32_LoggedOnUser": [], "Win32_SessionProcess": []}
    log_on(cim, "999", "NT AUTHORITY\\SYSTEM", kind=0)
    log_on(cim, "71", "Window Manager\\DWM-1", kind=2)
    return cim


def log_on(cim: dict[str, list[Json]], number: str, account: str, *, kind: int, since: str = STARTED) -> None:
    """Add a logon session, with a process in it, to what CIM tells. `kind`: 2 the console, 10 Remote Desktop."""
    domain, _, name = account.partition("\\")
    cim["Win32_LogonSession"].append({"LogonId": number, "LogonType": kind, "StartTime": {"$date": since}})
    cim["Win32_LoggedOnUser"].append({"Antecedent": {"Domain": domain, "Name": name}, "Dependent": {"LogonId": number}})
    cim["Win32_SessionProcess"].append({"Antecedent": {"LogonId": number}, "Dependent": {"Handle": "77"}})


def _exchange_server(server: Server) -> Json:
    return {
        "Name": server.short,
        "Fqdn": server.name,
        "Identity": server.short,
        "Site": f"contoso.lab/Configuration/Sites/{server.site}",
        "ServerRole": ", ".join(_of_roles(server, (), ("Mailbox",), ("ClientAccess",))),
        "AdminDisplayVersion": VERSION,
        "IsMailboxServer": server.mailbox,
        "IsClientAccessServer": server.client_access,
        "IsEdgeServer": False,
        "Edition": "Enterprise",
        "WhenCreated": "2015-04-01T10:00:00+00:00",
    }


def _mailbox_server(server: Server) -> Json:
    return {
        "Name": server.short,
        "Identity": server.short,
        "DatabaseAvailabilityGroup": server.dag,
        "DatabaseCopyActivationDisabledAndMoveNow": False,
        "DatabaseCopyAutoActivationPolicy": "Unrestricted",
        "AdminDisplayVersion": VERSION,
    }


def _database(database: Database, site: Site) -> Json:
    holder = next(server for server in site.servers if server.short == database.servers[0])
    return {
        "Name": database.name,
        "Identity": database.name,
        "Server": database.servers[0],
        "MasterServerOrAvailabilityGroup": holder.dag or database.servers[0],
        "Servers": list(database.servers),
        "ReplayLagTimes": dict.fromkeys(database.servers, "00:00:00"),
        "Recovery": False,
        "ReplicationType": "Remote" if len(database.servers) > 1 else "None",
    }


def _copies(database: Database) -> Iterator[Json]:
    for number, server in enumerate(database.servers):
        yield {
            "Name": f"{database.name}\\{server}",
            "Identity": f"{database.name}\\{server}",
            "DatabaseName": database.name,
            "MailboxServer": server,
            "ActiveDatabaseCopy": database.servers[0].lower(),
            "Status": "Healthy" if number else "Mounted",
            "ActiveCopy": number == 0,
            "ActivationSuspended": False,
            "ActivationDisabledAndMoveNow": False,
            "AutoActivationPolicy": "Unrestricted",
            "CopyQueueLength": 0,
            "ReplayQueueLength": 0,
            "LastLogInfoIsStale": False,
            "ReplaySuspended": False,
            "ActivationPreference": number + 1,
            "ContentIndexState": "Healthy",
            "ReplayLagStatus": {"configured": "00:00:00", "enabled": False},
            "LastInspectedLogTime": "2026-11-29T23:00:00Z",
        }


def _dags(site: Site) -> Iterator[Json]:
    for name in dict.fromkeys(server.dag for server in site.servers if server.dag is not None):
        members = [server.short for server in site.servers if server.dag == name]
        yield {
            "Name": name,
            "Identity": name,
            "Servers": members,
            "OperationalServers": members,
            "ServersInMaintenance": [],
            "PrimaryActiveManager": members[0],
            "WitnessServer": "files.contoso.lab",
            "WitnessShareInUse": "None" if len(members) % 2 else "Primary",
        }


def _checks(server: Server) -> Iterator[Json]:
    if server.dag is not None:
        for check in CHECKS:
            yield {"Server": server.short, "Check": check, "CheckId": check, "Result": "Passed", "Error": None}


def _monitors(server: Server) -> Iterator[Json]:
    for name, health_set, resource, _ in _of_roles(server, _COMMON_MONITORS, _MAILBOX_MONITORS, _FRONT_MONITORS):
        yield {
            "Server": server.short,
            "CurrentHealthSetState": "NotApplicable",
            "Name": name,
            "TargetResource": resource,
            "HealthSetName": health_set,
            "HealthGroupName": "Service Components",
            "AlertValue": "Healthy",
            "ServerComponentName": "None",
            "FirstAlertObservedTime": "0001-01-01T00:00:00",
            "LastTransitionTime": "2026-11-20T03:14:05Z",
            "LastExecutionTime": "2026-11-30T02:00:00Z",
            "LastExecutionResult": "Succeeded",
            "IsHaImpacting": False,
            "IsStale": False,
            "Error": "",
            "Exception": "",
        }


def _probes(server: Server) -> Iterator[Json]:
    for _, health_set, resource, probe in _of_roles(server, (), _MAILBOX_MONITORS, _FRONT_MONITORS):
        if probe:
            yield {
                "Server": server.short,
                "MonitorIdentity": f"{health_set}\\{probe}",
                "RequestId": "7c1e2d9a-1111-4222-8333-123456789abc",
                "ExecutionStartTime": "2026-11-30T02:00:00Z",
                "ExecutionEndTime": "2026-11-30T02:00:02Z",
                "Error": "",
                "Exception": "",
                "ResultType": "Succeeded",
                "ResultName": f"{probe}/{resource}",
                "RetryCount": 0,
                "FailureContext": "",
                "ExecutionContext": "",
            }


def _components(server: Server) -> Iterator[Json]:
    for name in sorted(_of_roles(server, *_COMPONENTS_OF), key=_COMPONENT_ORDER.index):
        entry = {"Component": name, "Requester": "HealthAPI", "State": "Active", "Timestamp": BOOTED}
        yield {
            "Component": name,
            "ServerFqdn": server.name,
            "State": "Active",
            "LocalStates": [entry],
            "RemoteStates": [entry],
        }


def _pop_settings(server: Server) -> Json:
    return {
        "Server": server.short,
        "Identity": f"{server.short}/1",
        "ProtocolLogEnabled": False,
        "LogFileLocation": FOLDER,
        "X509CertificateName": "mail.contoso.lab",
        "LoginType": "SecureLogin",
    }


def _certificate(server: Server) -> Json:
    return {
        "Server": server.short,
        "Thumbprint": "A1B2C3D4E5F6A1B2C3D4E5F6A1B2C3D4E5F6A1B2",
        "Subject": "CN=mail.contoso.lab",
        "CertificateDomains": ["mail.contoso.lab", server.name],
        "Services": "IMAP, POP, IIS, SMTP",
        "Status": "Valid",
        "NotBefore": "2026-01-01T00:00:00Z",
        "NotAfter": "2028-01-01T00:00:00Z",
        "HasPrivateKey": True,
    }
