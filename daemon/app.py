"""Puts the parts together: the only module that names adapters."""

import asyncio
import contextlib
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from daemon.adapters.clock import FastClock, SystemClock
from daemon.adapters.console import ConsoleSink
from daemon.adapters.journal import JournalSink, journal_copies
from daemon.adapters.logs import configure_logging
from daemon.adapters.mqtt import MqttBus
from daemon.adapters.mqtt_publish import publish_once
from daemon.adapters.notify import AppriseNotifier
from daemon.adapters.pop3 import Pop3Client
from daemon.adapters.sqlite import SqliteStore
from daemon.adapters.systemd import ServiceManager
from daemon.adapters.winrm import WinrmShell
from daemon.audit import RESEND, AuditFollower, verify_chain
from daemon.config import Settings, load_settings, read_secret
from daemon.control import ControlSocket
from daemon.dispatch import Dispatch
from daemon.domain import AuditEntry, AuditKind, Commit
from daemon.engine import Engine
from daemon.errors import BusDown, ConfigError, Mistake, OperatorError, SinkDown
from daemon.family import Family
from daemon.health import Progress, feed_watchdog
from daemon.intake import Intake
from daemon.inventory import check_site, load_inventory
from daemon.ladders import Ladders
from daemon.operators import Operators
from daemon.outbox import Outbox
from daemon.parts import Parts
from daemon.pause import PauseFile
from daemon.ports import AuditSink, Clock, Store
from daemon.runner import Runner
from statemachines.loader import RunbookError, load_runbooks, shipped_directory
from statemachines.model import Definition

DATABASE = "exmedic.db"
STATUS_EVERY = 10.0  #: real seconds between status lines for systemd, and between feedings without a watchdog

_log = structlog.get_logger("exmedic.app")

Loop = Callable[[Callable[[], None], asyncio.Event], Coroutine[Any, Any, None]]


def runbooks(settings: Settings) -> tuple[Definition, ...]:
    """The shipped runbooks and the site's own.

    Raises:
        ConfigError: any of them is wrong.
    """
    directories = [shipped_directory()]
    if settings.runbooks is not None:
        directories.append(settings.runbooks)
    try:
        return load_runbooks(*directories)
    except RunbookError as error:
        raise ConfigError(error.mistakes) from error


def check_everything(config: Path) -> tuple[tuple[Mistake, ...], tuple[str, ...]]:
    """All mistakes of configuration, inventory and runbooks, and the names of the runbooks."""
    mistakes = check_site(config)
    names: tuple[str, ...] = ()
    try:
        # With mistakes in the settings only the shipped runbooks can be told; they are checked all the same.
        names = tuple(found.runbook for found in runbooks(Settings() if mistakes else load_settings(config)))
    except ConfigError as error:
        mistakes = (*mistakes, *error.mistakes)
    return mistakes, names


