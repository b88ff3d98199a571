"""Every way a ladder can end, over the real protocols: what was done, and that the lab's record says the same."""

from dataclasses import dataclass

import pytest

from daemon.domain.incidents import IncidentStatus
from daemon.lab.faults import Fault
from tests.acceptance.site import MONITOR, Site, fqdn

RESOLVED, ESCALATED = IncidentStatus.RESOLVED, IncidentStatus.ESCALATED
MOVED = ["restart", "stop_activation"]
REBOOTED = [*MOVED, "reboot"]
HEALED = [*REBOOTED, "allow_activation"]


@dataclass(frozen=True)
class Case:
    """A broken server, how its incident must end, and what may be done to it on the way."""

    server: str
    faults: tuple[Fault, ...]
    ends: IncidentStatus
    effects: list[str]
    why: str  #: a part of the incident's reason


WORLDS = {
    "common": (
        Case("mbx1", (Fault.RESTART_CURES,), RESOLVED, ["restart"], "healthy"),
        Case("mbx4", (Fault.REBOOT_CURES,), RESOLVED, HEALED, "healthy"),
        Case("mbx2", (Fault.INCURABLE,), ESCALATED, REBOOTED, "final: unhealthy"),
        Case("alone1", (Fault.INCURABLE,), ESCALATED, ["restart"], "is in no DAG"),
    ),
    "quiet": (
        Case("mbx3", (Fault.HEALS_ITSELF,), RESOLVED, [], "healthy"),
        Case("mbx6", (), RESOLVED, [], "healthy"),
        Case("mbx5", (Fault.PROBE_CANNOT_RUN,), ESCALATED, [], "did not run"),
        Case("multi1", (Fault.INCURABLE, Fault.SILENT_ENDPOINT), ESCALATED, [], "restart: unreachable"),
        Case("mbx2", (Fault.REBOOT_CURES, Fault.NEVER_BACK), ESCALATED, REBOOTED, "reboot.back: missing"),
    ),
    "hanging": (
        Case("mbx1", (Fault.REBOOT_CURES, Fault.SERVICE_HANGS), RESOLVED, HEALED, "healthy"),
        Case(
            "mbx4",
            (Fault.REBOOT_CURES, Fault.DATABASE_STUCK),
            ESCALATED,
            [*MOVED, "allow_activation"],
            "still active on mbx4.contoso.lab: MBX4-DB1",
        ),
        Case("mbx6", (Fault.HANGING,), RESOLVED, ["restart"], "healthy"),
        Case("mbx3", (Fault.INCURABLE, Fault.MONITOR_SAYS), ESCALATED, [], "is Repairing: an administrator has said"),
    ),
}


@pytest.mark.parametrize("world", WORLDS)
async def test_broken_servers_end_as_they_must_and_the_lab_saw_just_what_is_on_record(site: Site, world: str) -> None:
    cases = WORLDS[world]
    site.configure(probe_span=180.0)  # as it is unless configured
    for case in cases:
        for fault in case.faults:
            options = {"minutes": 1.0} if fault is Fault.HEALS_ITSELF else {}
            if fault is Fault.SILENT_ENDPOINT:
                site.silence(case.server)
            else:
                site.lab.break_server(case.server, fault, **options)
    daemon = await site.daemon()
    async with site.messages() as heard:
        await site.alert(*(case.server for case in cases))
        await site.until_ended(*(case.server for case in cases))
        assert await daemon.stop() == 0
        for case in cases:
            incident = await site.incident(case.server)
            assert (incident.status, site.effects_of(incident)) == (case.ends, case.effects), incident.reason
            assert case.why in incident.reason
        await site.agrees()
        assert "violation" not in [effect.effect for effect in site.lab.effects()]
        told = heard.objects("exmedic/escalations")
    escalated = {message["server"]: message for message in told if message["monitor"] == MONITOR}
    assert set(escalated) == {fqdn(case.server) for case in cases if case.ends is ESCALATED}
    for case in cases:
        if case.ends is ESCALATED:
            text = escalated[fqdn(case.server)]["text"]
            assert case.why in text
            left_changed = "DatabaseCopyActivationDisabledAndMoveNow $false" in text
            assert left_changed is (case.effects == REBOOTED), "what is left is told with its undo, and nothing else"
    for server in site.lab.endpoints:
        assert site.lab.open_shells(server) == 0, f"a shell was left open on {server}"
