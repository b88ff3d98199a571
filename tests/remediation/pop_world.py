"""The world with all of POP in it: front ends with their monitors and probes, protocol logs, and who serves whom.

An `Ill` is one sick monitor and what cures it. Effects tell the service: `restart MSExchangePOP3`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.ports import Call, Reply, ReplyKind
from daemon.domain.values import moment, timestamp
from daemon.testing.clock import ManualClock
from tests.remediation.world import CAS1, Crash, Daemon, World

FRONT, BACK = "MSExchangePOP3", "MSExchangePOP3BE"
CTP, PROXY, SLOW = "PopCTPMonitor", "PopProxyTestMonitor", "AverageCommandProcessingTimeGt60sMonitor"
DEEP, SELF = "PopDeepTestMonitor", "PopSelfTestMonitor"
HEALTH_SETS = {CTP: "POP", SLOW: "POP", PROXY: "POP.Proxy", DEEP: "POP.Protocol", SELF: "POP.Protocol"}
COLUMNS = [
    *("dateTime", "sessionId", "seqNumber", "sIp", "cIp", "user", "duration", "rqsize", "rpsize"),
    *("command", "parameters", "context", "puid"),
]


@dataclass
class Ill:
    """A sick monitor. `cure` is "restart", "reboot", the name of the server whose healing heals it, or nothing."""

    monitor: str
    cure: str = ""
    restarts: int = 1  #: how many it takes
    after: timedelta = timedelta(0)  #: how long the monitor needs to turn Healthy once it is cured
    over_at: datetime | None = None


@dataclass
class Pop:
    """POP on one server."""

    ills: list[Ill] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)  #: AlertValue of monitors that are not ill
    stale: set[str] = field(default_factory=set)
    rows_say: dict[str, str] = field(default_factory=dict)  #: AlertValue, whatever the probe shows
    second_rows: dict[str, str] = field(default_factory=dict)  #: AlertValue of a monitor's second TargetResource
    log: bool = False  #: ProtocolLogEnabled
    logging: set[str] = field(default_factory=set)  #: the services that read it as on when they started
    down: set[str] = field(default_factory=set)  #: services that do not run
    manual: set[str] = field(default_factory=set)  #: services that do not start by themselves
    processes: dict[str, tuple[int, datetime | None]] = field(default_factory=dict)  #: of its services, by name
    backends: tuple[str, ...] = ()  #: who serves its probe
    rows: list[tuple[datetime, list[str]]] = field(default_factory=list)
    columns: list[str] = field(default_factory=lambda: list(COLUMNS))
    truncated: bool = False
    files: int = 1


class PopWorld(World):
    """See the module."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.pop = {name: Pop() for name in self.hosts}
        self.hosts[CAS1].skew = timedelta(minutes=-11)

    def monitors(self, server: str) -> list[str]:
        """Those that a server of its roles has."""
        around = self.around[server]
        front = [CTP, PROXY] if around.client_access else []
        return [*front, *([DEEP, SELF] if around.mailbox else []), SLOW]

    def ill(self, server: str, monitor: str) -> bool:
        """Whether a monitor is sick now."""
        return any(ill.monitor == monitor and self._lasts(ill) for ill in self.pop[server].ills)

    def _lasts(self, ill: Ill) -> bool:
        if ill.cure in self.pop:
            return self.ill(ill.cure, DEEP)
        return ill.over_at is None or ill.over_at > self.clock.now()

    def _cure(self, server: str, how: str) -> None:
        for ill in self.pop[server].ills:
            if ill.cure == how and ill.over_at is None:
                ill.restarts -= 1
                if ill.restarts <= 0:
                    ill.over_at = self.clock.now() + ill.after

    def _answer(self, call: Call) -> Reply:
        scripts: dict[str, Callable[[Call], dict[str, Any] | None]] = {
            "pop_settings": self._settings,
            "set_protocol_log": self._set_log,
            "protocol_log": self._log,
        }
        if call.script not in scripts:
            return super()._answer(call)
        if "not_after" in call.args and self.local(call.executor) > moment(str(call.args["not_after"])):
            return Reply(kind=ReplyKind.FAILED, result={}, error="expired", detail="too late")
        result = scripts[call.script](call)
        if result is None:
            return Reply(kind=ReplyKind.FAILED, result={}, error="conflict", detail="somebody else changed it")
        return Reply(kind=ReplyKind.OK, result=result, host=call.executor, clock=self.local(call.executor))

    def _health(self, call: Call) -> dict[str, Any]:
        server, wanted = str(call.args["server"]), [str(each).lower() for each in call.args["health_sets"]]
        pop = self.pop[server]
        return {
            "rows": [
                *self._dependencies(call),
                *(
                    {
                        "server": server.partition(".")[0].upper(),
                        "health_set": HEALTH_SETS[name],
                        "name": name,
                        "alert_value": value,
                        "is_stale": name in pop.stale,
                    }
                    for name in self.monitors(server)
                    for value in (self._row(server, name), pop.second_rows.get(name))
                    if value is not None
                    if any(fnmatchcase(HEALTH_SETS[name].lower(), each) for each in wanted)
                ),
            ]
        }

    def _row(self, server: str, monitor: str) -> str:
        pop = self.pop[server]
        value = "Unhealthy" if self.ill(server, monitor) else pop.values.get(monitor, "Healthy")
        return pop.rows_say.get(monitor, value)

    def _probe(self, call: Call) -> dict[str, Any]:
        server, probe = str(call.args["server"]), str(call.args["probe"])
        result = "Failed" if self.ill(server, probe.replace("Probe", "Monitor")) else "Succeeded"
        started = self.local(server)
        if FRONT in self.pop[server].logging:
            self._write(server)
        self.clock.advance(3)
        times = {"started": timestamp(started), "ended": timestamp(self.local(server))}
        row = {"server": server, "monitor_identity": "x", "result_type": result, "error": "", **times}
        return {"objects": [row], "warnings": []}

    def _write(self, server: str) -> None:
        """The lines of the probe's session, among those of users."""
        pop, at = self.pop[server], self.local(server)
        for number, (user, backends) in enumerate((("ada", ["mbx3.contoso.lab"]), ("HealthMailbox1f", pop.backends))):
            for backend in backends or [""]:
                context = f'R=ok;Msg="Proxy:{backend}:1995:SSL"' if backend else "R=ok"
                cells = {"sessionId": str(number), "user": user, "command": "pass", "context": context}
                pop.rows.append((at, [cells.get(name, "") for name in pop.columns]))

    def _settings(self, call: Call) -> dict[str, Any]:
        server = str(call.args["server"])
        log = self.pop[server].log
        return {**super()._settings(call), "protocol_log_enabled": log}

    def _set_log(self, call: Call) -> dict[str, Any] | None:
        server, value = str(call.args["server"]), bool(call.args["value"])
        pop = self.pop[server]
        before = pop.log
        if before not in (value, call.args["expected"]):
            return None
        if before != value:
            pop.log = value
            self.effects.append(("log on" if value else "log off", server))
        return {"server": server, "before": before, "after": value, "changed": before != value}

    def _log(self, call: Call) -> dict[str, Any]:
        pop = self.pop[call.executor]
        since, until = moment(str(call.args["since"])), moment(str(call.args["until"]))
        at = pop.columns.index("user") if "user" in pop.columns else 0
        rows = [
            cells
            for when, cells in pop.rows
            if since <= when <= until and any(fnmatchcase(cells[at], users) for users in call.args["users"])
        ]
        return {"files": pop.files, "columns": pop.columns, "rows": rows, "truncated": pop.truncated}

    def services(self, server: str) -> list[str]:
        """Those of POP that it has."""
        around = self.around[server]
        return [*([FRONT] if around.client_access else []), *([BACK] if around.mailbox else [])]

    def _state(self, call: Call) -> dict[str, Any]:
        answer, pop, absent = super()._state(call), self.pop[call.executor], {FRONT, BACK}
        absent.difference_update(self.services(call.executor))
        services = [each for each in answer["services"] if each["name"] not in absent]
        for each in services:
            pid, since = pop.processes.get(each["name"], (each["pid"], None))
            started = each["started_at"] if since is None else timestamp(since + self.hosts[call.executor].skew)
            each.update(pid=pid, started_at=started)
            if each["name"] in pop.down:
                each.update(status="Stopped", pid=0, started_at=None)
            if each["name"] in pop.manual:
                each.update(start_type="Manual")
        return {**answer, "services": services}

    def starts(self, server: str, service: str) -> None:
        """A service reads its settings when it starts, and only then."""
        host, pop = self.hosts[server], self.pop[server]
        pop.processes[service] = (host.pid, host.service_since)
        (pop.logging.add if pop.log else pop.logging.discard)(service)

    def _restart(self, call: Call) -> dict[str, Any]:
        server, service = call.executor, str(call.args["service"])
        host, pop = self.hosts[server], self.pop[server]
        for each in self.services(server):
            pop.processes.setdefault(each, (host.pid, host.service_since))
        super()._restart(call)
        self.effects[-1] = (f"restart {service}", server)
        self.starts(server, service)
        self._cure(server, "restart")
        return {"service": self._state(replace(call, args={"services": [service]}))["services"][0]}

    def reboot(self, call: Call) -> dict[str, Any] | None:
        server = str(call.args["server"])
        answer = super().reboot(call)
        if answer is None:
            return None
        for service in self.services(server):
            self.starts(server, service)
        self._cure(server, "reboot")
        return answer


