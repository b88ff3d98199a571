"""The SQLite store when processes die, files are damaged, disks are full and others hold the file."""
# ruff: noqa: ASYNC221, ASYNC240 - nothing else runs in these event loops that could be kept waiting

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemon.adapters.sqlite import file as sqlite_file
from daemon.adapters.sqlite.file import file_system, migrate, migrations
from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.audit import chain_hash
from daemon.domain.commits import Channel
from daemon.domain.errors import Conflict, StoreError
from daemon.domain.incidents import IncidentStatus, StepStatus
from tests.adapters.sqlite import samples
from tests.adapters.sqlite.samples import EVERYTHING, work
from tests.realparts.waiting import HANG

ROOT = Path(__file__).parents[3]
SCHEMA = Path(__file__).with_name("schema.sql")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exmedic.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path)
    await opened.open()
    yield opened
    await opened.close()


@contextmanager
def committer(path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The process of tests.adapters.sqlite.committer, killed at the end."""
    command = [sys.executable, "-m", "tests.adapters.sqlite.committer", str(path), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    found = [process.stdout.readline().strip() for _ in range(count)]
    assert all(found), "the process ended early"
    return found


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Kill -9; what it had still printed."""
    process.kill()
    assert process.stdout is not None
    return process.stdout.read().split()


async def refusal(path: Path, *, read_only: bool = False) -> str:
    """The sentence with which the file is not opened; nothing of the store stays open."""
    refused = SqliteStore(path, read_only=read_only)
    with pytest.raises(StoreError) as error:
        await refused.open()
    await refused.close()
    assert str(path) in str(error.value)
    return str(error.value)


def sql(path: Path, statement: str) -> list[tuple[object, ...]]:
    """What an administrator with a sqlite3 shell could do."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


async def filled(path: Path, count: int = 200) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.ingest([samples.received(f"k{number}", payload=b"x" * 500) for number in range(count)])
    await store.close()


async def test_after_kill_9_exactly_the_acknowledged_commits_are_there(path: Path) -> None:
    acknowledged = 0
    for enough in (1, 7, 40, 90):
        with committer(path) as process:
            numbers = lines(process, enough) + kill(process)
        acknowledged = int(numbers[-1])
        store = SqliteStore(path)
        await store.open()
        incident = await store.incident("i1")
        assert incident is not None
        # The last one may have been committed without living to say so; nothing beyond it can have been.
        assert incident.version in (acknowledged, acknowledged + 1)
        rows = await store.audit_of("i1")
        assert [row.entry.message for row in rows] == [
            f"{number} {which}" for number in range(1, incident.version + 1) for which in ("one", "two")
        ]
        assert all(row.hash == chain_hash(row.seq, row.entry, row.prev_hash) for row in rows)
        assert len(await store.steps("i1")) == incident.version
        assert len(await store.outbox(Channel.BUS, EVERYTHING)) == incident.version
        await store.close()


async def test_a_full_disk_stores_nothing_of_the_commit_and_the_next_one_succeeds(path: Path) -> None:
    with committer(path, "500000") as process:
        acknowledged, stored, ledger, error = lines(process, 1)[0].split("|")
    assert int(acknowledged) > 3
    assert stored == acknowledged
    assert ledger == "balanced"
    assert str(path) in error
    assert "disk" in error


async def test_a_second_daemon_is_refused_with_the_process_that_holds_the_store(store: SqliteStore, path: Path) -> None:
    assert f"process {os.getpid()}" in await refusal(path)
    with committer(path) as process:
        assert process.wait(HANG) != 0
    await store.commit(work(incident=samples.incident()))
    await store.close()
    await store.open()


async def test_the_lock_ends_with_the_process_that_had_it(path: Path) -> None:
    with committer(path) as process:
        lines(process, 1)
        assert f"process {process.pid}" in await refusal(path)
        kill(process)
        process.wait()
    again = SqliteStore(path)
    await again.open()
    await again.close()


async def test_a_store_that_could_not_be_opened_leaves_no_lock(path: Path) -> None:
    path.write_bytes(b"this is a text file, not a database\n" * 100)
    await refusal(path)
    path.unlink()
    again = SqliteStore(path)
    await again.open()
    await again.close()


@pytest.mark.parametrize("offset", [0, 4096, 20_000], ids=["header", "second page", "in the middle"])
async def test_a_damaged_file_is_refused(path: Path, offset: int) -> None:
    await filled(path)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xde\xad\xbe\xef" * 2048)
    assert "damaged" in await refusal(path)


async def test_a_file_cut_short_is_refused(path: Path) -> None:
    await filled(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert "damaged" in await refusal(path)


@pytest.mark.parametrize("read_only", [False, True])
async def test_the_store_of_a_newer_exmedic_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    await filled(path)
    sql(path, "PRAGMA user_version = 99")
    content = path.read_bytes()
    assert "newer exmedic" in await refusal(path, read_only=read_only)
    assert path.read_bytes() == content


async def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    sql(path, "CREATE TABLE guests (name TEXT)")
    content = path.read_bytes()
    assert "not exmedic's" in await refusal(path)
    assert path.read_bytes() == content


async def test_a_missing_directory_is_refused_and_not_made(tmp_path: Path) -> None:
    await refusal(tmp_path / "typo" / "exmedic.db")
    assert not (tmp_path / "typo").exists()


def schema(path: Path) -> str:
    found = sql(path, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name")
    return "".join(f"{statement};\n\n" for (statement,) in found)


async def test_the_migrations_make_the_schema_of_the_snapshot(store: SqliteStore, path: Path) -> None:
    await store.close()
    assert sql(path, "PRAGMA user_version") == [(len(migrations()),)]
    assert schema(path) == SCHEMA.read_text("utf-8"), f"if that is meant: write the schema to {SCHEMA}"


def test_a_migration_that_fails_leaves_the_version_before_it_whole(path: Path) -> None:
    steps = [
        "CREATE TABLE one (a INTEGER);",
        "CREATE TABLE two (b INTEGER); INSERT INTO one VALUES (1); INSERT INTO nowhere VALUES (1);",
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, steps)
        assert not connection.in_transaction
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("one",)]
        assert connection.execute("SELECT * FROM one").fetchall() == []
        migrate(connection, [steps[0], "CREATE TABLE two (b INTEGER);"])
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


async def test_settings_of_the_connection_survive_a_power_cut_and_check_references(store: SqliteStore) -> None:
    def ask(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await store._with(ask) == ["wal", 2, 1, 5000]  # noqa: SLF001 - SQLite tells them to their connection only


FORBIDDEN = {
    "an audit row is changed": ("UPDATE audit SET message = 'x' WHERE seq = 1", "never changed"),
    "an audit row is deleted": ("DELETE FROM audit WHERE seq = 1", "never deleted"),
    "an audit row is replaced": ("INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 1", "follows the last"),
    "an audit number is left out": (
        (
            "INSERT INTO audit SELECT seq + 2, kind, at, message, incident_id, server, health_set, monitor, fields, "
            "hash, hash FROM audit ORDER BY seq DESC LIMIT 1"
        ),
        "follows the last",
    ),
    "an audit row breaks the chain": (
        (
            "INSERT INTO audit SELECT seq + 1, kind, at, message, incident_id, server, health_set, monitor, fields, "
            "prev_hash, hash FROM audit ORDER BY seq DESC LIMIT 1"
        ),
        "follows the last",
    ),
    "a claim changes hands": ("UPDATE claims SET incident_id = 'i2'", "never reassigned"),
    "a claim is taken from under an effect": ("DELETE FROM claims WHERE incident_id = 'i1'", "unsettled"),
    "an ended incident keeps its claim": ("UPDATE incidents SET status = 'resolved' WHERE id = 'i1'", "FOREIGN KEY"),
    "an ended incident takes a claim": (
        "INSERT INTO claims (scope, incident_id, since) VALUES ('x', 'i3', '')",
        "FOREIGN KEY",
    ),
    "two incidents hold one key": ("UPDATE incidents SET server = 'mbx1.contoso.lab'", "UNIQUE"),
    "a status is invented": ("UPDATE incidents SET status = 'fine' WHERE id = 'i3'", "CHECK"),
    "a resolved incident is latched": ("UPDATE incidents SET latched = 1 WHERE id = 'i3'", "CHECK"),
    "an effect begins unclaimed": ("UPDATE steps SET status = 'open' WHERE id = 's3'", "not claimed"),
    "an effect begins under quarantine": ("UPDATE steps SET status = 'open' WHERE id = 's2'", "quarantined"),
    "a step changes its effect": ("UPDATE steps SET effect = 'read' WHERE id = 's1'", "identity"),
    "a second step is open": (
        (
            "INSERT INTO steps SELECT 'sx', incident_id, 9, state, action, 'read', server, executor, params, baseline, "
            "memo, 'open', outcome, detail, result, started_at, deadline_at, ended_at FROM steps WHERE id = 's1'"
        ),
        "UNIQUE",
    ),
    "an alert is joined to nothing": ("UPDATE alerts SET status = 'joined' WHERE id = 1", "CHECK"),
    "a routed alert is pending again": ("UPDATE alerts SET status = 'pending' WHERE id = 2", "only once"),
}


@pytest.mark.parametrize(("statement", "reason"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_the_schema_itself_refuses(store: SqliteStore, path: Path, statement: str, reason: str) -> None:
    await store.ingest([samples.received("k1"), samples.unreadable("k2")])
    await samples.begin(store, "i1", samples.SERVER, "s1")
    await samples.begin(store, "i2", samples.OTHER, "s2")
    await store.commit(work(quarantine=samples.quarantine(server=samples.OTHER, incident_id="i2", step_id="s2")))
    done = StepStatus.DONE
    await store.commit(work(step=samples.step("s2", incident_id="i2", server=samples.OTHER, status=done)))
    await store.commit(work(incident=samples.on("cas1", "i3", status=IncidentStatus.RESOLVED)))
    await store.commit(work(step=samples.step("s3", incident_id="i3", server="cas1", status=done)))
    before = await samples.everything(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match=reason):
            connection.execute(statement)
    assert await samples.everything(store) == before


UNPRIVILEGED = """
import asyncio, os, pathlib, sys
from daemon.adapters.sqlite import file
from daemon.adapters.sqlite.store import SqliteStore

file.migrations(), file.queries()  # the package itself may be out of the other user's reach
if os.geteuid() == 0:  # root may write everywhere
    os.setgid(65534)
    os.setuid(65534)

async def main():
    store = SqliteStore(pathlib.Path(sys.argv[1]), read_only=True)
    await store.open()
    print((await store.ledger()).stored)
    await store.close()

asyncio.run(main())
"""


class TestReadOnly:
    async def test_it_reads_beside_a_daemon_that_writes(self, path: Path) -> None:
        with committer(path) as process:
            lines(process, 5)
            reader = SqliteStore(path, read_only=True)
            await reader.open()
            first = await reader.incident("i1")
            assert first is not None
            while int(lines(process, 1)[0]) < first.version + 15:
                pass
            second = await reader.incident("i1")
            await reader.close()
        assert second is not None
        assert second.version >= first.version + 15

    async def test_it_reads_what_a_killed_daemon_left_in_its_wal_and_leaves_it_there(self, path: Path) -> None:
        with committer(path) as process:
            numbers = lines(process, 20) + kill(process)
        wal = path.with_name(path.name + "-wal")
        assert wal.stat().st_size > 0
        for _ in range(2):
            reader = SqliteStore(path, read_only=True)
            await reader.open()
            incident = await reader.incident("i1")
            assert incident is not None
            assert incident.version >= int(numbers[-1])
            await reader.close()
        path.with_name(path.name + "-shm").unlink()  # as after a crash of the whole machine
        reader = SqliteStore(path, read_only=True)
        await reader.open()
        assert await reader.incident("i1") == incident
        await reader.close()

    async def test_it_reads_a_store_that_was_closed_and_does_not_take_its_lock(self, path: Path) -> None:
        await filled(path)
        reader, daemon = SqliteStore(path, read_only=True), SqliteStore(path)
        await reader.open()
        await daemon.open()
        assert (await reader.ledger()).stored == 200
        await daemon.ingest([samples.received("new")])
        assert (await reader.ledger()).stored == 201
        await daemon.close()
        await reader.close()

    async def test_a_user_who_may_only_read_the_directory_reads_a_store_that_was_closed(self) -> None:
        # A directory of its own: pytest's are closed to other users, and shared with other tests.
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            await filled(directory / "exmedic.db")
            directory.chmod(0o555)
            found = subprocess.run(
                [sys.executable, "-c", UNPRIVILEGED, str(directory / "exmedic.db")],
                capture_output=True,
                text=True,
                check=False,
                timeout=HANG,
            )
            assert found.stdout.strip() == "200", found.stderr
            assert sorted(each.name for each in directory.iterdir()) == ["exmedic.db", "exmedic.db.lock"]
            directory.chmod(0o700)

    async def test_it_refuses_to_write(self, path: Path) -> None:
        await filled(path)
        reader = SqliteStore(path, read_only=True)
        await reader.open()
        with pytest.raises(StoreError, match="readonly") as error:
            await reader.commit(work(incident=samples.incident()))
        assert not isinstance(error.value, Conflict)
        await reader.close()

    async def test_it_makes_no_store_where_there_is_none(self, path: Path) -> None:
        assert "exists" in await refusal(path, read_only=True)
        assert not path.exists()

    async def test_damage_shows_as_an_error_not_as_data(self, path: Path) -> None:
        await filled(path)
        with path.open("r+b") as file:
            file.seek(8192)
            file.write(b"\xde\xad\xbe\xef" * 20_000)
        reader = SqliteStore(path, read_only=True)
        with pytest.raises(StoreError, match=r"exmedic\.db"):  # noqa: PT012 - it may show when opening or when reading
            await reader.open()
            await samples.everything(reader)
        await reader.close()


async def test_a_copy_of_the_files_of_a_running_daemon_after_a_crash_opens(path: Path, tmp_path: Path) -> None:
    with committer(path) as process:
        lines(process, 10)
        kill(process)
        process.wait()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("exmedic.db", "exmedic.db-wal"):
        shutil.copy(path.with_name(name), copy / name)
    store = SqliteStore(copy / "exmedic.db")
    await store.open()
    incident = await store.incident("i1")
    assert incident is not None
    assert incident.version >= 10
    await store.close()


async def test_closing_waits_for_commits_whose_callers_were_cancelled(store: SqliteStore, path: Path) -> None:
    tasks = [asyncio.ensure_future(store.commit(work(incident=samples.on(f"s{n}", f"i{n}")))) for n in range(20)]
    await asyncio.sleep(0)  # all have handed their work over
    for task in tasks:
        task.cancel()
    await store.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    assert sql(path, "SELECT count(*) FROM incidents") == [(20,)]


async def test_through_a_symlink_it_is_the_same_store_and_refused(store: SqliteStore, path: Path) -> None:
    link = path.parent.parent / "by another way"
    link.symlink_to(path.parent)
    refused = SqliteStore(link / path.name)
    with pytest.raises(StoreError, match=f"in use by another exmedic .process {os.getpid()}"):
        await refused.open()
    await store.close()


async def test_an_index_that_does_not_agree_with_its_table_is_damage(path: Path) -> None:
    await filled(path, 3)
    with closing(sqlite3.connect(path)) as database, database:
        # What a bit that flipped in a page of the index does: the quick check would not see it.
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, 'status = ''pending''', 'status <> ''pending''')")
    assert "damaged" in await refusal(path)


MOUNTS = """\
22 27 0:20 / /proc rw,nosuid shared:11 - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 27 0:54 / /srv/data rw,relatime shared:5 master:2 - nfs4 nas:/export rw,vers=4.2
33 27 0:60 / /mnt/win rw - cifs //nas/share rw
"""


@pytest.mark.parametrize(("device", "kind"), [((254, 0), "ext4"), ((0, 54), "nfs4"), ((0, 60), "cifs"), ((9, 9), "")])
def test_the_file_system_of_a_directory_is_told_by_the_list_of_mounts(device: tuple[int, int], kind: str) -> None:
    assert file_system(MOUNTS, os.makedev(*device)) == kind


async def test_on_a_network_file_system_it_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = path.parent.stat().st_dev
    mounts = path.with_name("mountinfo")
    mounts.write_text(f"31 27 {os.major(device)}:{os.minor(device)} / /srv rw shared:5 - nfs4 nas:/export rw\n")
    monkeypatch.setattr(sqlite_file, "_MOUNTS", mounts)
    assert "network file system (nfs4)" in await refusal(path)
    assert not path.exists()
