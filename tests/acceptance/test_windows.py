"""A maintenance over the lab: alerts open nothing, and what is wrong is healed when it ends."""

from datetime import UTC, datetime

from daemon.domain.audit import AuditKind
from daemon.domain.incidents import IncidentStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from tests.acceptance.site import Site, fqdn


async def set_aside(store: Store) -> bool:
    return len(await store.deferred(datetime.max.replace(tzinfo=UTC), 10)) == 1


async def test_a_maintenance_by_command_keeps_alerts_away_and_its_end_verifies_and_heals(site: Site) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await site.daemon()
    code, text = await site.command("window", "add", "patching", "--server", "mbx1", "--hours", "24")
    assert (code, "added maintenance patching for mbx1.contoso.lab" in " ".join(text.split())) == (0, True), text
    await site.alert("mbx1")
    await site.until(set_aside, "the alert is suppressed")
    code, text = await site.command("status")
    assert (code, "windows: maintenance patching until" in text) == (0, True), text
    assert "set aside, to be verified later: 1" in text
    assert (site.effects("mbx1"), await site.incidents()) == ([], [])
    code, text = await site.command("window", "end", "patching")
    assert code == 0, text
    await site.until_ended("mbx1")
    assert (await site.incident("mbx1")).status is IncidentStatus.RESOLVED
    assert site.effects("mbx1") == ["restart"]
    opened, *_ = await site.audit(AuditKind.INCIDENT_OPENED)
    assert "alerts that were set aside since" in opened.entry.message
    assert opened.entry.server == fqdn("mbx1")
    await site.agrees()
