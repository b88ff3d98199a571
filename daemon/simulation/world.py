"""All that outlives a daemon in a simulation: servers, broker, store, journal, pagers; and the daemons, one by one."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from daemon.app.assembly import Outer, assemble, lifecycle
from daemon.config.guardrails import ModeRule, Safety, Timing
from daemon.config.settings import Settings
from daemon.domain.audit import AuditKind, AuditRow
from daemon.domain.errors import OperatorError, StoreError
from daemon.domain.incidents import IncidentStatus
from daemon.domain.inventory import Inventory, Role, Server
from daemon.domain.ports import Call
from daemon.domain.verdicts import Mode
from daemon.lab.clock import LabClock
from daemon.lab.model import Simulation
from daemon.lab.record import EffectKind, Record, RecordedEffect
from daemon.operators.commands import Operators
from daemon.simulation.approvals import asking_now, first_question
from daemon.simulation.model_shell import ModelShell
from daemon.simulation.ports import (
    BusPort,
    Died,
    MemorySwitch,
    NotifierPort,
    ShellPort,
    SinkPort,
    StartClock,
    StorePort,
    Unsupervised,
    Use,
)
from daemon.simulation.story import Mishap, Order, Story
from daemon.simulation.windows import window_request
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore
from statemachines.model import Definition

START = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
POLL = 900.0  #: seconds between looks of an unwoken loop: every wake-up costs, and a lost one shows as a delay
#: Long waits are shorter, and looks rarer: what is asked again and again finds nothing new.
_TIMING = Timing(
    hold_recheck=900.0,
    hold_deadline=7200.0,
    observe_deadline=7200.0,
    latch_recheck=3600.0,
    approval_expires=600.0,  # shorter: verifying afresh, a pause or a claim may take longer than that
)
_MEETING = 0.25  #: how often others run while the store is used
RESTART = (1.0, 90.0)  #: seconds until a daemon that ended is started again

T = TypeVar("T")


class TrueClock:
    """Virtual time: that of the event loop, which jumps whenever nothing can run."""

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """See `ports.Clock.monotonic`."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """See `ports.Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))


class _ModelClock(LabClock):
    """The model's clock, on virtual time."""

    def now(self) -> datetime:
        """The present moment in the lab, UTC; before the loop runs, its start."""
        try:
            return START + timedelta(seconds=asyncio.get_running_loop().time())
        except RuntimeError:
            return START


class Witness(Record):
    """The model's record of effects, kept in memory; `seen` is told of each at the moment it happens."""

    def __init__(self, now: Callable[[], datetime], seen: Callable[[RecordedEffect], None]) -> None:
        super().__init__(None, now)
        self._seen = seen

    def effect(self, effect: EffectKind, server: str, *, executor: str, step: str, detail: str) -> None:
        """See `Record.effect`."""
        super().effect(effect, server, executor=executor, step=step, detail=detail)
        self._seen(self.effects()[-1])


class Watcher:
    """What is told of everything that happens; the rules are one."""

    def effect(self, entry: RecordedEffect) -> None:
        """Something was done to a server."""

    def sent(self, call: Call) -> None:
        """A command that may change something, and was allowed, goes out."""

    def asked(self) -> None:
        """A server has answered, or done what it was told: the answer is of this moment."""

    def broke(self, call: Call) -> None:
        """A script failed by itself before it had done anything."""

    def changed(self) -> None:
        """A verb of the store has ended."""

    def acknowledged(self) -> None:
        """A message was acknowledged to the broker."""

    def paused(self, scope: str, *, now: bool) -> None:
        """A command to pause has returned, or the pause is over. `scope` as in `ports.KillSwitch`."""

    def pause_acknowledged(self, engaged: int) -> None:
        """A pause was acknowledged to the broker; so many that came over the bus have been carried out by now."""

    def fell(self, why: str) -> None:
        """A daemon ended by itself, and not because its store failed."""


class World:
    """One simulation. `watcher` may be set before it runs; `calm` ends all mishaps."""

    def __init__(self, story: Story, definitions: tuple[Definition, ...], note: Callable[[str], None]) -> None:
        self.story = story
        self.note = note
        self.watcher = Watcher()
        self._chance = random.Random(story.seed)  # noqa: S311 - reproducible on purpose
        self.truth = TrueClock()
        self.simulation = Simulation(lambda now: Witness(now, self._effect), _ModelClock(START))
        self.inventory = _inventory(self.simulation, story.observed)
        self.store = MemoryStore(let_others_run=self._let_others_run)
        self.bus = MemoryBus()
        self.switch = MemorySwitch(self.inventory, self._engaged)
        self.pages: list[tuple[str, str]] = []
        self.rows: list[AuditRow] = []
        self.away: Counter[str] = Counter()  #: outages of the journal and the notifier that last now
        self.wrong_by = 0.0  #: seconds that the system's clock is ahead
        self.most_wrong = 0.0  #: the most it ever was, either way
        self.bus_pauses = 0  #: pauses over the bus that were carried out
        self.calm = False
        self.suffered: Counter[str] = Counter()  #: mishaps that struck, by kind
        self.struck: list[tuple[float, Mishap]] = []  #: when which mishap came about
        self.lives = 0
        self._definitions = definitions
        rules = (ModeRule(mode=Mode.APPROVE, servers=tuple(sorted(story.asking))),) if story.asking else ()
        safety = Safety(auto_tags=("auto",), modes=rules)
        self._settings = Settings(safety=safety, timing=_TIMING, shared_cause=story.shared_cause, storms=story.storms)
        self._mishaps = {(mishap.place, mishap.nth): mishap for mishap in story.mishaps}
        self._uses: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._incidents = 0
        self._life: asyncio.Task[None] | None = None
        self._dead = False
        self._halted = False
        self._stop: asyncio.Event | None = None
        self._operators: Operators | None = None
        self._shell = ModelShell(self.simulation, self._chance, self.spawn, self._sent, self._asked)

    # The daemons

    async def supervise(self) -> None:
        """Start a daemon, and another one whenever it has ended, as systemd would."""
        while not self._halted:
            self._dead, self._stop = False, asyncio.Event()
            self.lives += 1
            self._life = asyncio.create_task(self._live(self._stop), name=f"daemon {self.lives}")
            await asyncio.wait([self._life])
            self._operators = None
            error = None if self._life.cancelled() else self._life.exception()
            if error is not None and not self._dead and not _of_the_store(error):
                self.watcher.fell(_words(error))
            await self.store.close()
            self.bus.go_down()
            await asyncio.sleep(self._chance.uniform(*RESTART))

    async def _live(self, stop: asyncio.Event) -> None:
        clock = StartClock(self.truth, self.wrong_by)
        life = self.lives
        use = self._user(lambda: self._dead or self.lives != life)
        store = StorePort.of(self.store, use, self.watcher.changed)
        bus = BusPort(self.bus, use, self._acknowledged)
        outer = Outer(
            store=store,
            clock=clock,
            shell=ShellPort(self._shell, use),
            bus=bus,
            bus_loop=_for_ever,
            sink=SinkPort(self.rows, lambda: self.away["journal"] > 0, use),
            resend=20,
            notifier=NotifierPort(self.pages, lambda: self.away["notifier"] > 0, use),
            outside=None,
            pause=self.switch,
            service=Unsupervised(),
            new_id=self._new_id,
            poll=POLL,
        )
        await store.open()
        if not self.away["bus"]:
            self.bus.go_up()
        daemon, self._operators = assemble(self._settings, self.inventory, self._definitions, outer)
        await store.commit(lifecycle(AuditKind.STARTED, clock, "started"))
        await daemon.run(stop)

    def kill(self) -> None:
        """Kill the daemon, if one runs: nothing of it takes effect any more."""
        self._dead = True
        if self._life is not None:
            self._life.cancel()

    def halt(self) -> None:
        """Kill the daemon, and start no other: what it does after it broke a rule tells nothing."""
        self._halted = True
        self.kill()

    def stop(self) -> None:
        """Ask the daemon to stop."""
        if self._stop is not None:
            self._stop.set()

    def _user(self, dead: Callable[[], bool]) -> Use:
        """How one daemon uses its ports: a dead one no longer, and each use may go wrong."""

        def still_alive() -> None:
            if dead():
                raise Died

        async def use(place: str, work: Callable[[str], Awaitable[T]], error: Callable[[str], Exception]) -> T:
            still_alive()
            kind = self._next(place)
            if kind == "dies before":
                self.kill()
                raise Died
            if place.startswith("bus.") and kind.startswith("fails"):
                self.spawn(self._reconnect(), "reconnection of the bus")  # only a lost connection makes it fail
            if kind == "fails before":
                raise error(f"{place} failed before it took effect")
            result = await work(kind)
            still_alive()
            if kind == "dies after":
                self.kill()
                raise Died
            if kind == "fails after":
                raise error(f"{place} took effect and failed")
            return result

        return use

    async def _reconnect(self) -> None:
        await asyncio.sleep(0)  # what fails may still take effect first
        self.bus.go_down()
        await asyncio.sleep(self._chance.uniform(0.5, 20))
        if not self.away["bus"]:
            self.bus.go_up()

    async def _let_others_run(self) -> None:
        """Now and then: which tasks meet in the store is part of a night's luck, and each time costs."""
        if self._chance.random() < _MEETING:
            await asyncio.sleep(0)

    def _next(self, place: str) -> str:
        """What befalls the next use of a place."""
        self._uses[place] += 1
        mishap: Mishap | None = self._mishaps.get((place, self._uses[place]))
        if mishap is None or self.calm:
            return ""
        self.suffered[mishap.kind] += 1
        self.struck.append((self.truth.monotonic(), mishap))
        self.note(f"mishap: {mishap}")
        return mishap.kind

    def _acknowledged(self, pause: bool) -> None:
        if pause:
            self.watcher.pause_acknowledged(self.bus_pauses)
        else:
            self.watcher.acknowledged()

    def _engaged(self, scope: str, reason: str) -> None:
        self.bus_pauses += reason.startswith("by bus:")
        self.watcher.paused(scope, now=True)

    def _effect(self, entry: RecordedEffect) -> None:
        self.watcher.effect(entry)

    def _asked(self, call: Call, error: str) -> None:
        self.watcher.asked()
        if error == "broken":
            self.watcher.broke(call)

    def _sent(self, call: Call, mishap: str) -> None:
        self.watcher.sent(call)
        if mishap == "dies when sent":
            self.kill()

    def _new_id(self) -> str:
        self._incidents += 1
        return f"{self._incidents:04}"

    # The rest

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something that no daemon owns."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def order(self, order: Order) -> None:
        """Give the daemon an operator's command; one that it refuses, or that nobody hears, is a note in the story."""
        operators, request = self._operators, await self._request(order)
        if operators is None or request is None:
            return
        try:
            answer = await operators.carry_out("ada", request)
        except (OperatorError, StoreError) as error:
            self.note(f"refused: {error}")
            return
        except Died:
            self.note("the daemon died under the operator's hands")
            return
        if order.command in ("pause", "resume"):
            self.watcher.paused(str(answer["scope"]), now=order.command == "pause")

    async def _request(self, order: Order) -> dict[str, Any] | None:
        state = self.store.contents
        if order.command == "add_window":
            return window_request(order)
        subject: dict[str, list[str]] = {
            "release": [*sorted(state.quarantines), *(each.id for each in state.causes.values() if not each.ended)],
            "close": [i.id for i in state.incidents.values() if i.status is IncidentStatus.OPEN or i.latched],
            "approve": (asking := asking_now(state)),
            "decline": asking,
            "end_window": sorted({window.name for window in state.windows.values()}),
            "undo": [i.id for i in state.incidents.values() if i.status is IncidentStatus.ESCALATED],
        }
        request: dict[str, Any] = {"command": order.command, "reason": "as the story wants it"}
        if order.command in ("pause", "resume") and order.server:
            request["command"] = order.command if order.command == "pause" else "resume_scope"
            name, _, of = order.server.partition(":")
            request |= {"dag": of} if name == "dag" else {"server": order.server}
        fields = {"release": "server", "end_window": "name"}
        if order.command in subject:
            choice = subject[order.command]
            if not choice:
                return None
            request[fields.get(order.command, "incident")] = choice[order.about % len(choice)]
        if order.first:
            request["state"] = first_question(state, request.get("incident", ""))
        return request

    async def end(self) -> None:
        """Kill everything that still runs."""
        self.kill()
        left = [task for task in (self._life, *self._tasks) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _inventory(simulation: Simulation, observed: frozenset[str]) -> Inventory:
    return Inventory(
        tuple(
            Server(
                name=machine.name,
                roles=frozenset(Role(role) for role in machine.roles),
                dag=machine.dag,
                site=machine.site,
                endpoint="http://127.0.0.1:1/wsman",
                credential="lab",
                tags=frozenset() if machine.name in observed else frozenset({"auto"}),
            )
            for machine in simulation.organisation.machines.values()
        )
    )


def _of_the_store(error: BaseException) -> bool:
    """Whether a daemon ended as it must: its store failed."""
    if isinstance(error, BaseExceptionGroup):
        return any(_of_the_store(each) for each in error.exceptions)
    return isinstance(error, StoreError)


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_words(each) for each in error.exceptions)
    return f"{type(error).__name__}: {error}"
