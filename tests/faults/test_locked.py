"""Another process has the SQLite file locked, as a forgotten sqlite3 shell or a careless backup does."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from daemon.adapters.sqlite.file import BUSY_TIMEOUT
from daemon.domain.incidents import IncidentStatus
from daemon.lab.faults import Fault
from tests.acceptance.driven import BUSY
from tests.acceptance.site import Site, has_open_step
from tests.realparts.waiting import eventually

_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def locked(site: Site) -> Iterator[None]:
    """The store, locked by a process of its own."""
    database = site.directory / "data" / "exmedic.db"
    with subprocess.Popen(
        [sys.executable, "-c", _LOCK, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            process.stdin.close()


async def test_a_lock_shorter_than_the_patience_of_the_store_is_waited_for(site: Site) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    site.environment[BUSY] = str(BUSY_TIMEOUT * 100)  # shorter than that on any machine
    daemon = await site.daemon()
    await site.alert("mbx1")
    await site.eventually(lambda: bool(site.lab.reads()), "the ladder has begun")
    with locked(site):
        since = time.monotonic()
        await eventually(lambda: time.monotonic() > since + BUSY_TIMEOUT / 1000 / 3, "it has to wait")
    await site.until_ended("mbx1")
    assert daemon.process.poll() is None
    assert '"store_unusable"' not in daemon.words()
    assert site.effects("mbx1") == ["restart"]
    await site.agrees()


@pytest.mark.chaos
async def test_a_lock_that_lasts_while_an_effect_is_under_way_ends_the_daemon_and_the_next_settles_it(
    site: Site,
) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    site.lab.break_server("mbx1", Fault.LATE_ANSWER, script="restart_service", count=1, timeouts=1)
    daemon = await site.daemon()
    await site.alert("mbx1")
    await site.eventually(lambda: site.effects("mbx1") == ["restart"], "the restart was sent")
    with locked(site):
        assert await daemon.ended() == 1
        assert await (await site.daemon(ready=False)).ended() == 1, "nor does one start"
    assert "another program has locked the file" in " ".join(daemon.words().split())
    async with site.store() as store:
        assert await has_open_step(store, "mbx1", "restart_service"), "its answer could not be committed"
    await site.daemon()
    await site.until_ended("mbx1")
    incident = await site.incident("mbx1")
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects("mbx1") == ["restart"]
    await site.agrees()
