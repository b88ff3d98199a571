"""Puts adapters behind the ports and starts the daemon on them: the only module that names adapters."""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from daemon.actions.action import Unheard, understand
from daemon.adapters.apprise import AppriseNotifier
from daemon.adapters.atomic_file import replacing
from daemon.adapters.clock import FastClock, SystemClock
from daemon.adapters.console import ConsoleSink
from daemon.adapters.mqtt.bus import MqttBus
from daemon.adapters.mqtt.publish import publish_once
from daemon.adapters.pause_file import PauseFile
from daemon.adapters.pop3 import Pop3Client
from daemon.adapters.sqlite.backup import copied
from daemon.adapters.sqlite.file import is_locked
from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.systemd.journal import JournalSink, journal_copies, newest_copies
from daemon.adapters.systemd.logs import configure_logging
from daemon.adapters.systemd.service_manager import ServiceManager
from daemon.adapters.tcp import reach
from daemon.adapters.winrm.shell import WinrmShell
from daemon.assembly import Outer, assemble, lifecycle
from daemon.audit import RESEND, Verdict, verify_chain
from daemon.config.inventory import check_site, load_inventory, load_site
from daemon.config.settings import Settings, load_settings, read_secret
from daemon.control import ControlSocket
from daemon.doctor import Report, diagnose
from daemon.domain.audit import AuditKind
from daemon.domain.errors import BusDown, ConfigError, OperatorError, SinkDown
from daemon.domain.inventory import Inventory
from daemon.domain.ledger import Ledger
from daemon.domain.ports import Call, Clock, Store
from daemon.examination import Examiner
from daemon.logons import Logons
from daemon.older_store import LOOK_BACK, pause_if_older
from daemon.runtime.loops import stop_on_signal
from daemon.wire.answers import Organisation
from statemachines.loader import RunbookError, load_runbooks, shipped_directory
from statemachines.mistake import Mistake
from statemachines.model import Definition

DATABASE = "exmedic.db"
LOGONS = "logons.json"  #: beside it: the passwords that were refused, but for the passwords

_JOURNAL_DEADLINE = 30.0  #: seconds that reading the newest copies may take at the start
_JOIN = "let exmedic's user read the journal (group systemd-journal), or a restored store goes unnoticed"

_log = structlog.get_logger("exmedic.app")


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
    async with reading_file(settings.data / DATABASE) as store:
        yield store


@contextlib.asynccontextmanager
async def reading_file(database: Path) -> AsyncIterator[Store]:
    """A store's file, or a backup of one, to read from.

    Raises:
        StoreError: it cannot be read.
    """
    store = SqliteStore(database, read_only=True)
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
    compared = _compared(verdict) if compare else "not compared with a journal"
    return AuditVerdict(good=True, text=f"{verdict.rows} rows, chain unbroken, {compared}; head {verdict.head[:16]}")


