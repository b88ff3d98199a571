"""Reads what the preconditions of an effect need, and asks them.

What is slow to read and changes slowly comes first: the DAG with Test-ReplicationHealth, what Managed Availability did,
the other members and neighbours, the health sets. What is dangerous comes last and all at once, so that it is seconds
old when the effect is sent: the server's own state, its components, its copies and whether activation is blocked.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.values import Json
from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse
from daemon.exchange.answers import (
    DagHealth,
    DatabaseCopies,
    ExchangeServer,
    PopSettings,
    RecoveryLog,
    ServerHealth,
    ServerState,
)
from daemon.exchange.client import Heard, Unheard
from daemon.remediation.actions.contract import Context, Unready
from daemon.remediation.actions.preconditions.copies import active_here
from daemon.remediation.actions.preconditions.dependencies import judged
from daemon.remediation.actions.preconditions.facts import Facts, Member, Neighbour
from daemon.remediation.actions.preconditions.managed_availability import HOURS_READ
from daemon.remediation.actions.preconditions.neighbours import another_serves
from daemon.remediation.actions.preconditions.other_actors import Foreign, foreign, others_known
from daemon.remediation.actions.preconditions.table import Asked
from daemon.remediation.actions.preconditions.why_it_fails import certificate_valid

T = TypeVar("T", bound=BaseModel)


ACTIVATION = "activation"  #: the setting that a move leaves changed until it is put back


NEIGHBOURS_ASKED = 4  #: so many other Client Access servers are asked; one healthy one is enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """All preconditions are met."""

    facts: Facts
    executor: str  #: the peer that answered about the server
    clock: datetime  #: the executor's own time
    heard_at: float  #: when the oldest of the dangerous facts was read
    slow_heard_at: float  #: when the oldest of the others was read
    figures: Json  #: what allowed it, by precondition
    others: tuple[Foreign, ...]  #: what was done there and on the other members of its DAG

    def databases(self) -> list[str]:
        """The databases that are active on the server."""
        return [] if self.facts.copies is None else active_here(self.facts.copies)


async def met(ctx: Context, asked: Asked, service: str = "") -> Met | Hold | Refuse | Unready:
    """Read all facts about the server, and ask what an effect needs. `service`: the one that is to be healed."""
    known, health = await asyncio.gather(_readable(ctx, service, asked), _health(ctx))
    if isinstance(known, Unheard) or isinstance(health, Unheard):
        return _unread(ctx, known, health)
    slow_heard_at = known.slow_heard_at
    if health is not None:
        known = replace(known, facts=replace(known.facts, health=health.answer))
        slow_heard_at = min(slow_heard_at, health.heard_at)
    if ctx.ask.clock.monotonic() - slow_heard_at > ctx.timing.slow_facts_age:
        return Unready(detail="what is slow to read was too old by the time that all was read", if_late="unknown")
    figures: dict[str, Any] = {}
    for precondition in asked:
        verdict = precondition(known.facts)
        if isinstance(verdict, CannotTell):
            return Unready(detail=verdict.reason, if_late="unknown")
        if not isinstance(verdict, Allow):
            return verdict
        if verdict.figures:
            figures[precondition.__name__] = verdict.figures
    return replace(known, figures=figures)


async def _readable(ctx: Context, service: str, asked: Asked) -> Met | Unheard:
    try:
        return await _known(ctx, service, asked)
    except _Silence as silence:
        return silence.unheard


async def _health(ctx: Context) -> Heard[ServerHealth] | Unheard | None:
    """How what the server's monitors depend on is; None when there is nothing to ask."""
    health_sets = [each.health_set for each in ctx.dependencies if each.health_set]
    return await ctx.peer("server_health", {"health_sets": health_sets}, ServerHealth) if health_sets else None


def _unread(ctx: Context, known: Met | Unheard, health: Heard[ServerHealth] | Unheard | None) -> Hold | Unready:
    """What is missing; or the likely reason why, if that could be read: without Active Directory little else can."""
    if isinstance(health, Heard):
        verdict = judged(ctx.server, ctx.dependencies, health.answer, ctx.timing)
        if isinstance(verdict, Hold):
            return verdict
    silent = next(each for each in (known, health) if isinstance(each, Unheard))
    return Unready(detail=silent.detail, if_late=silent.outcome)


