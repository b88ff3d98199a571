"""The daemon as a service manager sees it: ready, fed, stopping, and refusing to start."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from daemon.domain.store import Store
from daemon.lab.faults import Fault
from tests.acceptance.site import Site
from tests.realparts.waiting import HANG, eventually


async def test_it_is_ready_only_when_bus_and_store_are_up_and_says_when_it_stops(site: Site) -> None:
    site.broker.kill()
    daemon = await site.daemon(ready=False)
    await eventually(lambda: "STATUS=waiting for the bus" in daemon.heard(), "it waits for the bus")
    await eventually((site.directory / "control.sock").exists, "the store is up and operators are served")
    assert "READY=1" not in daemon.heard()
    site.broker.restart()
    await daemon.ready()
    assert await daemon.stop() == 0
    assert daemon.heard().index("READY=1") < daemon.heard().index("STOPPING=1")
    assert not (site.directory / "control.sock").exists()


async def test_the_watchdog_is_fed_by_progress_and_no_more_when_the_process_hangs(site: Site) -> None:
    site.environment["WATCHDOG_USEC"] = "200000"
    daemon = await site.daemon()
    await eventually(lambda: daemon.heard().count("WATCHDOG=1") >= 3, "it is fed")
    assert "STATUS=bus connected" in daemon.heard()
    site.broker.kill()
    await eventually(lambda: any("bus not connected" in line for line in daemon.heard()), "its status tells")
    before = daemon.heard().count("WATCHDOG=1")
    await eventually(lambda: daemon.heard().count("WATCHDOG=1") > before, "an outage of the broker is no hang")


async def test_a_stop_in_the_middle_of_a_ladder_is_staged_and_the_next_start_goes_on(site: Site) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    # Its answer comes a second after the effect: that is what the stop has to wait for.
    site.lab.break_server("mbx1", Fault.LATE_ANSWER, script="restart_service", count=1, timeouts=1)
    daemon = await site.daemon()
    await site.alert("mbx1")
    await site.eventually(lambda: site.effects("mbx1") == ["restart"], "the restart is under way")
    assert await daemon.stop() == 0
    (step,) = [step for step in await site.steps(await site.incident("mbx1")) if step.action == "restart_service"]
    assert step.outcome == "done", "the running action reached its outcome before the daemon ended"
    published = await site.broker.retained(f"exmedic/incidents/{step.incident_id}")
    assert json.loads(published)["state"] == "reprobe", "what was committed was flushed"
    await site.alert("mbx3")  # is not taken in by a daemon that is gone, and not lost
    await site.daemon()
    await site.until_ended("mbx1", "mbx3")
    assert site.effects("mbx1") == ["restart"]
    await site.agrees()


async def test_beside_a_running_daemon_a_second_one_refuses_and_harms_nothing(site: Site) -> None:
    first = await site.daemon()
    second = await site.daemon(ready=False)
    assert await second.ended() == 1
    assert "is in use by another exmedic" in " ".join(second.words().split())
    assert str(first.process.pid) in second.words()
    assert "Traceback" not in second.words()
    code, text = await site.command("status")
    assert (code, "bus: connected" in text) == (0, True), text


async def test_a_store_that_fails_at_run_time_takes_the_daemon_down_with_its_error_and_the_next_goes_on(
    site: Site,
) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    daemon = await site.daemon()
    await site.alert("mbx1")
    await site.until(has_incident, "the incident is open")
    with locked_for_writing(site.directory / "data" / "exmedic.db"):
        assert await daemon.ended() == 1
    last_words = [line for line in daemon.words().splitlines() if not line.startswith("{")]  # the log is JSON
    assert len(last_words) == 1
    assert last_words[0].startswith("exmedic: ")
    assert "another program has locked the file" in last_words[0]
    await site.daemon()
    await site.until_ended("mbx1")
    assert site.effects("mbx1") == ["restart"]
    await site.agrees()


async def has_incident(store: Store) -> bool:
    return bool(await store.incidents())


@contextlib.contextmanager
def locked_for_writing(database: Path) -> Iterator[None]:
    """Another program that holds the write lock, as a forgotten sqlite3 shell does."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=HANG)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


async def test_an_alert_that_cannot_be_stored_is_not_acknowledged_and_comes_again(site: Site) -> None:
    daemon = await site.daemon()
    with locked_for_writing(site.directory / "data" / "exmedic.db"):
        await site.alert("mbx3")
        await eventually(lambda: '"store_unusable"' in daemon.words(), "the store is seen to be unusable")
        daemon.kill()
    assert await site.incidents() == []
    await site.daemon()
    await site.until_ended("mbx3")
