"""Puts the running parts together on whatever stands behind the ports: who works with what, and who wakes whom."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from daemon.alerts.deferral import Deferral
from daemon.alerts.forms.known import Names
from daemon.alerts.intake import Intake
from daemon.alerts.payloads import Payloads, source_of
from daemon.alerts.routing import Dispatch
from daemon.alerts.telling import Telling
from daemon.audit.follower import AuditFollower, Held, nothing
from daemon.audit.ledger_watch import LedgerWatch
from daemon.audit.logon_watch import LogonWatch
from daemon.audit.retention import RetentionLoop
from daemon.audit.session_watch import SessionWatch
from daemon.config.settings import Settings, windows_of
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.inventory import Inventory
from daemon.domain.ports import AuditSink, Bus, Clock, KillSwitch, Notifier, Outside, Shell
from daemon.domain.store import Store
from daemon.exchange.logons import Logons
from daemon.exchange.sessions import BoundedShell
from daemon.exchange.silences import AttentiveShell
from daemon.operators.commands import Operators
from daemon.operators.pause_watch import PauseWatch
from daemon.operators.remote_pause import RemotePause
from daemon.outgoing.outbox import Outbox
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.engine import Engine
from daemon.remediation.incidents.ladders import Ladders
from daemon.remediation.incidents.opening import Family
from daemon.remediation.runner.loop import Runner
from daemon.remediation.runner.services import Services
from daemon.remediation.runner.turn import Turn
from daemon.runtime.loops import Daemon, Service
from daemon.runtime.progress import Progress
from daemon.runtime.wakeup import POLL
from statemachines.model import Definition

Opens = TypeVar("Opens", Dispatch, Deferral)  #: incidents, for alerts and for what was set aside


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """Everything outside, behind its port."""

    store: Store
    clock: Clock
    shell: Shell
    bus: Bus
    bus_loop: Callable[[], Coroutine[Any, Any, None]]  #: keeps the bus connected
    sink: AuditSink
    resend: int  #: rows that the sink is sent again after a start, but for those that it has
    notifier: Notifier | None
    outside: Outside | None
    pause: KillSwitch
    service: Service
    new_id: Callable[[], str]  #: of incidents
    held: Callable[[], Awaitable[Held]] = nothing  #: of the latest rows, those that the sink has
    logons: Logons | None = None  #: None: the shell needs no password
    poll: float = POLL  #: seconds between looks of a loop that nobody wakes


def assemble(
    settings: Settings, inventory: Inventory, definitions: Sequence[Definition], outer: Outer
) -> tuple[Daemon, Operators]:
    """The daemon, and who carries out operators' commands beside it."""
    store, clock, bus = outer.store, outer.clock, outer.bus
    ladders = Ladders(definitions, store)
    follower = AuditFollower(
        store=store, sink=outer.sink, clock=clock, held=outer.held, resend=outer.resend, poll=outer.poll
    )
    outbox = Outbox(store=store, bus=bus, notifier=outer.notifier, clock=clock, poll=outer.poll)

    def committed() -> None:
        outbox.nudge()
        follower.nudge()
        watch.changed()

    services = _services(settings, inventory, ladders, outer)
    runner = Runner(services.guards, partial(Turn, services), committed, outer.poll)

    def work() -> None:
        committed()
        runner.nudge()

    dispatch = _opens(Dispatch, settings, inventory, outer, ladders=ladders, committed=work)
    deferral = _opens(Deferral, settings, inventory, outer, ladders=ladders, committed=work)

    telling = _telling(settings, outer, committed)

    def ingested() -> None:
        committed()
        dispatch.nudge()

    payloads = Payloads(settings.bus, settings.alerts, Names(definitions))
    intake = Intake(bus=bus, store=store, clock=clock, payloads=payloads, nudge=ingested)
    watch = LedgerWatch(
        store=store,
        clock=clock,
        prefix=settings.bus.prefix,
        acknowledged=lambda: intake.acknowledged,
        committed=committed,
        poll=outer.poll,
    )
    watches = _watches(settings, inventory, outer, committed)
    operators = _operators(settings, inventory, outer, work)
    remote_pause = _remote_pause(settings, inventory, bus, operators)
    daemon = Daemon(
        taking=(("bus", outer.bus_loop), ("intake", intake.run), ("remote pause", remote_pause.run)),
        working=(
            *(("dispatch", dispatch.run), ("deferral", deferral.run), ("telling", telling.run)),
            *(("runner", runner.run), ("ledger", watch.run)),
            *((name, each.run) for name, each in watches.items()),
        ),
        flushing=(("outbox", outbox.run_bus), ("audit", follower.run), ("notifications", outbox.run_notify)),
        wake=(
            *(dispatch.nudge, deferral.nudge, telling.nudge, runner.nudge, watch.nudge),
            *(each.nudge for each in watches.values()),
            committed,
        ),
        progress=Progress(clock),
        service=outer.service,
        ready=lambda: bus.connected,
        starting=lambda: watch.check(thorough=True),
        stopped=lambda: store.commit(lifecycle(AuditKind.STOPPED, clock, "stopped as told")),
    )
    return daemon, operators


