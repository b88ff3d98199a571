"""A backup: made beside a daemon that writes, complete or not there, and restored."""
# ruff: noqa: ASYNC221, ASYNC240 - nothing else runs in these event loops that could be kept waiting

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from daemon.adapters.sqlite.backup import copied
from daemon.adapters.sqlite.store import SqliteStore
from daemon.audit.verification import verify_chain
from daemon.config.whereabouts import DATABASE
from daemon.domain.audit import chain_hash
from daemon.domain.errors import StoreError
from tests.adapters.sqlite import samples
from tests.adapters.sqlite.samples import EVERYTHING
from tests.adapters.sqlite.test_sqlite_failures import ROOT, committer, filled, lines, refusal, sql
from tests.audit.test_verification import tamper
from tests.cli.conftest import Exmedic, config, exmedic
from tests.realparts.waiting import HANG

__all__ = ["config", "exmedic"]  # fixtures


@pytest.fixture
def store(config: Path) -> Path:
    return config.parent / "data" / DATABASE


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "backups"
    directory.mkdir()
    return directory / "exmedic-1.db"


def backup(exmedic: Exmedic, config: Path, *arguments: str | Path) -> tuple[int, str]:
    result = exmedic("backup", *map(str, arguments), "--config", str(config))
    return result.code, result.said


def alone(target: Path) -> bool:
    """Nothing but the backup is in its directory."""
    return [each.name for each in target.parent.iterdir()] == ([target.name] if target.exists() else [])


def test_beside_a_daemon_that_writes_a_backup_is_one_moment_of_its_store(
    exmedic: Exmedic, config: Path, store: Path, target: Path
) -> None:
    with committer(store) as process:
        before = int(lines(process, 30)[-1])
        for _ in range(3):
            code, said = backup(exmedic, config, target, "--force")
            assert (code, "backed up" in said, "chain unbroken" in said) == (0, True, True), said
        after = int(lines(process, 1)[-1])
        [(version,)] = sql(target, "SELECT version FROM incidents")
        assert isinstance(version, int)
        assert before <= version
        assert after > 0
        assert sql(target, "SELECT count(*) FROM steps") == [(version,)]
        assert sql(target, "SELECT count(*) FROM audit") == [(2 * version,)]
        assert sql(target, "PRAGMA journal_mode") == [("delete",)]
    assert alone(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


async def test_a_restored_backup_starts_and_holds_what_was_backed_up(store: Path, target: Path) -> None:
    await filled(store, 20)
    with copied(store, target):
        pass
    restored = SqliteStore(target)
    await restored.open()
    assert (await restored.ledger(thorough=True)).imbalance == ""
    rows = await restored.audit_after(0, EVERYTHING)
    assert len(rows) == 20
    assert all(row.hash == chain_hash(row.seq, row.entry, row.prev_hash) for row in rows)
    await restored.ingest([samples.received("k0"), samples.received("new")])
    assert (await restored.ledger()).stored == 21
    assert (await verify_chain(restored)).finding is None
    await restored.close()


async def test_a_backup_restored_beside_the_log_of_the_store_before_it_is_refused(store: Path, target: Path) -> None:
    await filled(store, 5)
    with copied(store, target):
        pass
    with committer(store) as process:
        lines(process, 5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    wal = store.with_name(store.name + "-wal")
    assert wal.stat().st_size
    store.write_bytes(target.read_bytes())
    assert f"{wal.name} beside it belongs to the store that was there before" in await refusal(store)
    for end in ("-wal", "-shm"):
        store.with_name(store.name + end).unlink()
    opened = SqliteStore(store)
    await opened.open()
    assert (await opened.ledger()).stored == 5
    await opened.close()


def test_an_existing_file_is_replaced_only_with_force(
    exmedic: Exmedic, config: Path, store: Path, target: Path
) -> None:
    asyncio.run(filled(store, 1))
    target.write_text("an older backup")
    code, said = backup(exmedic, config, target)
    assert (code, "exists; name another file, or give --force" in said) == (1, True)
    assert target.read_text() == "an older backup"


@pytest.mark.parametrize("end", ["", "-wal", ".lock"])
def test_the_store_itself_is_never_overwritten(exmedic: Exmedic, config: Path, store: Path, end: str) -> None:
    asyncio.run(filled(store, 1))
    before = store.read_bytes()
    link = config.parent / "elsewhere"
    link.symlink_to(store.parent)
    code, said = backup(exmedic, config, link / (DATABASE + end), "--force")
    assert code == 1, said
    assert store.read_bytes() == before
    assert "is the store itself" in said


def test_where_there_is_no_store_nothing_is_written(exmedic: Exmedic, config: Path, target: Path) -> None:
    code, said = backup(exmedic, config, target)
    assert (code, DATABASE in said) == (1, True)
    assert alone(target)


def test_a_directory_that_is_missing_is_named(exmedic: Exmedic, config: Path, target: Path) -> None:
    code, said = backup(exmedic, config, target.parent / "typo" / "copy.db")
    assert (code, "typo" in said) == (1, True)


class TestWhatIsNotWhole:
    async def test_a_damaged_store_is_not_backed_up(self, store: Path, target: Path) -> None:
        await filled(store)
        with store.open("r+b") as file:
            file.seek(20_000)
            file.write(b"\xde\xad\xbe\xef" * 2048)
        with pytest.raises(StoreError, match="damaged"), copied(store, target):
            pass
        assert alone(target)

    def test_nor_is_one_with_a_bad_audit_trail(self, exmedic: Exmedic, config: Path, store: Path, target: Path) -> None:
        asyncio.run(filled(store, 5))
        tamper(store, "UPDATE audit SET message = 'nothing happened' WHERE seq = 3")
        code, said = backup(exmedic, config, target)
        assert (code, "row 3" in said, alone(target)) == (1, True, True)


DYING = """
import os, pathlib, signal, sys
from daemon.adapters.sqlite.backup import copied

with copied(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])) as part:
    os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_backup_that_dies_leaves_the_one_before_it(store: Path, target: Path) -> None:
    await filled(store, 3)
    target.write_text("the one before it")
    died = subprocess.run([sys.executable, "-c", DYING, str(store), str(target)], cwd=ROOT, timeout=HANG, check=False)
    assert died.returncode == -signal.SIGKILL
    assert target.read_text() == "the one before it"


async def test_a_backup_is_synced_before_it_has_its_name(
    store: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store, 3)
    synced: list[tuple[int, bool]] = []
    sync = os.fsync

    def recorded(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, target.exists()))

    monkeypatch.setattr(os, "fsync", recorded)
    with copied(store, target):
        pass
    with closing(sqlite3.connect(target)):
        assert synced == [(target.stat().st_ino, False), (target.parent.stat().st_ino, True)]
