"""journald hangs until its socket is full, in the middle of ladders, and comes back, or is killed and started anew."""

import time

import pytest

from daemon.app.offline import verify_audit
from daemon.config.settings import load_settings
from daemon.domain.incidents import IncidentStatus
from daemon.lab.faults import Fault
from tests.acceptance.site import Site
from tests.acceptance.test_ladders import HEALED
from tests.realparts.journald import Journald
from tests.realparts.waiting import eventually

pytestmark = pytest.mark.chaos

SERVERS = ("mbx1", "mbx5")
MANY = 150  #: alerts, with two audit rows each: more than any socket holds back


async def healed(site: Site, server: str) -> float:
    """Have a server healed by a whole ladder; the real seconds from its alert to its end."""
    site.lab.break_server(server, Fault.REBOOT_CURES)
    began = time.monotonic()
    await site.alert(server)
    await site.until_ended(server)
    took = time.monotonic() - began
    incident = await site.incident(server)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects_of(incident) == HEALED
    return took


async def every_row_is_in(journald: Journald, site: Site) -> None:
    """Return when the journal has a copy of each row of the audit trail."""
    rows = {str(row.seq) for row in await site.audit()}
    await eventually(
        lambda: rows <= {entry.get("AUDIT_SEQ", "") for entry in journald.entries("SYSLOG_IDENTIFIER=exmedic")},
        "every row is in the journal",
    )


@pytest.mark.parametrize("restarted", [False, True], ids=["goes on", "is killed and started anew"])
async def test_a_journal_that_hangs_with_its_socket_full_slows_no_ladder_and_misses_no_row(
    site: Site, journald: Journald, restarted: bool
) -> None:
    site.configure(('journal = "none"', f'journal = "{journald.socket_path}"'))
    daemon = await site.daemon()
    usual = await healed(site, SERVERS[0])
    journald.freeze()
    for _ in range(MANY):
        await site.alert("mail.elsewhere.example")
    hanging = await healed(site, SERVERS[1])
    assert hanging < 2 * usual + 5, "a ladder takes as long as with a journal"
    if restarted:
        journald.kill()
        journald.restart()
    else:
        journald.thaw()
    await every_row_is_in(journald, site)
    assert await daemon.stop() == 0
    verdict = await verify_audit(load_settings(site.config), journal=True)
    assert verdict.good, verdict.text