class PopDaemon(Daemon):
    """The daemon on that world."""

    world: PopWorld

    def __init__(self, world: PopWorld, *rest: Any, **more: Any) -> None:  # noqa: ANN401 - the arguments of Daemon
        super().__init__(world, *rest, **more)

    async def sick(self, monitor: str, cure: str = "", server: str = CAS1, **more: Any) -> Ill:  # noqa: ANN401 - of Ill
        """A monitor turns sick, and its alert comes in."""
        ill = Ill(monitor, cure, **more)
        self.world.pop[server].ills.append(ill)
        await self.alert(server, monitor, HEALTH_SETS[monitor])
        return ill

    async def outlive(self, until: Callable[[Incident], bool] | None = None) -> Incident:
        """Drive on through deaths of the process."""
        for _ in range(20):
            try:
                return await self.drive(until)
            except Crash:
                continue
        raise AssertionError("it dies again and again")

    async def settle_down(self) -> None:
        """Give turns until no incident is open."""
        for _ in range(400):
            if not await self.store.incidents(IncidentStatus.OPEN):
                return
            await self.turn()
        raise AssertionError("incidents stay open")

    def did(self, server: str = CAS1) -> list[str]:
        """What was done to a server, in order."""
        return [what for what, where in self.world.effects if where == server]
