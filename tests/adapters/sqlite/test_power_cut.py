"""What a power cut leaves of the store: everything that was synced, and any part of what was not.

SQLite syncs the WAL at each commit before it returns (synchronous = FULL), so a cut takes or garbles only its end. Here
that is done to the WAL of a killed process, at every kind of place.
"""
# ruff: noqa: ASYNC240 - nothing else runs in these event loops that could be kept waiting

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.audit.verification import verify_chain
from daemon.domain.commits import Channel
from tests.adapters.sqlite.samples import EVERYTHING
from tests.adapters.sqlite.test_sqlite_failures import committer, lines

FRAME = 24 + 4096  #: bytes of a frame of the WAL: its header and a page (sqlite.org/fileformat2.html)
COMMITS = 20

TAILS: dict[str, Callable[[bytes], bytes]] = {
    "missing": lambda _: b"",
    "zeros": lambda lost: bytes(len(lost)),
    "garbage": lambda lost: random.Random(4).randbytes(len(lost)),  # noqa: S311 - the same in each run
}


@pytest.fixture
def left(tmp_path: Path) -> tuple[bytes, bytes]:
    """The store and the WAL of a process that was killed after some commits."""
    path = tmp_path / "dead" / "exmedic.db"
    path.parent.mkdir()
    with committer(path) as process:
        lines(process, COMMITS)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return path.read_bytes(), path.with_name("exmedic.db-wal").read_bytes()


def cuts(wal: bytes) -> list[int]:
    """Where the WAL ends that reached the disk: in its header, between frames, and within them."""
    frames = (len(wal) - 32) // FRAME
    within = [32 + frame * FRAME + offset for frame in range(0, frames, max(1, frames // 6)) for offset in (0, 12, 999)]
    return [0, 16, *within, len(wal) - 1, len(wal)]


async def found(directory: Path, database: bytes, wal: bytes) -> int:
    """Open what is left, and return how many commits it holds: all of each of them, and nothing else."""
    directory.mkdir()
    (directory / "exmedic.db").write_bytes(database)
    (directory / "exmedic.db-wal").write_bytes(wal)
    store = SqliteStore(directory / "exmedic.db")
    await store.open()
    incident = await store.incident("i1")
    version = incident.version if incident else 0
    verdict = await verify_chain(store)
    assert (verdict.finding, verdict.rows) == (None, 2 * version)
    assert len(await store.steps("i1")) == version
    assert len(await store.outbox(Channel.BUS, EVERYTHING)) == version
    assert (await store.ledger(thorough=True)).imbalance == ""
    await store.close()
    return version


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
async def test_whatever_end_of_the_log_is_lost_whole_commits_are_left_and_the_synced_ones_all(
    left: tuple[bytes, bytes], tmp_path: Path, tail: Callable[[bytes], bytes]
) -> None:
    database, wal = left
    versions = [await found(tmp_path / str(cut), database, wal[:cut] + tail(wal[cut:])) for cut in cuts(wal)]
    assert versions == sorted(versions), "what is synced stays, whatever became of what came after it"
    assert versions[-1] >= COMMITS
    assert len(set(versions)) > 4, "the cuts fell between different commits"
