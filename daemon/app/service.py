"""Puts adapters behind the ports and runs the daemon on them."""

import asyncio
import os
import secrets
import sys
from functools import partial
from pathlib import Path

import structlog

from daemon.adapters.apprise import AppriseNotifier
from daemon.adapters.console import ConsoleSink
from daemon.adapters.mqtt.bus import MqttBus
from daemon.adapters.pause_file import PauseFile
from daemon.adapters.pop3 import Pop3Client
from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.systemd.journal import JournalSink, newest_copies
from daemon.adapters.systemd.logs import configure_logging
from daemon.adapters.systemd.service_manager import ServiceManager
from daemon.adapters.winrm.shell import WinrmShell
from daemon.app.assembly import Outer, assemble, lifecycle
from daemon.app.offline import beyond_budgets, clock_of, journal_namespace, logons_of, runbooks
from daemon.audit.follower import RESEND, Held, nothing
from daemon.audit.restored_store import LOOK_BACK, pause_if_older
from daemon.config.inventory import load_site
from daemon.config.settings import Settings, read_secret
from daemon.config.whereabouts import DATABASE
from daemon.domain.audit import AuditKind
from daemon.domain.errors import OperatorError, SinkDown
from daemon.domain.inventory import Inventory
from daemon.operators.socket import ControlSocket
from daemon.runtime.loops import stop_on_signal

_JOURNAL_DEADLINE = 30.0  #: seconds that reading the newest copies may take at the start


_JOIN = "let exmedic's user read the journal (group systemd-journal), or a restored store goes unnoticed"


_log = structlog.get_logger("exmedic.app")


def _outer(settings: Settings, inventory: Inventory) -> Outer:
    journal = settings.journal.exists()
    configure_logging(sys.stdout, journal=journal, journal_socket=settings.journal)
    _make_directory(settings.data)
    bus, clock = MqttBus(settings.bus, read_secret), clock_of(settings)
    logons = logons_of(settings, kept=True)
    return Outer(
        store=SqliteStore(settings.data / DATABASE, deadletter_topic=f"{settings.bus.prefix}/deadletter"),
        clock=clock,
        shell=WinrmShell(inventory, settings.winrm, settings.credentials, read_secret, logons),
        logons=logons,
        bus=bus,
        bus_loop=bus.run,
        sink=JournalSink(settings.journal) if journal else ConsoleSink(sys.stdout),
        resend=RESEND if journal else 0,
        held=partial(_held, settings) if journal else nothing,
        notifier=_notifier(settings),
        outside=Pop3Client(inventory, settings.credentials, read_secret),
        pause=_switch(settings, inventory),
        service=ServiceManager(),
        new_id=_new_id,
    )


def _switch(settings: Settings, inventory: Inventory) -> PauseFile:
    switch = PauseFile(settings.safety.pause_file, inventory)
    try:
        switch.prepare()
    except OSError as error:
        todo = f"make {switch.directory} and {switch.ordered} directories of exmedic's user"
        _log.warning("pause_directories_not_ready", reason=error.strerror, file=error.filename, todo=todo)
    return switch


def _make_directory(data: Path) -> None:
    try:
        data.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"the data directory {data} cannot be made: {error.strerror}; make it for exmedic's user, or name another "
            "one as `data`"
        ) from error


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
        for what in beyond_budgets(ladders, settings.budgets):
            _log.warning("ladder_beyond_budgets", what=what)
        async with ControlSocket(settings.socket, operators, settings.roles).serving():
            await daemon.run(stop_on_signal())
    finally:
        await outer.shell.close()
        await outer.store.close()


async def _held(settings: Settings) -> Held:
    """The newest copies in the journal; none where it cannot be read: then the rows are sent again."""
    copies = newest_copies(2 * RESEND, namespace=journal_namespace(settings.journal), uid=os.geteuid())
    try:
        async with asyncio.timeout(_JOURNAL_DEADLINE):
            return {(copy.seq, copy.hash) async for copy in copies}
    except (SinkDown, TimeoutError) as error:
        _log.warning("journal_not_read", reason=str(error) or "journalctl does not answer", todo=_JOIN)
        return ()


async def _compare_with_journal(settings: Settings, outer: Outer) -> None:
    if not settings.journal.exists():
        return
    copies = newest_copies(LOOK_BACK, namespace=journal_namespace(settings.journal), uid=os.geteuid())
    try:
        async with asyncio.timeout(_JOURNAL_DEADLINE):
            await pause_if_older(outer.store, copies, outer.pause, outer.clock, settings.bus.prefix)
    except (SinkDown, TimeoutError) as error:
        _log.warning("journal_not_compared", reason=str(error) or "journalctl does not answer", todo=_JOIN)


def _new_id() -> str:
    """An incident's id: short enough to type, and 4 billion of them."""
    return secrets.token_hex(4)


def _notifier(settings: Settings) -> AppriseNotifier | None:
    urls = settings.notify.urls
    lines = [] if urls is None else [line.strip() for line in read_secret(urls).splitlines()]
    wanted = [line for line in lines if line]
    if urls is None or not wanted:
        _log.warning("no_notification_channel", what="escalations reach only the bus and the journal")
        return None
    return AppriseNotifier(wanted, urls.file or Path(str(urls.credential)))