def _remote_pause(settings: Settings, inventory: Inventory, bus: Bus, operators: Operators) -> RemotePause:
    return RemotePause(
        bus=bus,
        inventory=inventory,
        prefix=settings.bus.prefix,
        pause=lambda user, request: operators.carry_out(user, {**request, "command": "pause"}),
    )


def _services(settings: Settings, inventory: Inventory, ladders: Ladders, outer: Outer) -> Services:
    guards = GuardContext(
        store=outer.store,
        clock=outer.clock,
        inventory=inventory,
        ladders=ladders,
        settings=settings,
        pause=outer.pause,
        windows=windows_of(settings),
    )
    return Services(
        guards=guards,
        shell=AttentiveShell(BoundedShell(outer.shell), outer.clock),
        engine=Engine(settings.timing, settings.bus.prefix, undo_first=settings.alerts.undo_when_taken),
        family=_family(settings, inventory, ladders, outer),
        outside=outer.outside,
    )


def _family(settings: Settings, inventory: Inventory, ladders: Ladders, outer: Outer) -> Family:
    return Family(
        store=outer.store,
        clock=outer.clock,
        inventory=inventory,
        ladders=ladders,
        new_id=outer.new_id,
        prefix=settings.bus.prefix,
    )


def _opens(
    loop: type[Opens],
    settings: Settings,
    inventory: Inventory,
    outer: Outer,
    *,
    ladders: Ladders,
    committed: Callable[[], None],
) -> Opens:
    """One of the loops that open incidents."""
    return loop(
        store=outer.store,
        clock=outer.clock,
        inventory=inventory,
        ladders=ladders,
        new_id=outer.new_id,
        prefix=settings.bus.prefix,
        windows=windows_of(settings),
        storms=settings.storms,
        alerts=settings.alerts,
        committed=committed,
        poll=outer.poll,
    )


def _telling(settings: Settings, outer: Outer, committed: Callable[[], None]) -> Telling:
    return Telling(
        store=outer.store,
        clock=outer.clock,
        prefix=settings.bus.prefix,
        most=settings.storms.pages_a_day,
        committed=committed,
        poll=outer.poll,
    )


def _watches(
    settings: Settings, inventory: Inventory, outer: Outer, committed: Callable[[], None]
) -> dict[str, LogonWatch | PauseWatch | RetentionLoop | SessionWatch]:
    """The loops beside the work: they tell of lost sessions and refused passwords, forget, look after pauses."""
    told: dict[str, Any] = {
        "store": outer.store,
        "clock": outer.clock,
        "prefix": settings.bus.prefix,
        "committed": committed,
        "poll": outer.poll,
    }
    watches: dict[str, LogonWatch | PauseWatch | RetentionLoop | SessionWatch] = {
        "pauses": PauseWatch(switch=outer.pause, inventory=inventory, **told),
        "sessions": SessionWatch(bus=outer.bus, **told),
        "retention": RetentionLoop(settings=settings.retention, **told),
    }
    if outer.logons is not None:
        watches["logons"] = LogonWatch(logons=outer.logons, **told)
    return watches


def _operators(settings: Settings, inventory: Inventory, outer: Outer, wake: Callable[[], None]) -> Operators:
    return Operators(
        store=outer.store,
        bus=outer.bus,
        clock=outer.clock,
        inventory=inventory,
        pause_file=outer.pause,
        wake=wake,
        windows=windows_of(settings),
        approval_lasts=timedelta(seconds=settings.timing.approval_expires),
        started_at=outer.clock.now(),
        notifies=outer.notifier is not None,
        form_of=partial(source_of, settings=settings.bus),
        resting=outer.logons.resting if outer.logons else tuple,
    )


def lifecycle(kind: AuditKind, clock: Clock, message: str) -> Commit:
    """Puts on record that the daemon has started or stopped."""
    now = clock.now()
    return Commit(at=now, told=Told(audit=(AuditEntry(kind=kind, at=now, message=message),)))
