"""A WinRM answer comes after its deadline, and nobody dies: the effect is settled by evidence and never sent again."""

import pytest

from daemon.domain.incidents import IncidentStatus, StepStatus
from daemon.lab.faults import Fault
from tests.acceptance.site import Site
from tests.acceptance.test_ladders import HEALED


@pytest.mark.parametrize(
    ("server", "sickness", "script", "effects"),
    [
        ("mbx1", Fault.RESTART_CURES, "restart_service", ["restart"]),
        pytest.param("mbx4", Fault.REBOOT_CURES, "restart_service", HEALED, marks=pytest.mark.chaos),
        pytest.param("mbx4", Fault.REBOOT_CURES, "set_activation", HEALED, marks=pytest.mark.chaos),
        pytest.param("mbx4", Fault.REBOOT_CURES, "reboot", HEALED, marks=pytest.mark.chaos),
    ],
)
async def test_an_effect_whose_answer_comes_after_the_deadline_happens_once(
    site: Site, server: str, sickness: Fault, script: str, effects: list[str]
) -> None:
    site.lab.break_server(server, sickness)
    site.lab.break_server(server, Fault.LATE_ANSWER, script=script, count=1, timeouts=100)
    await site.daemon()
    await site.alert(server)
    if site.driven:
        await site.eventually(lambda: site.effects(server) == effects and site.restarted(server), "it is carried out")
        site.pass_deadlines()
    await site.until_ended(server)
    incident = await site.incident(server)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(server) == effects
    assert StepStatus.WITHDRAWN not in {step.status for step in await site.steps(incident)}
    await site.agrees()
