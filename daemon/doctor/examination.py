"""What is asked of a server to find out whether exmedic can work there: every reading script, no other.

Each is asked the way the actions ask it: about the server from a peer where the contract says so (the table in
`daemon.exchange.answers`), else on the server itself. Nothing is judged here; that is `daemon.doctor.needs` and
`daemon.doctor.report`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Generic, TypeVar

from pydantic import BaseModel

from daemon.config.guardrails import Dependencies
from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.ports import Call, Clock, ReplyKind, Shell
from daemon.domain.values import Json, timestamp
from daemon.exchange.answers import (
    DagHealth,
    DatabaseCopies,
    ExchangeServer,
    HealthRow,
    PopSettings,
    ProbeRun,
    ProtocolLog,
    RecoveryLog,
    ServerHealth,
    ServerState,
    StepRunning,
    same_server,
)
from daemon.exchange.client import PEERS_ASKED, Unheard, deadline, understand
from daemon.exchange.opening import unopened
from daemon.remediation.actions.backends import MONITORING_USERS
from daemon.remediation.actions.heal import POP
from daemon.remediation.actions.preconditions.dependencies import dependency
from daemon.remediation.actions.preconditions.facts import Dependency
from daemon.remediation.actions.reboot import CORE_SERVICES, MAILBOX_SERVICES
from statemachines.model import Definition, Handled

T = TypeVar("T", bound=BaseModel)

BACK_END, FRONT_END = "MSExchangePOP3BE", "MSExchangePOP3"
SERVICES = (*CORE_SERVICES, *MAILBOX_SERVICES, BACK_END, FRONT_END)
LOG_SPAN = timedelta(hours=1)  #: of protocol log that is looked at
LOG_HOURS = 12  #: of Managed Availability's recovery actions

#: Why no connection can be made to an endpoint; empty when one can.
Reach = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Generic[T]):
    """One call and what came of it. `kind` None: it was not made, and `why` says why not."""

    script: str
    executor: str
    kind: ReplyKind | None = None
    answer: T | None = None
    why: str = ""
    error: str = ""  #: the script's error kind
    clock: datetime | None = None  #: the executor's own
    sent_at: datetime | None = None  #: ours
    heard_at: datetime | None = None  #: ours
    took: float = 0.0  #: real seconds
    powershell: str = ""  #: the version that ran the script; empty: it did not say

    @property
    def ran(self) -> bool:
        """Whether the script ran and answered, be it with no."""
        return self.kind in (ReplyKind.OK, ReplyKind.FAILED)


def fronts(server: Server, exchange: Asked[ExchangeServer]) -> bool:
    """Whether a server has the POP front end, by the inventory or by its own answer."""
    return Role.CLIENT_ACCESS in server.roles or (exchange.answer is not None and exchange.answer.client_access_role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that was asked about one server. `silence`: why no connection can be made to its endpoint."""

    server: Server
    handled: tuple[Handled, ...]  #: what the runbooks handle
    silence: str
    state: Asked[ServerState]
    recovery: Asked[RecoveryLog]
    running: Asked[StepRunning]
    hop: Asked[ExchangeServer]  #: run on this server, about another
    exchange: Asked[ExchangeServer]
    dag: Asked[DagHealth]
    copies: Asked[DatabaseCopies]
    settings: Asked[PopSettings]
    log: Asked[ProtocolLog]
    health: Asked[ServerHealth]
    dependencies: Mapping[Dependency, Asked[ServerHealth]] = field(default_factory=dict)
    probes: Mapping[str, Asked[ProbeRun]] = field(default_factory=dict)

    @property
    def mailbox(self) -> bool:
        """Whether the inventory calls it a Mailbox server."""
        return Role.MAILBOX in self.server.roles

    @property
    def front_end(self) -> bool:
        """Whether it has the POP front end, by the inventory or by its own answer."""
        return fronts(self.server, self.exchange)

    @property
    def pop_rows(self) -> tuple[HealthRow, ...]:
        """The rows of the server's own POP* monitors."""
        rows = self.health.answer.rows if self.health.answer else ()
        return tuple(row for row in rows if same_server(row.server, self.server.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Asks servers of the inventory. `timeout` in real seconds, of each call; `probe_timeout` of a probe."""

    shell: Shell
    clock: Clock
    inventory: Inventory
    definitions: Sequence[Definition]
    timeout: float
    reach: Reach
    depends: Dependencies
    probe_timeout: float | None = None  #: None: that of the others
    steps: Iterator[int] = field(default_factory=lambda: count(1))

    async def examine(self, server: Server) -> Examination:
        """Ask everything, one call after the other: a server that is sick must not be crowded."""
        silence = await self.reach(server.endpoint)
        if silence:
            return self._unexamined(server, silence, None)
        state = await self._itself(server, "server_state", {"services": list(SERVICES)}, ServerState)
        if not state.ran:
            return self._unexamined(server, "", state)
        exchange = await self._about(server, "exchange_server", {}, ExchangeServer)
        settings = await self._settings(server, exchange)
        health = await self._about(server, "server_health", {"health_sets": [POP]}, ServerHealth)
        return Examination(
            server=server,
            handled=self._handled,
            silence="",
            state=state,
            recovery=await self._itself(server, "recovery_log", {"hours": LOG_HOURS}, RecoveryLog),
            running=await self._itself(server, "step_running", {"step": "doctor"}, StepRunning),
            hop=await self._hop(server),
            exchange=exchange,
            dag=await self._about(server, "dag_health", {}, DagHealth),
            copies=await self._about(server, "database_copies", {}, DatabaseCopies),
            settings=settings,
            log=await self._log(server, state, settings),
            health=health,
            dependencies={
                each: await self._about(server, "server_health", {"health_sets": [each.health_set]}, ServerHealth)
                for each in self._dependencies(server)
            },
            probes=await self._probes(server, health),
        )

    @property
    def _handled(self) -> tuple[Handled, ...]:
        return tuple(handled for one in self.definitions for handled in one.handles if handled.monitor)

    def _dependencies(self, server: Server) -> list[Dependency]:
        """What is asked of the server before it is disrupted, as far as health sets tell of it."""
        names = dict.fromkeys(name for handled in self._handled for name in handled.depends_on)
        known = (dependency(name, server, self.depends) for name in names)
        return [each for each in known if each.health_set]

    async def _settings(self, server: Server, exchange: Asked[ExchangeServer]) -> Asked[PopSettings]:
        """The protocol log is the front end's."""
        if not fronts(server, exchange):
            return Asked(script="pop_settings", executor="", why="not a Client Access server")
        return await self._about(server, "pop_settings", {}, PopSettings)

    async def _log(self, server: Server, state: Asked[ServerState], settings: Asked[PopSettings]) -> Asked[ProtocolLog]:
        if settings.answer is None or state.clock is None:
            return Asked(script="protocol_log", executor=server.name, why=settings.why or state.why)
        args = {
            "folder": settings.answer.log_location,
            "since": timestamp(state.clock - LOG_SPAN),
            "until": timestamp(state.clock),
            "users": MONITORING_USERS,
        }
        return await self._itself(server, "protocol_log", args, ProtocolLog)

    async def _probes(self, server: Server, health: Asked[ServerHealth]) -> dict[str, Asked[ProbeRun]]:
        """Run each probe once whose monitor the server has."""
        rows = health.answer.rows if health.answer else ()
        here = {(row.health_set.lower(), row.name.lower()) for row in rows}
        found = {}
        for handled in self._handled:
            if handled.probe and (handled.health_set.lower(), handled.monitor.lower()) in here:
                args = {"health_set": handled.health_set, "probe": handled.probe}
                found[handled.probe] = await self._about(server, "invoke_probe", args, ProbeRun)
        return found

    async def _hop(self, server: Server) -> Asked[ExchangeServer]:
        """Have the server itself log on to Exchange, as it must when it is asked about another."""
        peers = self.inventory.peers(server)
        if not peers:
            return self._alone(server, "exchange_server")
        return await self._ask(server.name, "exchange_server", {"server": peers[0].name}, ExchangeServer)

    async def _itself(self, server: Server, script: str, args: Json, model: type[T]) -> Asked[T]:
        return await self._ask(server.name, script, args, model)

    async def _about(self, server: Server, script: str, args: Json, model: type[T]) -> Asked[T]:
        """Ask the first peer that answers, as the actions do."""
        asked: Asked[T] = self._alone(server, script)
        for peer in self.inventory.peers(server)[:PEERS_ASKED]:
            asked = await self._ask(peer.name, script, {"server": server.name, **args}, model)
            if asked.ran and asked.error != "broken" and not unopened(asked.error, asked.why):
                break
        return asked

    async def _ask(self, executor: str, script: str, args: Json, model: type[T]) -> Asked[T]:
        sent_at, monotonic = self.clock.now(), self.clock.monotonic()
        call = Call(
            executor=executor,
            script=script,
            args=args,
            step_id=f"doctor.{next(self.steps)}",
            timeout=deadline(script, self.timeout, self.probe_timeout),
            read_only=True,
        )
        reply = await self.shell.run(call)
        heard = understand(reply, executor, script, model, monotonic)
        return Asked(
            script=script,
            executor=executor,
            kind=reply.kind,
            answer=None if isinstance(heard, Unheard) else heard.answer,
            why=heard.detail if isinstance(heard, Unheard) else "",
            error=reply.error,
            clock=reply.clock,
            sent_at=sent_at,
            heard_at=self.clock.now(),
            took=self.clock.monotonic() - monotonic,
            powershell=reply.powershell,
        )

    def _alone(self, server: Server, script: str) -> Asked[T]:
        why = f"the inventory has no other server to ask about {server.name}"
        return Asked(script=script, executor="", why=why)

    def _unexamined(self, server: Server, silence: str, state: Asked[ServerState] | None) -> Examination:
        """Nothing but the state was asked: what the server does not answer it need not be asked 20 times."""
        why = f"not asked: {server.name} does not answer"
        return Examination(
            server=server,
            handled=self._handled,
            silence=silence,
            state=state or Asked(script="server_state", executor=server.name, why=silence),
            recovery=Asked(script="recovery_log", executor=server.name, why=why),
            running=Asked(script="step_running", executor=server.name, why=why),
            hop=Asked(script="exchange_server", executor=server.name, why=why),
            exchange=Asked(script="exchange_server", executor="", why=why),
            dag=Asked(script="dag_health", executor="", why=why),
            copies=Asked(script="database_copies", executor="", why=why),
            settings=Asked(script="pop_settings", executor="", why=why),
            log=Asked(script="protocol_log", executor=server.name, why=why),
            health=Asked(script="server_health", executor="", why=why),
            dependencies={
                each: Asked(script="server_health", executor="", why=why) for each in self._dependencies(server)
            },
        )
