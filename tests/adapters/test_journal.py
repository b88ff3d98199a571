"""Audit rows and log lines in a real journal, and back out of it with journalctl."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from daemon.adapters.clock import SystemClock
from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.systemd.journal import JournalHandler, JournalSink, journal_copies, newest_copies, serialize
from daemon.adapters.systemd.logs import configure_logging
from daemon.audit.follower import AuditFollower, Held
from daemon.audit.journal_fields import journal_fields
from daemon.audit.verification import verify_chain
from daemon.domain.audit import AuditKind
from daemon.domain.errors import SinkDown
from tests.audit.rows import entry, record, rows
from tests.audit.test_verification import tamper
from tests.realparts.journald import Journald
from tests.realparts.waiting import HANG, eventually


@pytest.fixture
def sink(journald: Journald) -> Iterator[JournalSink]:
    opened = JournalSink(journald.socket_path)
    yield opened
    opened.close()


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


async def test_a_row_reads_back_from_the_journal_with_every_field(journald: Journald, sink: JournalSink) -> None:
    facts = {"from_state": "verify", "text": "two\nlines = and umlauts äöü", "empty": "", "params": {"servers": ["a"]}}
    (row,) = rows(entry("POP ist krank: „nein“", facts, AuditKind.TRANSITION))
    await sink.emit(row)
    (read,) = journald.entries("SYSLOG_IDENTIFIER=exmedic")
    expected = journal_fields(row)
    assert {name: read[name] for name in expected} == expected
    assert read["TEXT"] == "two\nlines = and umlauts äöü"


async def test_an_entry_too_large_for_a_datagram_arrives_whole(journald: Journald, sink: JournalSink) -> None:
    large = "0123456789abcdef" * 64 * 1024 * 2  # 2 MiB, beyond what a datagram socket takes
    (row,) = rows(entry(fields={"answer": large}))
    await sink.emit(row)
    (read,) = journald.entries("SYSLOG_IDENTIFIER=exmedic")
    assert read["ANSWER"] == large


async def test_without_journald_a_row_is_refused_and_the_message_names_the_socket(tmp_path: Path) -> None:
    with pytest.raises(SinkDown, match=str(tmp_path / "nowhere")):
        await JournalSink(tmp_path / "nowhere").emit(rows(entry())[0])


async def test_a_killed_journald_is_noticed_and_used_again_when_it_is_back(
    journald: Journald,
    sink: JournalSink,
) -> None:
    first, second, third = rows(entry("1"), entry("2"), entry("3"))
    await sink.emit(first)
    journald.kill()
    with pytest.raises(SinkDown):
        await sink.emit(second)
    journald.restart()
    await sink.emit(third)
    assert [each["MESSAGE"] for each in journald.entries("SYSLOG_IDENTIFIER=exmedic")][-1] == "3"


async def test_a_hanging_journald_refuses_rows_and_never_stalls_the_event_loop(
    journald: Journald,
    sink: JournalSink,
) -> None:
    journald.freeze()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    with pytest.raises(SinkDown, match="has not read"):
        await emit_many(sink, 2000)
    assert ticks > 5
    ticking.cancel()
    journald.thaw()
    await sink.emit(rows(entry("thawed"))[0])
    assert journald.entries("SYSLOG_IDENTIFIER=exmedic")[-1]["MESSAGE"] == "thawed"


async def test_a_burst_that_journald_cannot_keep_up_with_is_slowed_down_not_dropped(
    journald: Journald,
    sink: JournalSink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("daemon.adapters.systemd.journal._FULL_DEADLINE", HANG)
    await emit_many(sink, 3000)
    assert len(journald.entries("SYSLOG_IDENTIFIER=exmedic")) == 3000


async def emit_many(sink: JournalSink, count: int) -> None:
    for row in rows(*(entry(str(number)) for number in range(count))):
        await sink.emit(row)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store.db")
    await opened.open()
    yield opened
    await opened.close()


async def follow(journald: Journald, store: SqliteStore, sink: JournalSink, until: int) -> None:
    async def held() -> Held:
        journald.entries()  # synced
        return {(copy.seq, copy.hash) async for copy in newest_copies(200, namespace=journald.namespace)}

    follower = AuditFollower(store=store, sink=sink, clock=SystemClock(), held=held)
    stopping = asyncio.Event()
    running = asyncio.create_task(follower.run(lambda: None, stopping))

    async def caught_up() -> bool:
        return await store.cursor("journal") == until

    await eventually(caught_up, f"{until} rows are in the journal")
    stopping.set()
    follower.nudge()
    await asyncio.wait_for(running, HANG)


async def test_copies_survive_a_killed_journald_and_verify_the_chain(
    journald: Journald,
    sink: JournalSink,
    store: SqliteStore,
) -> None:
    await record(store, [entry(str(number)) for number in range(300)])
    await follow(journald, store, sink, until=300)
    # What it had not read would die with it, and then there is one copy of it only: the one that is sent again.
    await eventually(lambda: len(journald.entries("SYSLOG_IDENTIFIER=exmedic")) == 300, "journald has read them all")
    journald.kill()
    journald.restart()
    await record(store, [entry(str(number)) for number in range(10)])
    await follow(journald, store, sink, until=310)
    journald.entries()  # synced
    copies = [copy async for copy in journal_copies(namespace=journald.namespace, uid=0)]
    assert {seq for seq, _ in copies} == set(range(1, 311))
    assert len(copies) == 310, "what it had is not there twice"
    verdict = await verify_chain(store, journal_copies(namespace=journald.namespace))
    assert (verdict.rows, verdict.compared, verdict.finding) == (310, 310, None)


async def test_a_chain_cut_off_in_the_store_is_found_by_the_copies_in_the_journal(
    journald: Journald,
    sink: JournalSink,
    store: SqliteStore,
    tmp_path: Path,
) -> None:
    await record(store, [entry(str(number)) for number in range(20)])
    await follow(journald, store, sink, until=20)
    journald.entries()  # synced
    tamper(tmp_path / "store.db", "DELETE FROM audit WHERE seq > 15")
    finding = (await verify_chain(store, journal_copies(namespace=journald.namespace))).finding
    assert finding is not None
    assert finding.seq == 16


async def test_copies_of_another_user_do_not_count(journald: Journald, sink: JournalSink) -> None:
    await sink.emit(rows(entry())[0])
    journald.entries()  # synced
    assert [copy async for copy in journal_copies(namespace=journald.namespace, uid=4711)] == []


async def test_a_journal_that_cannot_be_read_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SinkDown, match="journalctl cannot be run"):
        _ = [copy async for copy in journal_copies()]


@pytest.mark.usefixtures("root_logger")
def test_the_daemons_own_log_is_in_the_journal_with_its_facts_as_fields(journald: Journald) -> None:
    with open("/dev/null", "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a stream
        configure_logging(nowhere, journal=True, journal_socket=journald.socket_path)
    structlog.get_logger("exmedic.test").warning(
        "bus_down", broker="b:1883", attempts=3, password="hunter2", audit_seq=7
    )
    logging.getLogger("some.library").error("it %s", "broke")
    structlog.get_logger("exmedic.test").error("internal error", incident="i-1", exc_info=ValueError("what happened"))
    ours, library, error = journald.entries("SYSLOG_IDENTIFIER=exmedic")
    assert re.fullmatch(r"bus_down attempts=3 audit_seq=7 broker=b:1883 password=\S+", ours["MESSAGE"])
    assert error["MESSAGE"].startswith("internal error incident=i-1\nValueError: what happened")
    facts = {"PRIORITY": "4", "EVENT": "bus_down", "BROKER": "b:1883", "ATTEMPTS": "3", "LOGGER": "exmedic.test"}
    assert {name: ours[name] for name in facts} == facts
    assert "hunter2" not in json.dumps(ours)
    assert "AUDIT_SEQ" not in ours
    assert library["PRIORITY"] == "3"
    assert "it broke" in library["MESSAGE"]
    assert "ValueError: what happened" in error["MESSAGE"]


def test_a_log_line_is_counted_and_not_waited_for_when_the_journal_is_away(journald: Journald) -> None:
    handler = JournalHandler(journald.socket_path)
    line = logging.LogRecord("exmedic", logging.INFO, __file__, 1, "line", None, None)
    journald.kill()
    for _ in range(3):
        handler.handle(line)
    journald.restart()
    handler.handle(line)
    handler.handle(line)
    handler.close()
    first, second = journald.entries("SYSLOG_IDENTIFIER=exmedic")
    assert first["LOST_ENTRIES"] == "3"
    assert "LOST_ENTRIES" not in second


def test_values_with_line_breaks_carry_their_length() -> None:
    assert serialize({"A": "x", "B": "1\n2"}) == b"A=x\nB\n\x03\x00\x00\x00\x00\x00\x00\x001\n2\n"


async def test_eventually_a_full_socket_is_writable_again(journald: Journald, sink: JournalSink) -> None:
    journald.freeze()
    emitting = asyncio.create_task(emit_many(sink, 2000))
    await eventually(lambda: bool(sink._socket._socket), "it connected")  # noqa: SLF001 - its own state, not to send
    journald.thaw()
    await asyncio.wait_for(emitting, HANG)
    assert len(journald.entries("SYSLOG_IDENTIFIER=exmedic")) == 2000
