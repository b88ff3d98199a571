"""What commands read without a daemon: the configuration, the store, its audit trail."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from daemon.adapters.clock import FastClock, SystemClock
from daemon.adapters.sqlite.backup import copied
from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.systemd.journal import journal_copies
from daemon.audit.verification import Verdict, verify_chain
from daemon.config.guardrails import Budgets
from daemon.config.inventory import check_site
from daemon.config.settings import Settings, load_settings
from daemon.config.whereabouts import DATABASE
from daemon.domain.errors import ConfigError, OperatorError, SinkDown
from daemon.domain.ledger import Ledger
from daemon.domain.ports import Clock
from daemon.domain.store import Store
from daemon.exchange.logons import Logons
from statemachines.checker import CEILINGS, prove
from statemachines.loader import RunbookError, load_runbooks, shipped_directory
from statemachines.mistake import Mistake
from statemachines.model import Definition

LOGONS = "logons.json"  #: beside the store: the passwords that were refused, but for the passwords


def runbook_places(settings: Settings) -> list[Path]:
    """Where runbooks are: the shipped ones, then the site's own, which may take their place."""
    return [shipped_directory(), *([settings.runbooks] if settings.runbooks is not None else [])]


def runbooks(settings: Settings) -> tuple[Definition, ...]:
    """The shipped runbooks and the site's own.

    Raises:
        ConfigError: any of them is wrong.
    """
    try:
        return load_runbooks(*runbook_places(settings))
    except RunbookError as error:
        raise ConfigError(error.mistakes) from error


def beyond_budgets(ladders: Iterable[Definition], budgets: Budgets) -> Iterator[str]:
    """Where a ladder may come to more than the site's budgets let it do; nothing where they were not lowered.

    It is no mistake: the budget refuses the step then, and a human is paged. But it should surprise nobody at night.
    """
    ceilings = budgets.of_a_ladder()
    for ladder in ladders if ceilings != CEILINGS else ():
        for finding in prove(ladder, ceilings):
            yield f"{ladder.runbook}: {finding.message} by [budgets], so there it is refused and escalates"


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
    cut = f", behind row {verdict.cut} which was forgotten with those before it" if verdict.cut else ""
    text = f"{verdict.rows} rows, chain unbroken{cut}, {compared}; head {verdict.head[:16]}"
    return AuditVerdict(good=True, text=text)


def _compared(verdict: Verdict) -> str:
    if not verdict.compared:
        return "the journal has no copy of any: whether rows were cut off at the end cannot be told"
    text = f"{verdict.compared} copies in the journal agree"
    if verdict.begins > 1:
        text += f" (it begins at row {verdict.cut + verdict.begins})"
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


def logons_of(settings: Settings, *, kept: bool = False) -> Logons:
    """The passwords that rest: the daemon's own, where one may look. `kept`: it must be possible to keep them.

    One for each command, whichever servers it asks: each by itself would be offered a wrong password.
    """
    ours = kept or os.access(settings.data, os.R_OK | os.W_OK | os.X_OK)
    rest = timedelta(seconds=settings.winrm.logon_rest)
    return Logons(clock_of(settings).now, settings.data / LOGONS if ours else None, rest)


def clock_of(settings: Settings) -> Clock:
    """The clock that a daemon of these settings goes by."""
    return FastClock(settings.lab.epoch, settings.lab.speed) if settings.lab else SystemClock()