class _Silence(Exception):  # noqa: N818 - not an error of the program: a server did not answer
    """A fact that every effect needs could not be read."""

    def __init__(self, unheard: Unheard) -> None:
        super().__init__(unheard.detail)
        self.unheard = unheard


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slow:
    """What changes slowly, and the peer that answered about the server."""

    peer: str
    recovery: Heard[RecoveryLog]
    dag: DagHealth | None
    pop: PopSettings | None
    neighbours: tuple[Neighbour, ...]
    members: tuple[Member, ...]
    others: tuple[Foreign, ...]  #: what was done on those members
    heard_at: float


async def _slow(ctx: Context, asked: Asked) -> _Slow:
    """The first answer finds a peer; the others are read side by side."""
    about = _answered(await ctx.peer("exchange_server", {}, ExchangeServer))
    through = _through(ctx, about.executor)
    certificate = certificate_valid in asked and ctx.timing.heed_reason
    recovery, dag, around, beside, pop = await asyncio.gather(
        ctx.itself("recovery_log", {"hours": HOURS_READ}, RecoveryLog),
        _dag_health(through) if Role.MAILBOX in ctx.server.roles else _unasked(),
        _neighbours(ctx) if another_serves in asked else _nobody(),
        _members(ctx) if others_known in asked else _nobody_else(),
        through.peer("pop_settings", {}, PopSettings) if certificate else _unasked(),
    )
    log, now = _answered(recovery), ctx.ask.clock.now()
    times = [log.heard_at, *(at for _, at in around), *(at for _, at in beside)]
    return _Slow(
        peer=about.executor,
        recovery=log,
        dag=_noted(dag, times),
        pop=_noted(pop, times),
        neighbours=tuple(neighbour for neighbour, _ in around),
        members=tuple(member for member, _ in beside),
        others=tuple(each for member, _ in beside for each in foreign(member, now)),
        heard_at=min(times),
    )


async def _known(ctx: Context, service: str, asked: Asked) -> Met:
    """All facts: the slow ones, then the dangerous ones side by side."""
    slow = await _slow(ctx, asked)
    through = _through(ctx, slow.peer)
    wanted = Role.MAILBOX in ctx.server.roles or another_serves in asked
    exchange, state, copies = await asyncio.gather(
        through.peer("exchange_server", {}, ExchangeServer),
        ctx.itself("server_state", {"services": [service] if service else []}, ServerState),
        through.peer("database_copies", {}, DatabaseCopies) if wanted else _unasked(),
    )
    about, windows, now = _answered(exchange), _answered(state), ctx.ask.clock.now()
    times = [about.heard_at, windows.heard_at]
    # The later one: what began between the two answers began before the effect.
    clock = max(windows.clock, slow.recovery.clock)
    itself = Member(server=ctx.server, clock=clock, state=windows.answer, recovery=slow.recovery.answer)
    facts = Facts(
        server=ctx.server,
        service=service,
        blocked_by_us=ctx.item is not None and ctx.item.setting == ACTIVATION,
        left_blocked_by=next((each.incident_id for each in ctx.left if each.setting == ACTIVATION), ""),
        clock=clock,
        state=windows.answer,
        exchange=about.answer,
        recovery=slow.recovery.answer,
        copies=_noted(copies, times),
        dag=slow.dag,
        neighbours=slow.neighbours,
        members=slow.members,
        dependencies=ctx.dependencies,
        probe_reason=ctx.probe_reason,
        pop=slow.pop,
        timing=ctx.timing,
    )
    return Met(
        facts=facts,
        executor=about.executor,
        clock=about.clock,
        heard_at=min(times),
        slow_heard_at=slow.heard_at,
        figures={},
        others=(*foreign(itself, now), *slow.others),
    )


def _through(ctx: Context, peer: str) -> Context:
    """The same, asking the peer first that has answered before."""
    return replace(ctx, ask=replace(ctx.ask, first=peer))


