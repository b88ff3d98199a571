"""The lab's Exchange organisation as data: contoso.lab with its servers, services, monitors, databases and copies.

Times are lab time. What a server shows of them is on its own clock, which is `skew` ahead: clocks of real servers
differ, and nobody may compare a time of one with a time of another.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from daemon.lab.faults import SICKNESS, Fault, Injected
from daemon.lab.pop_log import PopLog

DOMAIN = "contoso.lab"
MAILBOX = "mailbox"
CLIENT_ACCESS = "client_access"

BACK_END = "MSExchangePOP3BE"
FRONT_END = "MSExchangePOP3"
TOPOLOGY = "MSExchangeADTopology"
INFORMATION_STORE = "MSExchangeIS"
REPLICATION = "MSExchangeRepl"
HEALTH_MANAGER = "MSExchangeHM"

CTP_MONITOR = "PopCTPMonitor"
COUNTER_MONITOR = "AverageCommandProcessingTimeGt60sMonitor"


class Power(StrEnum):
    """Where a server stands between two boots. It answers WinRM while `UP` or `GOING_DOWN`."""

    UP = "up"
    GOING_DOWN = "going_down"
    OFF = "off"
    STARTING = "starting"


@dataclass(slots=True, kw_only=True)
class Service:
    """A Windows service. `pid` 0 and `started_at` None while it does not run."""

    name: str
    start_type: str = "Automatic"
    status: str = "Running"
    pid: int = 0
    started_at: datetime | None = None
    depends_on: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.status == "Running"


@dataclass(slots=True, kw_only=True)
class Monitor:
    """A monitor and its probe. `service` is what it watches; empty: something that never fails here.

    `counter`: it watches a performance counter of the service, so only a fault that names it makes it sick.
    `turn` counts planned changes of `value`, so that an outdated plan is recognised.
    """

    name: str
    health_set: str
    probe: str = ""
    service: str = ""
    counter: bool = False
    value: str = "Healthy"
    last_transition: datetime
    stale: bool = False
    sick: bool = False
    turn: int = 0


@dataclass(slots=True, kw_only=True)
class Copy:
    """A database copy on a server, as it is while passive."""

    status: str = "Healthy"
    activation_suspended: bool = False
    copy_queue: int = 0
    replay_queue: int = 0
    lagged: bool = False


@dataclass(slots=True, kw_only=True)
class Database:
    """A database: `active` names the server of its active copy, `state` that copy's status."""

    name: str
    copies: dict[str, Copy]
    active: str
    state: str = "Mounted"
    turn: int = 0