def _compared(verdict: Verdict) -> str:
    if not verdict.compared:
        return "the journal has no copy of any: whether rows were cut off at the end cannot be told"
    text = f"{verdict.compared} copies in the journal agree"
    if verdict.begins > 1:
        text += f" (it begins at row {verdict.begins})"
    return f"{text}, it lacks {verdict.gaps} rows that the store has" if verdict.gaps else text


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made and verified, in words."""

    text: str


def back_up(settings: Settings, target: Path, *, force: bool) -> Backup:
    """Copy the store to `target` and verify the copy: its pages, its references, and its audit trail.

    Raises:
        OperatorError: the file exists, or is the store's own; or what was copied is not whole.
        StoreError: the store cannot be read or the copy not written.
    """
    store = settings.data / DATABASE
    if target.exists() and not force:
        raise OperatorError(f"{target} exists; name another file, or give --force to replace it")
    if target.resolve() in {store.with_name(store.name + end).resolve() for end in ("", "-wal", "-shm", ".lock")}:
        raise OperatorError(f"{target} is the store itself; name another file for the backup")
    with copied(store, target) as part:
        verdict, ledger = asyncio.run(_looked_over(part))
        if verdict.finding is not None:
            raise OperatorError(
                f"{store} has a bad audit trail: row {verdict.finding.seq}: {verdict.finding.reason}. No backup was "
                "made; keep copies of the files themselves, and see `exmedic audit verify`"
            )
        size = part.stat().st_size
    balance = f", but the ledger does not balance: {ledger.imbalance}" if ledger.imbalance else ""
    return Backup(
        f"{size / 1e6:.1f} MB, {ledger.stored} alerts, {ledger.opened} incidents, {verdict.rows} audit rows, chain "
        f"unbroken; head {verdict.head[:16]}{balance}"
    )


async def _looked_over(copy: Path) -> tuple[Verdict, Ledger]:
    store = SqliteStore(copy, read_only=True)
    await store.open()
    try:
        return await verify_chain(store), await store.ledger(thorough=True)
    finally:
        await store.close()


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


def _outer(settings: Settings, inventory: Inventory) -> Outer:
    journal = settings.journal.exists()
    configure_logging(sys.stdout, journal=journal, journal_socket=settings.journal)
    _make_directory(settings.data)
    bus, clock = MqttBus(settings.bus, read_secret), clock_of(settings)
    logons = Logons(clock.now, settings.data / LOGONS)
    return Outer(
        store=SqliteStore(settings.data / DATABASE, deadletter_topic=f"{settings.bus.prefix}/deadletter"),
        clock=clock,
        shell=WinrmShell(inventory, settings.winrm, settings.credentials, read_secret, logons),
        logons=logons,
        bus=bus,
        bus_loop=bus.run,
        sink=JournalSink(settings.journal) if journal else ConsoleSink(sys.stdout),
        resend=RESEND if journal else 0,
        notifier=_notifier(settings),
        outside=Pop3Client(inventory, settings.credentials, read_secret),
        pause=PauseFile(settings.safety.pause_file, inventory),
        service=ServiceManager(),
        new_id=_new_id,
    )


def _make_directory(data: Path) -> None:
    try:
        data.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"the data directory {data} cannot be made: {error.strerror}; make it for exmedic's user, or name another "
            "one as `data`"
        ) from error


async def doctor(settings: Settings, server: str) -> Report:
    """Ask a server everything that exmedic would ask, and judge the answers. It only reads.

    Raises:
        ConfigError: inventory or runbooks are wrong.
        OperatorError: the server is not in the inventory, so it is not contacted.
    """
    inventory = load_inventory(settings.inventory, settings)
    found = inventory.find(server)
    if found is None:
        raise OperatorError(
            f"{server} is not in {settings.inventory}, or its short name fits several servers there; not contacted"
        )
    clock = clock_of(settings)
    shell = WinrmShell(inventory, settings.winrm, settings.credentials, read_secret, Logons(clock.now))
    examiner = Examiner(
        shell=shell,
        clock=clock,
        inventory=inventory,
        definitions=runbooks(settings),
        timeout=settings.winrm.call_timeout,
        reach=lambda endpoint: reach(endpoint, settings.winrm.connect_timeout),
        depends=settings.dependencies,
    )
    try:
        return await diagnose(examiner, found, settings.timing.facts_age)
    finally:
        await shell.close()


async def read_organisation(settings: Settings, inventory: Inventory, through: str) -> Organisation:
    """Ask a server of the inventory what the whole organisation looks like. It only reads.

    Raises:
        OperatorError: there is no answer that can be understood.
    """
    logons = Logons(clock_of(settings).now)
    shell = WinrmShell(inventory, settings.winrm, settings.credentials, read_secret, logons)
    timeout = settings.winrm.call_timeout
    call = Call(executor=through, script="organisation", args={}, step_id="import", timeout=timeout, read_only=True)
    try:
        reply = await shell.run(call)
    finally:
        await shell.close()
    heard = understand(reply, through, "organisation", Organisation, time.monotonic())
    if isinstance(heard, Unheard):
        raise OperatorError(
            f"{heard.detail}; the inventory stays as it is. `exmedic doctor` says what is missing on a server of it"
        )
    return heard.answer


def replace_inventory(settings: Settings, before: bytes | None, after: bytes) -> None:
    """Put another inventory in the place of the one that was read as `before` (None: there was no file).

    Raises:
        ConfigError: it would have mistakes; the file is as it was.
        OperatorError: somebody else changed the file meanwhile, or it cannot be written.
    """
    with replacing(settings.inventory, before, after) as part:
        try:
            load_inventory(part, settings)
        except ConfigError as error:
            # Said of the file as it would be, by the name that the administrator knows.
            raise ConfigError(tuple(replace(each, file=settings.inventory) for each in error.mistakes)) from error


async def run_daemon(config: Path) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        ConfigError: configuration, inventory or runbooks are wrong; nothing was started.
        OperatorError: the data directory or the operators' socket cannot be made.
        StoreError: the store cannot be used.
    """
    settings, inventory = load_site(config)
    ladders = runbooks(settings)
    outer = _outer(settings, inventory)
    await outer.store.open()
    try:
        await _compare_with_journal(settings, outer)
        daemon, operators = assemble(settings, inventory, ladders, outer)
        started = f"started with {len(inventory.servers)} servers"
        await outer.store.commit(lifecycle(AuditKind.STARTED, outer.clock, started))
        async with ControlSocket(settings.socket, operators, settings.roles).serving():
            await daemon.run(stop_on_signal())
    finally:
        await outer.shell.close()
        await outer.store.close()


def may_run(data: Path) -> bool:
    """Whether a daemon may be running on the store in this directory: one has it open, or that cannot be told."""
    return is_locked((data / DATABASE).resolve())


async def _compare_with_journal(settings: Settings, outer: Outer) -> None:
    if not settings.journal.exists():
        return
    copies = newest_copies(LOOK_BACK, namespace=journal_namespace(settings.journal), uid=os.geteuid())
    try:
        async with asyncio.timeout(_JOURNAL_DEADLINE):
            await pause_if_older(outer.store, copies, outer.pause, outer.clock, settings.bus.prefix)
    except (SinkDown, TimeoutError) as error:
        _log.warning("journal_not_compared", reason=str(error) or "journalctl does not answer", todo=_JOIN)


def clock_of(settings: Settings) -> Clock:
    """The clock that a daemon of these settings goes by."""
    return FastClock(settings.lab.epoch, settings.lab.speed) if settings.lab else SystemClock()


def _new_id() -> str:
    """An incident's id: short enough to type, and 4 billion of them."""
    return secrets.token_hex(4)


def _notifier(settings: Settings) -> AppriseNotifier | None:
    urls = settings.notify.urls
    lines = [] if urls is None else [line.strip() for line in read_secret(urls).splitlines()]
    wanted = [line for line in lines if line]
    if urls is None or not wanted:
        _log.warning("no notification channel is configured: escalations reach only the bus and the journal")
        return None
    return AppriseNotifier(wanted, urls.file or Path(str(urls.credential)))
