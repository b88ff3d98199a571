"""A chain that somebody changed, held against a real journal: each way of doing it, and the first bad row's number."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.adapters.pause_file import PauseFile
from daemon.adapters.sqlite.rows import audit_columns
from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.systemd.journal import JournalSink, journal_copies, newest_copies
from daemon.audit.restored_store import LOOK_BACK, missing_row, pause_if_older
from daemon.audit.verification import Verdict, verify_chain
from daemon.domain.audit import GENESIS, AuditEntry, AuditKind, AuditRow
from daemon.domain.commits import Channel
from daemon.domain.inventory import Inventory
from daemon.domain.store_rules import chained
from daemon.testing.clock import ManualClock
from tests.adapters.test_journal import follow
from tests.audit.rows import entry, record
from tests.audit.test_verification import tamper
from tests.realparts.journald import Journald

COUNT = 40
BACKED_UP = 25

Forging = Callable[[list[AuditRow]], Iterable[AuditRow]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exmedic.db"


@pytest.fixture
async def genuine(journald: Journald, path: Path) -> list[AuditRow]:
    """The rows of a store, each with its copy in the journal."""
    store, sink = SqliteStore(path), JournalSink(journald.socket_path)
    await store.open()
    await record(store, [entry(f"row {number}", {"number": number}) for number in range(1, BACKED_UP + 1)])
    await follow(journald, store, sink, until=BACKED_UP)
    with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(path.with_name("backup.db"))) as backup:
        now.backup(backup)
    await record(store, [entry(f"row {number}", {"number": number}) for number in range(BACKED_UP + 1, COUNT + 1)])
    await follow(journald, store, sink, until=COUNT)
    rows = await store.audit_after(0, COUNT)
    await store.close()
    sink.close()
    journald.entries()  # synced
    return rows


async def verified(path: Path, journald: Journald) -> Verdict:
    store = SqliteStore(path, read_only=True)
    await store.open()
    try:
        return await verify_chain(store, journal_copies(namespace=journald.namespace, uid=0))
    finally:
        await store.close()


def put(path: Path, rows: Iterable[AuditRow]) -> None:
    """Write a whole chain in place of the one that is there."""
    tamper(path)  # its triggers
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM audit")
        columns = [audit_columns(row) for row in rows]
        names = ", ".join(columns[0])
        database.executemany(
            f"INSERT INTO audit ({names}) VALUES ({', '.join(f':{name}' for name in columns[0])})",  # noqa: S608 - ours
            columns,
        )


def changed(row: AuditRow) -> AuditEntry:
    return replace(row.entry, message="nothing happened")


def content(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return [*rows[:19], replace(rows[19], entry=changed(rows[19])), *rows[20:]]


def content_and_hash(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return [*rows[:19], *chained([changed(rows[19])], 19, rows[18].hash), *rows[20:]]


def content_and_hash_of_the_last(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return [*rows[:-1], *chained([changed(rows[-1])], COUNT - 1, rows[-2].hash)]


def content_and_all_hashes_after_it(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return [*rows[:19], *chained([changed(rows[19]), *(row.entry for row in rows[20:])], 19, rows[18].hash)]


def removed(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return [*rows[:19], *rows[20:]]


def removed_and_renumbered(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return [*rows[:19], *(replace(row, seq=row.seq - 1) for row in rows[20:])]


def removed_and_chained_anew(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return [*rows[:19], *chained([row.entry for row in rows[20:]], 19, rows[18].hash)]


def cut_off(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return rows[:30]


def cut_off_by_one(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return rows[:-1]


def replaced(rows: list[AuditRow]) -> Iterable[AuditRow]:
    return chained([entry(f"another {row.seq}") for row in rows], 0, GENESIS)


@pytest.mark.parametrize(
    ("forging", "seq", "words"),
    [
        (content, 20, "its content does not have its hash"),
        (content_and_hash, 20, "the chain was rewritten from here on"),  # the chain alone shows it at row 21
        (content_and_hash_of_the_last, COUNT, "the chain was rewritten from here on"),
        (content_and_all_hashes_after_it, 20, "the chain was rewritten from here on"),
        (removed, 20, "row 20 was removed"),
        (removed_and_renumbered, 20, "row 20 does not continue row 19"),
        (removed_and_chained_anew, 20, "the chain was rewritten from here on"),
        (cut_off, 31, "the chain was cut off"),
        (cut_off_by_one, COUNT, "the chain was cut off"),
        (replaced, 1, "the chain was rewritten from here on, or is another one"),
    ],
)
async def test_each_way_of_changing_the_chain_is_found_and_the_first_bad_row_named(  # noqa: PLR0917 - pytest names them
    journald: Journald, path: Path, genuine: list[AuditRow], forging: Forging, seq: int, words: str
) -> None:
    put(path, forging(genuine))
    finding = (await verified(path, journald)).finding
    assert finding is not None
    assert (finding.seq, words in finding.reason) == (seq, True), finding


async def test_an_untouched_chain_agrees_with_every_copy(
    journald: Journald, path: Path, genuine: list[AuditRow]
) -> None:
    verdict = await verified(path, journald)
    assert (verdict.finding, verdict.rows, verdict.compared, verdict.missing) == (None, COUNT, COUNT, 0)
    assert verdict.head == genuine[-1].hash


async def test_rows_that_the_journal_forgot_or_lost_are_no_finding_but_counted(journald: Journald, path: Path) -> None:
    store, sink = SqliteStore(path), JournalSink(journald.socket_path)
    await store.open()
    await record(store, [entry(str(number)) for number in range(10)])
    for row in (await store.audit_after(3, 2)) + (await store.audit_after(7, 2)):  # 4, 5, 8 and 9
        await sink.emit(row)
    journald.entries()  # synced
    await store.close()
    sink.close()
    verdict = await verified(path, journald)
    assert (verdict.finding, verdict.compared, verdict.missing, verdict.begins, verdict.gaps) == (None, 4, 6, 4, 3)


class TestOlderStore:
    """A store that was set back to an earlier state, under a journal that knows more."""

    @pytest.fixture
    def pause(self, tmp_path: Path) -> PauseFile:
        return PauseFile(tmp_path / "pause", Inventory(()))

    async def started(self, store: SqliteStore, journald: Journald, pause: PauseFile) -> None:
        """What a start does: compare, put the start on record, and copy what there is to the journal."""
        newest = newest_copies(LOOK_BACK, namespace=journald.namespace, uid=0)
        await pause_if_older(store, newest, pause, ManualClock(), "exmedic")
        await record(store, [entry("started", kind=AuditKind.STARTED)])
        sink = JournalSink(journald.socket_path)
        await follow(journald, store, sink, until=len(await store.audit_after(0, 1000)))
        sink.close()
        journald.entries()  # synced

    async def test_it_pauses_tells_a_human_once_and_then_goes_on(
        self, journald: Journald, path: Path, pause: PauseFile, genuine: list[AuditRow]
    ) -> None:
        assert len(genuine) == COUNT
        store = SqliteStore(path.with_name("backup.db"))
        await store.open()
        await self.started(store, journald, pause)
        assert "older than the journal" in (pause.reason() or "")
        [row] = [row for row in await store.audit_after(0, 100) if row.entry.kind is AuditKind.STORE_OLDER]
        assert (row.seq, row.entry.fields["journal_seq"]) == (BACKED_UP + 1, COUNT)
        [page] = await store.outbox(Channel.NOTIFY, 10)
        assert "exmedic resume" in page.message.body["text"]
        assert [each.message.topic for each in await store.outbox(Channel.BUS, 10)] == ["exmedic/escalations"]
        pause.resume()
        for _ in range(2):
            await self.started(store, journald, pause)
        assert pause.reason() is None, "the operator has seen it"
        await store.close()

    async def test_a_store_as_old_as_its_journal_or_newer_is_left_in_peace(
        self, journald: Journald, path: Path, pause: PauseFile, genuine: list[AuditRow]
    ) -> None:
        store = SqliteStore(path)
        await store.open()
        await record(store, [entry("not in the journal yet")])
        for _ in range(3):
            await self.started(store, journald, pause)
        assert pause.reason() is None
        assert len(await store.audit_after(0, 100)) == len(genuine) + 4
        await store.close()

    async def test_an_empty_store_under_a_journal_with_rows_is_noticed_and_one_without_is_not(
        self, journald: Journald, tmp_path: Path, genuine: list[AuditRow]
    ) -> None:
        empty = SqliteStore(tmp_path / "new.db")
        await empty.open()
        found = await missing_row(empty, newest_copies(LOOK_BACK, namespace=journald.namespace, uid=0))
        assert found == len(genuine)
        assert await missing_row(empty, newest_copies(LOOK_BACK, namespace=journald.namespace, uid=4711)) is None
        await empty.close()
