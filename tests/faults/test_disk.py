"""The disk of the store is full, for a daemon in the middle of a ladder and for one that starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.audit import AuditKind
from daemon.domain.incidents import IncidentStatus
from daemon.lab.faults import Fault
from tests.acceptance.driven import DaemonProcess
from tests.acceptance.site import Site
from tests.acceptance.test_ladders import HEALED
from tests.acceptance.test_operators import waits
from tests.realparts.small_disk import SmallDisk
from tests.realparts.waiting import eventually

pytestmark = pytest.mark.chaos

SERVER = "mbx4"


@pytest.fixture
def speed() -> float:
    """Slower than elsewhere: a daemon that cannot start is away for seconds, and deadlines go on meanwhile."""
    return 50.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """The disk that the store will be on, so small that it is full in no time."""
    small = SmallDisk(tmp_path / "site" / "data", 16 * 1024)
    yield small
    small.remove()


def last_words(daemon: DaemonProcess) -> str:
    """What it said on its end: not its log, which is JSON."""
    (said,) = [line for line in daemon.words().splitlines() if line and not line.startswith("{")]
    return said


async def ends_with_a_clear_error(daemon: DaemonProcess) -> None:
    assert await daemon.ended() == 1
    said = last_words(daemon)
    assert said.startswith("exmedic: ")
    assert "free" in said, said
    assert "data" in said, said


@pytest.fixture
def site(disk: SmallDisk, site: Site) -> Site:
    """A site whose store is on the small disk."""
    assert disk.directory == site.directory / "data"
    return site


@pytest.mark.parametrize("effect", ["restart", "stop_activation", "reboot"])
async def test_a_disk_that_gets_full_in_a_ladder_ends_the_daemon_and_the_ladder_goes_on_once_there_is_room(
    site: Site, disk: SmallDisk, effect: str
) -> None:
    site.lab.break_server(SERVER, Fault.REBOOT_CURES)
    daemon = await site.daemon()
    await site.alert(SERVER)
    await site.eventually(lambda: effect in site.effects(SERVER), f"{effect} is in the lab's record")
    disk.fill()
    await ends_with_a_clear_error(daemon)
    done = site.effects(SERVER)
    await ends_with_a_clear_error(await site.daemon(ready=False))
    assert site.effects(SERVER) == done, "without a committed intent nothing is done"
    disk.free()
    await site.daemon()
    await site.until_ended(SERVER)
    incident = await site.incident(SERVER)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(SERVER) == HEALED
    await site.agrees()


async def test_an_effect_whose_intent_does_not_fit_on_the_disk_is_not_sent(site: Site, disk: SmallDisk) -> None:
    site.lab.break_server(SERVER, Fault.REBOOT_CURES)
    # The facts before the restart arrive a second late: time enough to fill the disk before the intent.
    site.lab.break_server(SERVER, Fault.LATE_ANSWER, script="server_state", count=1, timeouts=1)
    daemon = await site.daemon()
    await site.alert(SERVER)
    await site.eventually(lambda: "server_state" in {script for _, script in site.lab.reads()}, "it reads the facts")
    disk.fill()
    await ends_with_a_clear_error(daemon)
    disk.free()
    assert site.effects(SERVER) == []
    assert await site.audit(AuditKind.INTENT) == []


async def test_alerts_that_do_not_fit_on_the_disk_stay_with_the_broker(site: Site, disk: SmallDisk) -> None:
    daemon = await site.daemon()
    disk.fill()
    await site.alert("mbx3")
    await eventually(lambda: '"store_unusable"' in daemon.words(), "the store is seen to be unusable")
    assert daemon.process.poll() is None, "with nothing to do it waits"
    disk.free()
    await site.until_ended("mbx3")
    assert '"store_usable"' in daemon.words()
    assert daemon.process.poll() is None


async def test_a_pause_on_a_full_disk_pauses_and_says_what_is_wrong(site: Site, disk: SmallDisk) -> None:
    site.configure(('pause_file = "pause"', 'pause_file = "data/pause"'))
    site.lab.break_server(SERVER, Fault.INCURABLE)
    await site.daemon()
    disk.fill()
    code, text = await site.command("pause", "--reason", "full")
    assert code == 4, text
    assert "free space" in text, text
    assert (site.directory / "data" / "pause").read_bytes() == b"", "there is no room for the reason"
    disk.free()
    code, text = await site.command("status")
    assert "paused" in text, text
    await site.alert(SERVER)
    await site.until(lambda store: waits(store, "paused"), "it is held")
    assert site.effects(SERVER) == []
