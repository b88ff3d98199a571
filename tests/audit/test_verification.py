"""Whether a chain that somebody changed is found out: with SQLite itself as the tool of who changes it."""

import sqlite3
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters.sqlite.store import SqliteStore
from daemon.audit.verification import Verdict, verify_chain
from daemon.domain.audit import GENESIS, AuditRow, chain_hash
from daemon.domain.store import Store
from daemon.testing.memory_store import MemoryStore
from tests.audit.rows import entry, record

COUNT = 450  # more than two pages


async def copies_of(rows: Iterable[AuditRow]) -> AsyncIterator[tuple[int, str]]:
    for row in rows:
        yield row.seq, row.hash


async def all_rows(store: Store) -> list[AuditRow]:
    return await store.audit_after(0, 10_000)


async def full_store(path: Path) -> list[AuditRow]:
    store = SqliteStore(path)
    await store.open()
    await record(store, [entry(f"row {number}", {"number": number}) for number in range(1, COUNT + 1)])
    rows = await all_rows(store)
    await store.close()
    return rows


async def verdict(path: Path, copies: Iterable[AuditRow] = ()) -> Verdict:
    store = SqliteStore(path)
    await store.open()
    try:
        return await verify_chain(store, copies_of(copies))
    finally:
        await store.close()


def tamper(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        for statement in statements:
            assert database.execute(statement).rowcount > 0, statement
    database.close()


async def test_an_untouched_chain_is_right_and_says_what_was_compared(tmp_path: Path) -> None:
    rows = await full_store(tmp_path / "store.db")
    result = await verdict(tmp_path / "store.db", [*rows[:200], *rows[100:]])
    assert (result.rows, result.head, result.compared) == (COUNT, rows[-1].hash, COUNT + 100)
    assert result.finding is None


async def test_a_store_without_rows_is_right() -> None:
    store = MemoryStore()
    await store.open()
    result = await verify_chain(store)
    assert (result.rows, result.head, result.finding) == (0, GENESIS, None)


@pytest.mark.parametrize(
    ("change", "seq", "reason"),
    [
        ("UPDATE audit SET message = 'nothing happened' WHERE seq = 230", 230, "rewritten"),
        ("UPDATE audit SET fields = '{}' WHERE seq = 1", 1, "rewritten"),
        ("UPDATE audit SET at = '2020-01-01T00:00:00.000000+00:00' WHERE seq = 450", 450, "rewritten"),
        ("DELETE FROM audit WHERE seq = 300", 300, "removed"),
        ("DELETE FROM audit WHERE seq BETWEEN 1 AND 449", 1, "removed"),
        ("UPDATE audit SET prev_hash = hash WHERE seq = 7", 7, "does not continue"),
    ],
)
async def test_a_changed_row_is_found_in_the_chain_itself(tmp_path: Path, change: str, seq: int, reason: str) -> None:
    await full_store(tmp_path / "store.db")
    tamper(tmp_path / "store.db", change)
    result = await verdict(tmp_path / "store.db")
    assert result.finding is not None
    assert result.finding.seq == seq
    assert reason in result.finding.reason


async def test_a_chain_that_was_cut_off_is_found_by_its_copies_only(tmp_path: Path) -> None:
    rows = await full_store(tmp_path / "store.db")
    tamper(tmp_path / "store.db", "DELETE FROM audit WHERE seq > 440")
    assert (await verdict(tmp_path / "store.db")).finding is None
    found = (await verdict(tmp_path / "store.db", rows)).finding
    assert found is not None
    assert found.seq == 441
    assert "cut off" in found.reason


async def test_a_chain_rewritten_with_matching_hashes_is_found_by_its_copies(tmp_path: Path) -> None:
    rows = await full_store(tmp_path / "store.db")
    forged, previous = [], rows[98].hash
    for row in rows[99:]:
        content = entry("nothing happened") if row.seq == 100 else row.entry
        digest = chain_hash(row.seq, content, previous)
        forged.append(
            (content.message, "{}" if row.seq == 100 else f'{{"number":{row.seq}}}', previous, digest, row.seq)
        )
        previous = digest
    tamper(tmp_path / "store.db")
    with sqlite3.connect(tmp_path / "store.db") as database:
        database.executemany("UPDATE audit SET message=?, fields=?, prev_hash=?, hash=? WHERE seq=?", forged)
    database.close()
    assert (await verdict(tmp_path / "store.db")).finding is None
    found = (await verdict(tmp_path / "store.db", rows)).finding
    assert found is not None
    assert found.seq == 100
    assert "rewritten" in found.reason


@given(st.integers(1, 9), st.sampled_from(["message", "server", "incident_id", "health_set", "monitor"]))
async def test_any_change_to_any_field_of_any_row_is_found(seq: int, field: str) -> None:
    class Tampered(MemoryStore):
        async def audit_after(self, seq_: int, limit: int) -> list[AuditRow]:
            found = await super().audit_after(seq_, limit)
            return [_changed(row, field) if row.seq == seq else row for row in found]

    store = Tampered()
    await store.open()
    await record(store, [entry(str(number)) for number in range(9)])
    finding = (await verify_chain(store)).finding
    assert finding is not None
    assert finding.seq == seq


def _changed(row: AuditRow, field: str) -> AuditRow:
    changed: dict[str, Any] = {field: "changed"}
    return replace(row, entry=replace(row.entry, **changed))
