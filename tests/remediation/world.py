"""A small world for ladders on virtual time: a DAG of three servers behind the Shell port, and the daemon's own parts.

The clock stands still but for `Daemon.drive`, which moves it to the next timer. A `Mishap` says what befalls the next
call of a script. `Crash` is the death of the process: it passes through everything, and a new `Daemon` on the same
store is the restart.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Any, TypeVar

from daemon.adapters.pause_file import PauseFile
from daemon.alerts.deferral import Deferral
from daemon.alerts.routing import Dispatch
from daemon.config.guardrails import Budgets, Safety, SharedCause, Storms
from daemon.config.settings import Settings
from daemon.domain.alerts import Alert, Received, Source
from daemon.domain.audit import AuditRow
from daemon.domain.incidents import Incident, IncidentStatus, Step
from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.ports import Call, Permit, Reply, ReplyKind
from daemon.domain.values import moment, timestamp
from daemon.domain.windows import Window
from daemon.exchange.launch import ON_THEIR_OWN
from daemon.exchange.silences import AttentiveShell
from daemon.operators.commands import Operators
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.engine import Engine
from daemon.remediation.incidents.ladders import Ladders
from daemon.remediation.incidents.opening import Family
from daemon.remediation.runner.services import Services
from daemon.remediation.runner.turn import Turn
from daemon.testing.clock import ManualClock
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.model import Definition
from tests.remediation.surroundings import Surroundings

READS = {"server_health", "invoke_probe", "database_copies", "server_state", "step_running"}
MBX1, MBX2, MBX3, ALONE = (f"{name}.contoso.lab" for name in ("mbx1", "mbx2", "mbx3", "alone1"))
CAS1, CAS2 = "cas1.contoso.lab", "cas2.contoso.lab"
DAG = (MBX1, MBX2, MBX3)
EACH_FOR_ITSELF = SharedCause(servers=6, share=1.0, settling=1.0)  #: no shared cause but for all of them at once
RUNBOOKS = load_runbooks(shipped_directory())
Opens = TypeVar("Opens", Dispatch, Deferral)


class Crash(BaseException):
    """The process died here."""


class Mishap(Enum):
    """What befalls a call."""

    ANSWER_LOST = auto()  # done, no answer
    VANISHED = auto()  # sent, never done, no answer
    UNREACHABLE = auto()
    FAILED = auto()
    BROKEN = auto()  # the script failed by itself, before it had done anything
    GARBAGE = auto()
    CRASH_BEFORE = auto()  # the process dies before it is sent
    CRASH_AFTER = auto()  # the process dies after it was done, before the answer


_NOES = {
    Mishap.FAILED: ("failed", "the script said no"),
    Mishap.BROKEN: ("broken", "You cannot call a method on a null-valued expression."),
}


@dataclass
class Host:
    """One server of the world."""

    name: str
    skew: timedelta = timedelta(0)
    sick: bool = False
    cured_by: str = ""  # "restart", "reboot" or nothing
    monitor: str = "Healthy"
    also: tuple[str, ...] = ()  # other monitors that are as healthy
    blocked: bool = False
    policy: str = "Unrestricted"
    start_type: str = "Automatic"
    service_status: str = "Running"
    pid: int = 100
    service_since: datetime | None = None
    booted: datetime | None = None
    up_at: datetime | None = None  # down until then
    stuck: set[str] = field(default_factory=set)
    comes_back: bool = True
    logged_on: tuple[str, ...] = ()
    reboot_pending: bool = False
    unwell: dict[str, str] = field(default_factory=dict)  # health sets that POP depends on, and how their monitor is
    opens: tuple[str, str] = ("", "")  # the error kind and words with which it opens no Exchange session
    reason: str = ""  # why its probe fails, as it says
    certificate: dict[str, Any] | None = None  # None: an older script, which does not tell
    says_who: bool = True  # False: an older script, which does not tell who is logged on
    restarts_readable: bool = True


class World:
    """The servers and what was done to them; a `Shell`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        start = clock.now() - timedelta(days=3)
        self.hosts = {name: Host(name, booted=start, service_since=start) for name in (*DAG, ALONE, CAS1, CAS2)}
        self.hosts[MBX1].skew = timedelta(minutes=7)
        self.members: tuple[str, ...] = DAG
        self.around = {
            name: Surroundings(
                name,
                mailbox=name not in (CAS1, CAS2),
                client_access=name in (CAS1, CAS2),
                dag=DAG if name in DAG else (),
            )
            for name in self.hosts
        }
        self.active = {"DB1": MBX1, "DB2": MBX1, "DB3": MBX2, "DBX": ALONE}
        self.two_copies = False  #: so that blocked activation makes DatabaseAvailabilityCheck fail
        self.moving: dict[str, datetime] = {}
        self.copy_status: dict[tuple[str, str], str] = {}
        self.effects: list[tuple[str, str]] = []
        self.marks: set[tuple[str, str]] = set()
        self.mishaps: dict[str, list[Mishap]] = {}
        self.calls: list[Call] = []

    def befall(self, script: str, *mishaps: Mishap) -> None:
        """The next calls of a script end like this."""
        self.mishaps.setdefault(script, []).extend(mishaps)

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """The Shell port."""
        self.calls.append(call)
        mishap = self.mishaps[call.script].pop(0) if self.mishaps.get(call.script) else None
        self._pass_time()
        if mishap is Mishap.CRASH_BEFORE:
            raise Crash
        if mishap is Mishap.UNREACHABLE or not self._up(call.executor):
            return Reply(kind=ReplyKind.UNREACHABLE, result={}, detail="connection refused")
        if permit is not None:
            with permit() as allowed:
                if not allowed:
                    return Reply(kind=ReplyKind.WITHHELD, result={}, detail="withheld")
        error, words = self._no(call, mishap)
        if error:
            return Reply(kind=ReplyKind.FAILED, result={}, error=error, detail=words)
        if mishap is Mishap.VANISHED:
            self.marks.add((call.executor, call.step_id))  # it began, and its client was gone before Exchange did it
            return Reply(kind=ReplyKind.UNKNOWN, result={}, detail="no answer")
        reply = self._answer(call)
        if mishap is Mishap.CRASH_AFTER:
            raise Crash
        if mishap is Mishap.ANSWER_LOST:
            return Reply(kind=ReplyKind.UNKNOWN, result={}, detail="no answer")
        if mishap is Mishap.GARBAGE:
            return Reply(kind=ReplyKind.OK, result={"what": "?"}, clock=reply.clock)
        return reply

    def _no(self, call: Call, mishap: Mishap | None) -> tuple[str, str]:
        opens = ("", "") if call.script in ON_THEIR_OWN else self.hosts[call.executor].opens
        return opens if mishap is None or any(opens) else _NOES.get(mishap, opens)

    async def close(self) -> None:
        """Nothing to close."""

    def local(self, name: str) -> datetime:
        """A server's own clock."""
        return self.clock.now() + self.hosts[name].skew

    def _up(self, name: str) -> bool:
        up_at = self.hosts[name].up_at
        return up_at is None or up_at <= self.clock.now()

    def _pass_time(self) -> None:
        for database, at in list(self.moving.items()):
            if at <= self.clock.now():
                home = self.active[database]
                others = [h for h in (MBX1, MBX2, MBX3) if h != home and not self.hosts[h].blocked and self._up(h)]
                self.active[database] = others[0]
                del self.moving[database]

    def _answer(self, call: Call) -> Reply:
        scripts: dict[str, Callable[[Call], dict[str, Any] | None]] = {
            "server_health": self._health,
            "pop_settings": self._settings,
            "invoke_probe": self._probe,
            "database_copies": self._copies,
            "set_activation": self._set_activation,
            "server_state": self._state,
            "restart_service": self._restart,
            "reboot": self.reboot,
            "step_running": self._step_running,
            "exchange_server": lambda call: self.around[str(call.args["server"])].exchange_server(),
            "dag_health": self._dag_health,
            "recovery_log": lambda call: self.around[call.executor].recovery_log(),
        }
        if "not_after" in call.args and self.local(call.executor) > moment(str(call.args["not_after"])):
            return Reply(kind=ReplyKind.FAILED, result={}, error="expired", detail="too late")
        result = scripts[call.script](call)
        if result is None:
            return Reply(kind=ReplyKind.FAILED, result={}, error="conflict", detail="somebody else changed it")
        return Reply(kind=ReplyKind.OK, result=result, host=call.executor, clock=self.local(call.executor))

    def _health(self, call: Call) -> dict[str, Any]:
        host = self.hosts[str(call.args["server"])]
        row = {"server": host.name, "health_set": "POP.Protocol", "is_stale": False}
        value = "Unhealthy" if host.sick else host.monitor
        rows = [{**row, "name": name, "alert_value": value} for name in ("PopDeepTestMonitor", *host.also)]
        return {"rows": [*rows, *self._dependencies(call)]}

    def _dependencies(self, call: Call) -> Iterator[dict[str, Any]]:
        """The rows of what POP depends on."""
        host = self.hosts[str(call.args["server"])]
        for name in call.args["health_sets"]:
            if not str(name).startswith("POP"):
                row = {"server": host.name, "health_set": name, "name": f"{name}Monitor", "is_stale": False}
                yield {**row, "alert_value": host.unwell.get(name, "Healthy")}

    def _probe(self, call: Call) -> dict[str, Any]:
        host = self.hosts[str(call.args["server"])]
        result = "Failed" if host.sick else "Succeeded"
        row = {"server": host.name, "monitor_identity": "x", "result_type": result}
        return {"objects": [{**row, "reason": host.reason if host.sick else ""}], "warnings": []}

    def _settings(self, call: Call) -> dict[str, Any]:
        server = str(call.args["server"])
        about = self.hosts[server].certificate
        log = {"protocol_log_enabled": False, "log_location": "C:\\Logging\\Pop3"}
        return {"server": server, **log, "certificate": about}

    def _copies(self, call: Call) -> dict[str, Any]:
        server = str(call.args["server"])
        if not self.around[server].mailbox:
            return {"server": server, "mailbox_role": False}
        names = [ALONE] if server == ALONE else list(self.members)
        databases = [d for d, home in self.active.items() if home in names]
        return {
            "server": server,
            "mailbox_role": True,
            "dag": None if server == ALONE else "DAG1",
            "databases": len(databases),
            "members": [
                {"server": n, "activation_blocked": self.hosts[n].blocked, "activation_policy": self.hosts[n].policy}
                for n in names
            ],
            "copies": [self._copy(database, name) for database in databases for name in names],
        }

    def _copy(self, database: str, name: str) -> dict[str, Any]:
        active = self.active[database] == name
        status = self.copy_status.get((database, name), "Mounted" if active else "Healthy")
        return {
            "database": database,
            "server": name,
            "status": status,
            "active": active,
            "activation_suspended": False,
            "copy_queue": 0,
            "replay_queue": 0,
            "lagged": False,
        }

    def _dag_health(self, call: Call) -> dict[str, Any]:
        server = str(call.args["server"])
        answer = self.around[server].dag_health([self.around[name] for name in self.members])
        failed = self.two_copies and self.hosts[server].blocked
        check = {"server": server, "check": "DatabaseAvailabilityCheck", "passed": not failed}
        return {**answer, "replication": [*answer.get("replication", []), check]}

    def _set_activation(self, call: Call) -> dict[str, Any] | None:
        host, value = self.hosts[str(call.args["server"])], bool(call.args["value"])
        before = host.blocked
        if before not in (value, call.args["expected"]):
            return None
        if before != value:
            self.marks.add((call.executor, call.step_id))
            host.blocked = value
            self.effects.append(("stop_activation" if value else "allow_activation", host.name))
            for database, home in self.active.items():
                if value and home == host.name and database not in host.stuck:
                    self.moving[database] = self.clock.now() + timedelta(seconds=40)
        return {"server": host.name, "before": before, "after": value, "changed": before != value}

    def _step_running(self, call: Call) -> dict[str, Any]:
        began = (call.executor, str(call.args["step"])) in self.marks
        return {"running": False, "looked_at": timestamp(self.local(call.executor)), "began": began}

    def _state(self, call: Call) -> dict[str, Any]:
        host = self.hosts[call.executor]
        services = [
            {
                "name": name,
                "status": host.service_status if "POP" in str(name) else "Running",
                "start_type": host.start_type,
                "pid": host.pid,
                "started_at": timestamp(host.service_since + host.skew) if host.service_since else None,
            }
            for name in call.args["services"]
        ]
        people = [{"account": name, "how": "remote"} for name in host.logged_on]
        waits = {"servicing": host.reboot_pending, "windows_update": False, "file_renames": True}
        told: dict[str, Any] = (
            {"logons": {"count": len(people), "people": people}, "reboot_pending": waits} if host.says_who else {}
        )
        told["restarts_readable"] = host.restarts_readable
        return {"boot_time": timestamp((host.booted or self.clock.now()) + host.skew), "services": services, **told}

    def _restart(self, call: Call) -> dict[str, Any]:
        host = self.hosts[call.executor]
        self.effects.append(("restart", host.name))
        host.pid += 1
        self.clock.advance(2)
        host.service_since = self.clock.now()
        if host.cured_by == "restart":
            host.sick = False
        return {
            "service": self._state(Call(**{**_fields(call), "args": {"services": [call.args["service"]]}}))["services"][
                0
            ]
        }

    def reboot(self, call: Call) -> dict[str, Any] | None:
        host = self.hosts[str(call.args["server"])]
        if call.args["mailbox"] is not self.around[host.name].mailbox:
            return None
        if call.args["mailbox"] and (not host.blocked or host.name in self.active.values()):
            return None
        self.effects.append(("reboot", host.name))
        assert not [d for d, home in self.active.items() if home == host.name], "rebooted with an active database"
        host.up_at = (
            self.clock.now() + timedelta(minutes=4)
            if host.comes_back
            else datetime.max.replace(tzinfo=self.clock.now().tzinfo)
        )
        host.booted = self.clock.now() + timedelta(minutes=3)
        host.pid, host.service_since = 50, host.booted
        if host.cured_by == "reboot":
            host.sick = False
        return {"accepted": True}