@dataclass(slots=True, kw_only=True)
class Machine:
    """A server. `name` is its FQDN in lower case, `backend` the one its front end hands the probe's connection to."""

    name: str
    site: str
    roles: frozenset[str]
    dag: str | None
    skew: timedelta
    boot_time: datetime
    restart_requested_at: datetime | None = None
    restart_comment: str | None = None
    power: Power = Power.UP
    services: dict[str, Service] = field(default_factory=dict)
    monitors: list[Monitor] = field(default_factory=list)
    activation_blocked: bool = False
    activation_policy: str = "Unrestricted"
    faults: dict[Fault, Injected] = field(default_factory=dict)
    backend: "Machine | None" = field(default=None, repr=False, compare=False)
    pop_log: PopLog = field(default_factory=PopLog)

    @property
    def answering(self) -> bool:
        """Whether its WinRM endpoint takes connections."""
        return self.power in (Power.UP, Power.GOING_DOWN)

    @property
    def mailbox(self) -> bool:
        """Whether it may hold database copies."""
        return MAILBOX in self.roles

    @property
    def pop_service(self) -> str:
        """The POP service that faults strike unless told otherwise."""
        return BACK_END if self.mailbox else FRONT_END

    def runs(self, *services: str) -> bool:
        """Whether it is up and these services run."""
        return self.answering and all(self.services[name].running for name in services if name in self.services)

    @property
    def shown_roles(self) -> frozenset[str]:
        """The roles that the server itself answers, which are not those of the inventory while a fault says so."""
        if Fault.ROLES_DIFFER not in self.faults:
            return self.roles
        both = frozenset({MAILBOX, CLIENT_ACCESS})
        return frozenset({MAILBOX}) if self.roles == both else both

    @property
    def node_state(self) -> str:
        """Its state as a node of the DAG's cluster."""
        if not self.answering:
            return "Down"
        if Fault.NODE_PAUSED in self.faults:
            return "Paused"
        return "Up" if self.runs(REPLICATION) else "Joining"

    def ailing(self, monitor: Monitor) -> bool:
        """Whether a fault makes sick what that monitor watches."""
        if any(fault in SICKNESS and _strikes(injected, monitor) for fault, injected in self.faults.items()):
            return True
        dependency = self.faults.get(Fault.DEPENDENCY_SICK)
        if dependency is not None and dependency.health_set.lower() == monitor.health_set.lower():
            return True
        behind = self.backend if Fault.BACKEND_SICK in self.faults and monitor.name == CTP_MONITOR else None
        return behind is not None and any(behind.ailing(each) for each in behind.back_end_monitors)

    def sick(self, monitor: Monitor) -> bool:
        """Whether what a monitor watches does not do its work: it is sick, or it does not run."""
        watched = "" if monitor.counter else monitor.service
        if self.ailing(monitor) or (watched and not self.runs(watched)):
            return True
        behind = self.backend if Fault.BACKEND_SICK in self.faults and monitor.name == CTP_MONITOR else None
        return behind is not None and not behind.runs(BACK_END)

    def hangs(self, monitor: Monitor) -> bool:
        """Whether what a monitor watches takes connections and never answers, so that its probe waits for long."""
        hung = self.faults.get(Fault.HANGING)
        watched = self.services.get(monitor.service)
        pending = watched is not None and watched.status in ("StopPending", "StartPending")
        return pending or (hung is not None and _strikes(hung, monitor))

    @property
    def back_end_monitors(self) -> list[Monitor]:
        """The monitors of its POP back end."""
        return [monitor for monitor in self.monitors if monitor.service == BACK_END and not monitor.counter]


@dataclass(slots=True)
class Organisation:
    """All servers and databases."""

    machines: dict[str, Machine]
    databases: dict[str, Database]

    def find(self, name: object) -> Machine | None:
        """The server of that FQDN or short name, without regard to case."""
        folded = str(name).lower()
        return self.machines.get(folded) or self.machines.get(f"{folded}.{DOMAIN}")

    def members(self, dag: str | None) -> Iterator[Machine]:
        """The servers of a DAG; none for None."""
        return (machine for machine in self.machines.values() if dag is not None and machine.dag == dag)

    def copies_on(self, machine: Machine) -> list[Database]:
        """The databases that have a copy on a server."""
        return [database for database in self.databases.values() if machine.name in database.copies]

    def rename(self, database: str, name: str) -> None:
        """Give a database another name; it keeps its place."""
        self.databases[database].name = name
        self.databases = {each.name: each for each in self.databases.values()}

    def active_on(self, machine: Machine) -> list[Database]:
        """The databases whose active copy is on a server, mounted or not."""
        return [database for database in self.databases.values() if database.active == machine.name]


def _strikes(fault: Injected, monitor: Monitor) -> bool:
    if fault.monitor:
        return fault.monitor == monitor.name
    return fault.service == monitor.service and not monitor.counter


def recovery_seconds(machine: Machine, monitor: Monitor) -> float:
    """How long after the cure a monitor turns Healthy: one to four minutes, always the same for one monitor."""
    return 60 + zlib.crc32(f"{machine.name}/{monitor.name}".encode()) % 181


_SERVICES = {
    MAILBOX: (TOPOLOGY, INFORMATION_STORE, REPLICATION, HEALTH_MANAGER, BACK_END, "MSExchangeIMAP4BE"),
    CLIENT_ACCESS: (TOPOLOGY, HEALTH_MANAGER, FRONT_END, "MSExchangeIMAP4"),
}

_DEPENDENCIES = (
    ("ActiveDirectoryConnectivityMonitor", "AD", "", ""),
    ("NetworkAdapterRssMonitor", "Network", "", ""),
)