def _noted(heard: Heard[T] | Unheard | None, times: list[float]) -> T | None:
    """The answer, if it was asked for; when it was read goes to the others' `times`."""
    if heard is None:
        return None
    times.append(_answered(heard).heard_at)
    return _answered(heard).answer


def _answered(heard: Heard[T] | Unheard) -> Heard[T]:
    if isinstance(heard, Unheard):
        raise _Silence(heard)
    return heard


async def _told(
    ctx: Context, server: Server, services: list[str]
) -> tuple[Heard[ServerState] | Unheard, Heard[RecoveryLog] | Unheard]:
    """What a server tells of itself."""
    return await asyncio.gather(
        ctx.ask.ask(server.name, "server_state", {"services": services}, ServerState, ctx.step_id),
        ctx.ask.ask(server.name, "recovery_log", {"hours": HOURS_READ}, RecoveryLog, ctx.step_id),
    )


async def _unasked() -> None:
    """In the place of a fact that is not needed."""


async def _nobody() -> list[tuple[Neighbour, float]]:
    return []


async def _nobody_else() -> list[tuple[Member, float]]:
    return []


async def _members(ctx: Context) -> list[tuple[Member, float]]:
    """The other members of the DAG by the inventory; each with when it was asked."""
    dag, everybody = ctx.server.dag, ctx.ask.inventory
    others = [server for server in everybody if dag is not None and server.dag == dag and server != ctx.server]
    return await asyncio.gather(*(_member(ctx, server) for server in others))


async def _member(ctx: Context, server: Server) -> tuple[Member, float]:
    asked_at = ctx.ask.clock.monotonic()
    state, log = await _told(ctx, server, [])
    if isinstance(state, Unheard):
        return Member(server=server, silence=state.detail), asked_at
    if isinstance(log, Unheard):
        return Member(server=server, silence=log.detail), asked_at
    clock = max(state.clock, log.clock)
    return Member(server=server, clock=clock, state=state.answer, recovery=log.answer), asked_at


async def _dag_health(ctx: Context) -> Heard[DagHealth] | Unheard:
    """Asked through a member of the same DAG where there is one: others cannot see the nodes of its cluster."""
    members = tuple(server for server in ctx.ask.inventory if server.dag is not None and server.dag == ctx.server.dag)
    ask = replace(ctx.ask, inventory=Inventory(members)) if members else ctx.ask
    return await ask.about(ctx.server, "dag_health", {"server": ctx.server.name}, DagHealth, ctx.step_id)


async def _neighbours(ctx: Context) -> list[tuple[Neighbour, float]]:
    """Other Client Access servers of the site, those first that may be relied on; each with when it was asked."""
    others = [
        server
        for server in ctx.ask.inventory.peers(ctx.server)
        if server.site == ctx.server.site and Role.CLIENT_ACCESS in server.roles
    ]
    others.sort(key=ctx.ask.unreliable)
    return await asyncio.gather(*(_neighbour(ctx, server) for server in others[:NEIGHBOURS_ASKED]))


async def _neighbour(ctx: Context, server: Server) -> tuple[Neighbour, float]:
    asked_at = ctx.ask.clock.monotonic()
    if server.name in ctx.ask.avoid:
        return Neighbour(server=server, busy=True), asked_at
    # Not through the server that is to be rebooted, unless nobody else can answer.
    ask = replace(ctx.ask, avoid=ctx.ask.avoid | {ctx.server.name})
    exchange, health = await asyncio.gather(
        ask.about(server, "exchange_server", {"server": server.name}, ExchangeServer, ctx.step_id),
        ask.about(server, "server_health", {"server": server.name, "health_sets": ["POP*"]}, ServerHealth, ctx.step_id),
    )
    silence = next((answer.detail for answer in (exchange, health) if isinstance(answer, Unheard)), "")
    neighbour = Neighbour(
        server=server,
        busy=False,
        exchange=None if isinstance(exchange, Unheard) else exchange.answer,
        health=None if isinstance(health, Unheard) else health.answer,
        silence=silence,
    )
    return neighbour, asked_at