def _fields(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in ("executor", "script", "args", "step_id", "timeout", "read_only")}


def inventory(**tags: tuple[str, ...]) -> Inventory:
    """The servers of the world, all tagged `auto` unless told otherwise by short name."""
    return Inventory(
        tuple(
            Server(
                name=name,
                roles=frozenset({Role.CLIENT_ACCESS if name in (CAS1, CAS2) else Role.MAILBOX}),
                dag="DAG1" if name in DAG else None,
                site="Lyon",
                endpoint="http://127.0.0.1:1/wsman",
                credential="lab",
                tags=frozenset(tags.get(name.partition(".")[0], ("auto",))),
            )
            for name in (*DAG, ALONE, CAS1, CAS2)
        )
    )


class Daemon:
    """The daemon's parts on the world, without its loops: `drive` gives turns in the order of the timers."""

    def __init__(
        self,
        world: World,
        store: MemoryStore,
        folder: Path,
        servers: Inventory | None = None,
        safety: Safety | None = None,
        *,
        windows: tuple[Window, ...] = (),
        storms: Storms | None = None,
        shared_cause: SharedCause = EACH_FOR_ITSELF,
        budgets: Budgets | None = None,
        runbooks: Sequence[Definition] = RUNBOOKS,
    ) -> None:
        self.world, self.store, self.clock = world, store, world.clock
        self.pause = PauseFile(folder / "pause", servers or inventory())
        settings = Settings(
            safety=safety or Safety(auto_tags=("auto",)), shared_cause=shared_cause, budgets=budgets or Budgets()
        )
        ladders = Ladders(runbooks, store)
        self._ids = 0
        family = Family(
            store=store,
            clock=self.clock,
            inventory=servers or inventory(),
            ladders=ladders,
            new_id=self._new_id,
            prefix="exmedic",
        )

        def opens(loop: type[Opens]) -> Opens:
            return loop(
                store=store,
                clock=self.clock,
                inventory=servers or inventory(),
                ladders=ladders,
                new_id=self._new_id,
                prefix="exmedic",
                windows=windows,
                storms=storms or Storms(),
                committed=lambda: None,
            )

        self.dispatch, self.deferral = opens(Dispatch), opens(Deferral)
        self.operators = Operators(
            store=store,
            bus=MemoryBus(),
            clock=self.clock,
            inventory=servers or inventory(),
            pause_file=self.pause,
            wake=lambda: None,
            windows=windows,
        )
        self.guards = GuardContext(
            store=store,
            clock=self.clock,
            inventory=servers or inventory(),
            ladders=ladders,
            settings=settings,
            pause=self.pause,
            windows=windows,
        )
        self.services = Services(
            guards=self.guards,
            shell=AttentiveShell(world, self.clock),
            engine=Engine(settings.timing, "exmedic"),
            family=family,
        )

    def _new_id(self) -> str:
        self._ids += 1
        return f"i{self._ids}"

    async def alert(
        self,
        server: str,
        monitor: str = "PopDeepTestMonitor",
        health_set: str = "POP.Protocol",
        *,
        closed: bool = False,
        key: str = "",
        routed: bool = True,
        **said: Any,  # noqa: ANN401 - other fields of the alert
    ) -> None:
        """An alert comes in, and is routed unless more are to come first."""
        alert = Alert(
            source=Source.NATIVE,
            server=server,
            health_set=health_set,
            monitor=monitor,
            raised_at=None,
            closed=closed,
            summary="it hurts",
            **{"source_id": "1", **said},
        )
        received = Received(
            topic="alerts/exmedic/x",
            payload=b"{}",
            size=2,
            dedup_key=key or f"{server}{monitor}{closed}{self.clock.now()}",
            received_at=self.clock.now(),
            alert=alert,
        )
        await self.store.ingest([received])
        if routed:
            await self.dispatch.route_pending()

    async def turn(self) -> bool:
        """Move the clock to the next timer and give that incident one turn; False when there is none."""
        due = await self.store.next_due()
        if due is None:
            return False
        self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
        (incident, *_) = await self.store.due_incidents(self.clock.now(), 1)
        await Turn(self.services, incident).take()
        return True

    async def drive(self, until: Callable[[Incident], bool] | None = None, turns: int = 400) -> Incident:
        """Give turns until the first incident ends, or `until` holds of it."""
        for _ in range(turns):
            incident = await self.incident()
            if until(incident) if until else incident.status is not IncidentStatus.OPEN:
                return incident
            assert await self.turn(), "nothing is due, and the incident is still open"
        raise AssertionError(f"no end after {turns} turns: {await self.incident()}")

    async def incident(self, number: int = 1) -> Incident:
        """An incident by the order of opening."""
        found = await self.store.incident(f"i{number}")
        assert found is not None
        return found

    async def steps(self) -> list[Step]:
        """The steps of the first incident."""
        return await self.store.steps("i1")

    async def audit(self, kind: str) -> list[AuditRow]:
        """The audit rows of a kind."""
        return [row for row in await self.store.audit_after(0, 10_000) if row.entry.kind.value == kind]
