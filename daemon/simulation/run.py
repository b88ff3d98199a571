"""Plays a story on virtual time, to its end or to the first rule that is broken."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from daemon.domain.audit import AuditKind
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import IncidentStatus
from daemon.domain.ports import Call
from daemon.lab.record import RecordedEffect
from daemon.simulation.causes import untold
from daemon.simulation.rules import Rules, Violation
from daemon.simulation.storms import StormJudge
from daemon.simulation.story import Break, ClockStep, Cure, Event, Kill, Mishap, Order, Outage, Publish, Story
from daemon.simulation.taken import TakenJudge
from daemon.simulation.virtual_time import VirtualLoop
from daemon.simulation.world import START, World
from daemon.testing.memory_state import State
from statemachines.model import Definition

_LONGEST = 4 * 24 * 3600.0  #: seconds until every incident must have ended: the longest of all deadlines, with room
_LOOK = 600.0  #: seconds between looks whether all is over
_MOST_STEPS = 300  #: of one incident: no ladder has cycles, and holds are bounded


class Move(NamedTuple):
    """A move of an incident's ladder: `outcome` in `state` led to `target`. Opened: `state` and `target` are empty."""

    at: float  #: seconds after the start, on the daemon's clock
    runbook: str
    state: str
    outcome: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a story ended. `told` is what happened, line by line; `digest` its hash, the same at each repetition.

    `state` is what the store held at the end, `record` what the servers saw, `struck` which mishaps came about and
    after how many seconds.
    """

    story: Story
    violations: tuple[Violation, ...]
    told: tuple[str, ...]
    incidents: int
    effects: int
    mishaps: int  #: faults that struck: mishaps of ports, and events that are faults
    lives: int
    state: State
    record: tuple[RecordedEffect, ...]
    struck: tuple[tuple[float, Mishap], ...]
    moves: tuple[Move, ...] = ()

    @property
    def digest(self) -> str:
        """A hash of everything that happened."""
        return hashlib.sha256("\n".join(self.told).encode()).hexdigest()


def play(story: Story, definitions: tuple[Definition, ...]) -> Outcome:
    """Play a story from its beginning to its end. Deterministic."""
    random.seed(story.seed)  # the pauses between attempts of the bus are drawn by tenacity, from the one of the process
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_play(story, definitions))
    finally:
        loop.close()


async def _play(story: Story, definitions: tuple[Definition, ...]) -> Outcome:
    told: list[str] = []
    clock = asyncio.get_running_loop().time
    world = World(story, definitions, lambda text: told.append(f"{_shown(clock())} {text}"))
    rules = world.watcher = _Bounded(world)
    supervision = asyncio.create_task(world.supervise(), name="supervisor")
    night = asyncio.create_task(_night(world), name="the night")
    try:
        await night
        await asyncio.sleep(story.calm_after)
        world.calm = True
        until = clock() + _LONGEST
        while not _over(world) and clock() < until and not rules.violations:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(_LOOK)
        if not rules.violations:
            imbalance = (await world.store.ledger(thorough=True)).imbalance if world.store.is_open else ""
            rules.finish(
                len({(e.topic, e.payload) for e in story.events if isinstance(e, Publish) and not e.pauses}), imbalance
            )
    finally:
        supervision.cancel()
        await world.end()
        await asyncio.gather(supervision, return_exceptions=True)
    state = world.store.contents
    faults = sum(isinstance(event, Break | Outage | ClockStep | Kill) for event in story.events)
    return Outcome(
        story=story,
        violations=tuple(rules.violations),
        told=tuple(told),
        incidents=len(state.incidents),
        effects=len(world.simulation.record.effects()),
        mishaps=sum(world.suffered.values()) + faults,
        lives=world.lives,
        state=state,
        record=tuple(world.simulation.record.effects()),
        struck=tuple(world.struck),
        moves=tuple(_moves(world)),
    )


class _Bounded(Rules):
    """The rules, and that no incident goes round in circles: without a wait in it that would take no virtual time."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._bounded = world
        self._judged: State | None = None
        self._pauses_acknowledged = 0
        self._storm = StormJudge(world.inventory, world.story.storms)
        self._taken = TakenJudge()

    def pause_acknowledged(self, engaged: int) -> None:
        """Rule 10: none is acknowledged before it stands."""
        self._pauses_acknowledged += 1
        if self._pauses_acknowledged > engaged:
            self.broken(10, f"{self._pauses_acknowledged} pauses are acknowledged, only {engaged} were carried out")

    def sent(self, call: Call) -> None:
        """See `Rules.sent`."""
        super().sent(call)
        if why := self._taken.objection(self._bounded.store.contents, call.step_id):
            self.broken(0, why)

    def changed(self) -> None:
        """See `Rules.changed`. Most verbs only read, and what was judged before need not be judged again."""
        state = self._bounded.store.contents
        if state is self._judged:
            return
        self._judged = state
        super().changed()
        self._taken.look(state)
        for why in self._storm.look(state):
            self.broken(0, why)
        if len(state.steps) <= _MOST_STEPS:
            return
        for step in state.steps.values():
            if step.number > _MOST_STEPS:
                self.broken(9, f"incident {step.incident_id} has taken {_MOST_STEPS} steps and does not end")
                self._bounded.kill()  # so that time goes on, and the story can be ended
                return

    def finish(self, published: int, imbalance: str) -> None:
        """See `Rules.finish`."""
        super().finish(published, imbalance)
        for why in self._storm.unrecorded(self._bounded.store.contents):
            self.broken(0, why)
        for why in untold(self._bounded):
            self.broken(9, why)