@contextlib.asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Store]:
    """The store, to read from, beside a running daemon or without one.

    Raises:
        StoreError: it cannot be read.
    """
    store = SqliteStore(settings.data / DATABASE, read_only=True)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether the audit trail is whole, in words."""

    good: bool
    text: str


async def verify_audit(settings: Settings, *, journal: bool) -> AuditVerdict:
    """Verify the chain, and its copies in the journal if wanted and there is one."""
    compare = journal and settings.journal.exists()
    async with reading(settings) as store:
        # Only what the daemon's own user wrote counts as a copy; anybody may write into the journal.
        owner = (settings.data / DATABASE).stat().st_uid
        try:
            copies = journal_copies(namespace=journal_namespace(settings.journal), uid=owner)
            verdict = await verify_chain(store, copies if compare else None)
        except SinkDown as error:
            raise OperatorError(f"{error}; or leave the journal out with --no-journal") from error
    if verdict.finding is not None:
        return AuditVerdict(good=False, text=f"row {verdict.finding.seq}: {verdict.finding.reason}")
    compared = f"{verdict.compared} copies in the journal agree" if compare else "not compared with a journal"
    return AuditVerdict(good=True, text=f"{verdict.rows} rows, chain unbroken, {compared}; head {verdict.head[:16]}")


def journal_namespace(socket: Path) -> str | None:
    """Whose journal is behind a socket: `/run/systemd/journal.NAMESPACE/socket`, systemd-journald.service(8)."""
    return socket.parent.name.partition("journal.")[2] or None


async def publish_alert(settings: Settings, alert: Mapping[str, Any]) -> str:
    """Publish an alert in the native form; returns the topic."""
    topic = f"{settings.bus.native.removesuffix('#').rstrip('/')}/test"
    await publish_raw(settings, topic, [json.dumps(alert).encode()])
    return topic


async def publish_raw(settings: Settings, topic: str, payloads: Sequence[bytes]) -> None:
    """Publish messages as any source of alerts could.

    Raises:
        OperatorError: the broker cannot be reached.
    """
    try:
        await publish_once(settings.bus, read_secret, topic, payloads)
    except BusDown as error:
        raise OperatorError(f"the broker {error}; is it running, and may this account publish on {topic}?") from error


async def run_daemon(config: Path) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        ConfigError: configuration, inventory or runbooks are wrong; nothing was started.
        StoreError: the store cannot be used.
    """
    settings = load_settings(config)
    inventory = load_inventory(settings.inventory, settings)
    definitions = runbooks(settings)
    journal = settings.journal.exists()
    configure_logging(sys.stdout, journal=journal, journal_socket=settings.journal)
    notifier = _notifier(settings)
    settings.data.mkdir(mode=0o750, parents=True, exist_ok=True)
    store = SqliteStore(settings.data / DATABASE, deadletter_topic=f"{settings.bus.prefix}/deadletter")
    await store.open()
    clock: Clock = FastClock(settings.lab.epoch, settings.lab.speed) if settings.lab else SystemClock()
    shell = WinrmShell(inventory, settings.winrm, settings.credentials, read_secret)
    bus = MqttBus(settings.bus, read_secret)
    pause = PauseFile(settings.safety.pause_file)
    ladders = Ladders(definitions, store)
    sink: AuditSink = JournalSink(settings.journal) if journal else ConsoleSink(sys.stdout)
    follower = AuditFollower(store=store, sink=sink, clock=clock, resend=RESEND if journal else 0)
    outbox = Outbox(store=store, bus=bus, notifier=notifier or AppriseNotifier(()), clock=clock)

    def committed() -> None:
        outbox.nudge()
        follower.nudge()

    family = Family(
        store=store,
        clock=clock,
        inventory=inventory,
        ladders=ladders,
        new_id=_new_id,
        prefix=settings.bus.prefix,
    )
    parts = Parts(
        store=store,
        shell=shell,
        clock=clock,
        inventory=inventory,
        ladders=ladders,
        engine=Engine(settings.timing, settings.bus.prefix),
        settings=settings,
        pause=pause,
        family=family,
        committed=committed,
        outside=Pop3Client(inventory, settings.credentials, read_secret),
    )
    runner = Runner(parts)

    def work() -> None:
        committed()
        runner.nudge()

    dispatch = Dispatch(
        store=store,
        clock=clock,
        inventory=inventory,
        ladders=ladders,
        new_id=_new_id,
        prefix=settings.bus.prefix,
        committed=work,
    )

    def ingested() -> None:
        committed()
        dispatch.nudge()

    intake = Intake(bus=bus, store=store, clock=clock, settings=settings.bus, nudge=ingested)
    operators = Operators(store=store, bus=bus, clock=clock, inventory=inventory, pause_file=pause, wake=work)
    daemon = Daemon(
        taking=(("bus", bus.run), ("intake", intake.run)),
        working=(("dispatch", dispatch.run), ("runner", runner.run)),
        flushing=(("outbox", outbox.run_bus), ("audit", follower.run))
        + ((("notifications", outbox.run_notify),) if notifier else ()),
        wake=(dispatch.nudge, runner.nudge, committed),
        progress=Progress(clock),
        service=ServiceManager(),
        ready=lambda: bus.connected,
        stopped=lambda: store.commit(_lifecycle(AuditKind.STOPPED, clock, "stopped as told")),
    )
    try:
        await store.commit(_lifecycle(AuditKind.STARTED, clock, f"started with {len(inventory.servers)} servers"))
        async with ControlSocket(settings.socket, operators).serving():
            await daemon.run()
    finally:
        await shell.close()
        await store.close()