#: (monitor, health set, probe, service) of each role. Dependencies are health sets of their own.
_MONITORS = {
    MAILBOX: (
        *_DEPENDENCIES,
        ("PopDeepTestMonitor", "POP.Protocol", "PopDeepTestProbe", BACK_END),
        ("PopSelfTestMonitor", "POP.Protocol", "PopSelfTestProbe", BACK_END),
        (COUNTER_MONITOR, "POP", "", BACK_END),
        ("StoreServiceMonitor", "Store", "", INFORMATION_STORE),
        ("ServiceHealthMSExchangeReplEndpointMonitor", "DataProtection", "", REPLICATION),
    ),
    CLIENT_ACCESS: (
        *_DEPENDENCIES,
        (CTP_MONITOR, "POP", "PopCTPProbe", FRONT_END),
        ("PopProxyTestMonitor", "POP.Proxy", "PopProxyTestProbe", FRONT_END),
        (COUNTER_MONITOR, "POP", "", FRONT_END),
    ),
}

#: Whom the front end of a server hands the probe's connection to.
_BACKENDS = {"cas1": "mbx1", "cas2": "mbx2", "cas3": "mbx5", "multi1": "multi1"}

#: (short name, site, roles, DAG, seconds its clock is ahead).
_SERVERS = (
    ("mbx1", "Lyon", (MAILBOX,), "DAG1", 0),
    ("mbx2", "Lyon", (MAILBOX,), "DAG1", 180),
    ("mbx3", "Lyon", (MAILBOX,), "DAG1", 0),
    ("mbx4", "Lyon", (MAILBOX,), "DAG2", 0),
    ("mbx5", "Nantes", (MAILBOX,), "DAG2", -150),
    ("mbx6", "Nantes", (MAILBOX,), "DAG2", 0),
    ("cas1", "Lyon", (CLIENT_ACCESS,), None, 0),
    ("cas2", "Lyon", (CLIENT_ACCESS,), None, 0),
    ("cas3", "Nantes", (CLIENT_ACCESS,), None, 0),
    ("multi1", "Nantes", (MAILBOX, CLIENT_ACCESS), None, 0),
    ("alone1", "Lyon", (MAILBOX,), None, 0),
)

_DATABASES_A_SERVER = 2
#: Copies of each database; else one on every member. Where it is two, blocking a server leaves one that may activate.
_COPIES_IN = {"DAG2": 2}


def contoso(now: datetime) -> Organisation:
    """The organisation, healthy, booted some days ago."""
    machines = {}
    for number, (short, site, roles, dag, ahead) in enumerate(_SERVERS):
        booted = now - timedelta(days=9, hours=number)
        machine = Machine(
            name=f"{short}.{DOMAIN}",
            site=site,
            roles=frozenset(roles),
            dag=dag,
            skew=timedelta(seconds=ahead),
            boot_time=booted,
        )
        machines[machine.name] = machine
        for role in roles:
            _install(machine, role, booted)
    for front, back in _BACKENDS.items():
        machines[f"{front}.{DOMAIN}"].backend = machines[f"{back}.{DOMAIN}"]
    return Organisation(machines, _databases(list(machines.values())))


def _install(machine: Machine, role: str, booted: datetime) -> None:
    """Give a server the services and monitors of a role, once each."""
    for name in _SERVICES[role]:
        pid = 2000 + 4 * len(machine.services)
        depends = () if name == TOPOLOGY else (TOPOLOGY,)
        service = Service(name=name, pid=pid, started_at=booted + timedelta(minutes=2), depends_on=depends)
        machine.services.setdefault(name, service)
    known = {(monitor.name, monitor.service) for monitor in machine.monitors}
    for name, health_set, probe, service_name in _MONITORS[role]:
        if (name, service_name) not in known:
            machine.monitors.append(
                Monitor(
                    name=name,
                    health_set=health_set,
                    probe=probe,
                    service=service_name,
                    counter=name == COUNTER_MONITOR,
                    last_transition=booted + timedelta(minutes=10),
                )
            )


def _databases(machines: list[Machine]) -> dict[str, Database]:
    """Two databases active on each Mailbox server, with copies on that and the next members of its DAG."""
    databases = {}
    for machine in machines:
        if not machine.mailbox:
            continue
        members = [other for other in machines if machine.dag is not None and other.dag == machine.dag] or [machine]
        first = members.index(machine)
        # The active copy first, then round robin.
        preference = (members[first:] + members[:first])[: _COPIES_IN.get(machine.dag or "", len(members))]
        for number in range(1, _DATABASES_A_SERVER + 1):
            name = f"{machine.name.partition('.')[0].upper()}-DB{number}"
            databases[name] = Database(
                name=name, copies={member.name: Copy() for member in preference}, active=machine.name
            )
    return databases
