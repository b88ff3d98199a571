"""SIGTERM in each state of a ladder: a staged stop, and a next daemon that goes on where it was."""

import pytest

from daemon.domain.incidents import IncidentStatus, StepStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from statemachines.actions import Effect
from tests.acceptance.site import MONITOR, Site, fqdn
from tests.acceptance.test_ladders import HEALED

pytestmark = pytest.mark.chaos

SERVER = "mbx4"


async def in_another_state(store: Store, stopped_in: list[str]) -> bool:
    """Whether the ladder has come to a state that it was not stopped in yet, or to its end; notes the state."""
    found = [i for i in await store.incidents() if (i.server, i.monitor) == (fqdn(SERVER), MONITOR)]
    if not found or found[0].state in stopped_in:
        return False
    stopped_in.append(found[0].state)
    return True


async def test_stopped_in_each_state_of_a_ladder_it_exits_with_0_and_the_ladder_ends_well(site: Site) -> None:
    site.lab.break_server(SERVER, Fault.REBOOT_CURES)
    states: list[str] = []
    daemon = await site.daemon()
    await site.alert(SERVER)
    while True:
        await site.until(lambda store: in_another_state(store, states), f"it goes on after {states}")
        if states[-1] == "resolved":
            break
        assert await daemon.stop() == 0, daemon.words()
        for step in await site.steps(await site.incident(SERVER)):
            if step.effect is not Effect.READ:
                assert step.status is not StepStatus.OPEN, f"{step.action} was sent, and its answer not waited for"
        daemon = await site.daemon()
    incident = await site.incident(SERVER)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(SERVER) == HEALED
    # A quick state may pass between two looks; those that wait for a server are long enough to be stopped in.
    waited = {step.state for step in await site.steps(incident) if step.effect is not Effect.READ}
    assert len(waited & set(states)) >= len(HEALED) - 1, f"stopped in {states}, of those with an effect: {waited}"
    await site.agrees()