def _moves(world: World) -> Iterator[Move]:
    state = world.store.contents
    for row in state.audit:
        at, facts = (row.entry.at - START).total_seconds(), row.entry.fields
        if row.entry.kind is AuditKind.INCIDENT_OPENED:
            yield Move(at, str(facts["runbook"]), "", "opened", "")
        elif row.entry.kind is AuditKind.TRANSITION:
            runbook = state.incidents[row.entry.incident_id].runbook
            yield Move(at, runbook, str(facts["from_state"]), str(facts["outcome"]), str(facts["to_state"]))


def _over(world: World) -> bool:
    """Whether nothing is left to do."""
    state = world.store.contents
    busy = any(incident.status is IncidentStatus.OPEN for incident in state.incidents.values())
    waiting = (
        bool(state.outbox)
        or any(each.count and each.told_at is None for each in state.notices.values())
        or bool(state.deferred)
        or any(alert.status.value == "pending" for alert in state.alerts.values())
    )
    copied = len({row.seq for row in world.rows}) == len(state.audit)
    return not busy and not waiting and copied and not world.bus.unacknowledged and world.store.is_open


async def _night(world: World) -> None:
    """Let happen what the story has, at its time."""
    clock = asyncio.get_running_loop().time
    for event in world.story.events:
        await asyncio.sleep(max(0.0, event.at - clock()))
        world.note(f"event: {event}")
        await _happen(world, event)


async def _happen(world: World, event: Event) -> None:
    match event:
        case Publish():
            for _ in range(event.copies):
                world.bus.inject(event.topic, event.payload)
        case Break():
            _unless_senseless(world, lambda: world.simulation.inject(event.server, event.fault, dict(event.options)))
        case Cure():
            _unless_senseless(world, lambda: world.simulation.clear(event.server, event.fault))
        case Outage():
            world.spawn(_outage(world, event), f"outage of the {event.of}")
        case ClockStep():
            world.wrong_by += event.seconds
            world.most_wrong = max(world.most_wrong, abs(world.wrong_by))
        case Kill():
            (world.stop if event.gently else world.kill)()
        case Order():
            world.spawn(world.order(event), f"order {event.command}")


def _unless_senseless(world: World, work: Callable[[], object]) -> None:
    """Some faults make no sense on some servers, or at some moments; then nothing happens."""
    try:
        work()
    except OperatorError as error:
        world.note(f"nothing happens: {error}")


async def _outage(world: World, outage: Outage) -> None:
    world.away[outage.of] += 1
    if outage.of == "bus":
        world.bus.go_down()
    await asyncio.sleep(outage.seconds)
    world.away[outage.of] -= 1
    if outage.of == "bus" and not world.away["bus"]:
        world.bus.go_up()


def _shown(seconds: float) -> str:
    """A moment of the story."""
    hours, rest = divmod(seconds, 3600)
    return f"{hours:03.0f}:{rest // 60:02.0f}:{rest % 60:06.3f}"
