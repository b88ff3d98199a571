"""A backup is restored as docs/how-to/back-up-and-upgrade.md says, by root, for a daemon that is another user's."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.domain.audit import AuditKind
from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab
from tests.acceptance.site import SPEED, Site
from tests.docs.markdown import ROOT, block
from tests.realparts.journald import Journald
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.nobody import NOBODY, user_nobody
from tests.realparts.waiting import HANG

STOP, *STEPS, START = block(ROOT / "docs" / "how-to" / "back-up-and-upgrade.md", "Restore a backup")


@pytest.fixture
def site(mosquitto: Mosquitto, journald: Journald) -> Iterator[Site]:
    """A site whose daemon is the user nobody, with its pause file in its own directory, and a journal."""
    # Not below the test's own directory, which only root may enter.
    with tempfile.TemporaryDirectory() as place, Lab(Path(place) / "site", LabClock.starting_now(SPEED)) as lab:
        Path(place).chmod(0o755)
        site = Site(Path(place) / "site", lab, mosquitto)
        site.configure(
            ('journal = "none"', f'journal = "{journald.socket_path}"'),
            ('pause_file = "pause"', 'pause_file = "data/pause"'),
        )
        site.user = user_nobody()
        (site.directory / "data").mkdir(mode=0o750)
        for each in (site.directory, *site.directory.rglob("*")):
            os.chown(each, NOBODY, NOBODY)
        yield site
        site.close()


def by_root(site: Site, backup: Path) -> None:
    """What the page says between stop and start, word for word, but for this site's places and user."""
    steps = "\n".join(STEPS)
    for there, here in (
        ("/var/lib/exmedic/", f"{site.directory}/data/"),
        ("/var/backups/exmedic.db", str(backup)),
        ("-o exmedic -g exmedic", f"-o {NOBODY} -g {NOBODY}"),
    ):
        assert there in steps
        steps = steps.replace(there, here)
    command = f'exmedic() {{ "{sys.executable}" -m daemon "$@" --config "{site.config}"; }}'
    subprocess.run(["bash", "-euc", f"{command}\n{steps}"], check=True, timeout=HANG)


async def test_a_restored_daemon_runs_and_is_paused_and_root_may_resume_it(
    site: Site, journald: Journald, tmp_path: Path
) -> None:
    assert (STOP, START) == ("systemctl stop exmedic", "systemctl start exmedic")
    first = await site.daemon()
    backup = tmp_path / "exmedic.db"
    code, text = await site.command("backup", str(backup))
    assert code == 0, text
    code, text = await site.command("pause", "--reason", "a row that the backup lacks")
    assert code == 0, text
    code, text = await site.command("resume")
    assert code == 0, text
    assert await first.stop() == 0
    journald.open_to_all()

    await asyncio.to_thread(by_root, site, backup)
    (order,) = (site.directory / "data/pause.d").iterdir()
    assert order.stat().st_uid == 0

    await site.daemon()
    (row,) = await site.audit(AuditKind.STORE_OLDER)
    assert "exmedic has paused itself" in row.entry.message
    code, text = await site.command("status")
    assert "paused: by exmedic: the store is older" in text, text
    code, text = await site.command("resume")
    assert code == 0, text