def _new_id() -> str:
    """An incident's id: short enough to type, and 4 billion of them."""
    return secrets.token_hex(4)


def _notifier(settings: Settings) -> AppriseNotifier | None:
    urls = settings.notify.urls
    if urls is None:
        _log.warning("no notification channel is configured: escalations reach only the bus and the journal")
        return None
    lines = [line.strip() for line in read_secret(urls).splitlines()]
    return AppriseNotifier([line for line in lines if line], urls.file or Path(str(urls.credential)))


def _lifecycle(kind: AuditKind, clock: Clock, message: str) -> Commit:
    now = clock.now()
    return Commit(at=now, audit=(AuditEntry(kind=kind, at=now, message=message),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The loops, by the stage of stopping in which they end. A loop that returns before it is told to is an error."""

    taking: tuple[tuple[str, Callable[[], Coroutine[Any, Any, None]]], ...]
    working: tuple[tuple[str, Loop], ...]
    flushing: tuple[tuple[str, Loop], ...]
    wake: tuple[Callable[[], None], ...]
    progress: Progress
    service: ServiceManager
    ready: Callable[[], bool]
    stopped: Callable[[], Coroutine[Any, Any, object]]  #: recorded once nothing runs any more, before the flush

    async def run(self) -> None:
        """Run until a signal; then: take nothing new in, let running actions end, flush, and go."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for wanted in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(wanted, stop.set)
        async with asyncio.TaskGroup() as tasks:
            taking = {name: tasks.create_task(run(), name=name) for name, run in self.taking}
            working, stop_working = self._start(tasks, self.working)
            flushing, stop_flushing = self._start(tasks, self.flushing)
            service = tasks.create_task(self._serve(), name="service manager")
            await self._until(stop, [*taking.values(), *working, *flushing])
            self.service.stopping()
            _log.info("stopping: no new alerts are taken in; running actions reach their outcome or their deadline")
            taking["intake"].cancel()
            await self._end(working, stop_working)
            await self.stopped()
            _log.info("stopping: flushing")
            await self._end(flushing, stop_flushing)
            taking["bus"].cancel()
            service.cancel()

    def _start(
        self, tasks: asyncio.TaskGroup, loops: tuple[tuple[str, Loop], ...]
    ) -> tuple[list[asyncio.Task[None]], asyncio.Event]:
        stopping = asyncio.Event()
        return [tasks.create_task(run(self.progress.of(name), stopping), name=name) for name, run in loops], stopping

    async def _until(self, stop: asyncio.Event, loops: list[asyncio.Task[None]]) -> None:
        waiting = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait([waiting, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        for task in done - {waiting}:
            await task
            raise RuntimeError(f"the loop {task.get_name()} ended by itself")

    async def _end(self, loops: list[asyncio.Task[None]], stopping: asyncio.Event) -> None:
        stopping.set()
        for wake in self.wake:
            wake()
        await asyncio.wait(loops)

    async def _serve(self) -> None:
        """Tell systemd when we are ready, how we stand, and that we make progress."""
        while not self.ready():
            self.service.status("waiting for the bus")
            await asyncio.sleep(0.1)
        self.service.ready()
        await feed_watchdog(self.progress, self._feed, self.service.watchdog_interval or STATUS_EVERY)

    def _feed(self, stuck: list[str]) -> None:
        if stuck:
            # Not fed: systemd restarts us, and every incident goes on where it was.
            _log.error("loops are stuck", loops=stuck)
            self.service.status(f"stuck: {', '.join(stuck)}")
            return
        self.service.status("bus connected" if self.ready() else "bus not connected; alerts wait at the broker")
        self.service.feed_watchdog()
