"""The network between the daemon and the servers loses packets while a ladder runs.

Nothing is refused and no socket closes: the daemon's own deadlines must end its waiting. What was held arrives late,
after the daemon has given it up, which is when a second sending would do its harm.
"""

import pytest

from daemon.domain.incidents import IncidentStatus, StepStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from tests.acceptance.site import Site, has_open_step
from tests.acceptance.test_ladders import HEALED
from tests.faults.network import Network

pytestmark = pytest.mark.chaos

#: The requests of one call, by number; before them come two that are only there to log on.
REQUESTS = {"create": 4, "command": 5, "send": 6, "receive": 7}


@pytest.fixture
def speed() -> float:
    """Slower than elsewhere: a lost answer is noticed after real seconds, and the deadline of a restart is lab time."""
    return 50.0


async def route(site: Site, network: Network) -> None:
    """Have the daemon reach every server over the network."""
    site.route({name: await network.endpoint(url) for name, url in site.lab.endpoints.items()})


async def given_up(site: Site, store: Store, server: str, action: str) -> bool:
    """Whether the daemon has stopped waiting for the answer to its last such step."""
    incident = await site.incident(server)
    steps = [step for step in await store.steps(incident.id) if step.action == action]
    return steps[-1].status is not StepStatus.OPEN or bool(steps[-1].detail)


async def cut_in_the_middle_of(site: Site, network: Network, server: str, action: str, request: str) -> None:
    """Run a ladder until the request of its effect is lost, and heal the network once the daemon has given it up."""

    async def intended() -> bool:
        async with site.store() as store:
            return await has_open_step(store, server, action)

    site.configure(send_window=400.0)  # shorter than the deadline of a restart, as the daemon's own setting is
    await route(site, network)
    network.cut_before_request(REQUESTS[request], intended)
    await site.daemon()
    await site.alert(server)
    await site.eventually(network.struck.is_set, "the request is held")
    await site.until(lambda store: given_up(site, store, server, action), "the daemon no longer waits for the answer")
    network.heal()


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_restart_whose_requests_are_dropped_and_arrive_late_happens_once(
    site: Site, network: Network, request_: str
) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await cut_in_the_middle_of(site, network, "mbx1", "restart_service", request_)
    await site.until_ended("mbx1")
    incident = await site.incident("mbx1")
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    # A script that begins late may be ended by the daemon's cleaning up: the restart failed, and the ladder goes on.
    assert site.effects("mbx1") in (["restart"], HEALED)
    await site.agrees()


@pytest.mark.parametrize("request_", ["command", "send", "receive"])
async def test_a_reboot_whose_requests_are_dropped_and_arrive_late_happens_once(
    site: Site, network: Network, request_: str
) -> None:
    site.lab.break_server("mbx4", Fault.REBOOT_CURES)
    await cut_in_the_middle_of(site, network, "mbx4", "reboot", request_)
    await site.until_ended("mbx4")
    incident = await site.incident("mbx4")
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects("mbx4") == HEALED
    await site.agrees()


@pytest.mark.parametrize(("action", "effect"), [("restart_service", "restart"), ("reboot", "reboot")])
async def test_when_only_the_way_back_is_cut_the_effect_is_found_by_evidence(
    site: Site, network: Network, action: str, effect: str
) -> None:
    server = "mbx4"
    site.lab.break_server(server, Fault.REBOOT_CURES)
    # Its answer comes a second later: time enough to cut its way.
    site.lab.break_server(server, Fault.LATE_ANSWER, script=action, count=1, timeouts=1)
    await route(site, network)
    await site.daemon()
    await site.alert(server)
    await site.eventually(lambda: effect in site.effects(server), f"{effect} is in the lab's record")
    network.cut(out=False)
    await site.until(lambda store: given_up(site, store, server, action), "the daemon no longer waits for it")
    network.heal()
    await site.until_ended(server)
    incident = await site.incident(server)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(server) == HEALED
    await site.agrees()


async def test_servers_that_stay_unreachable_escalate_and_nothing_is_done(site: Site, network: Network) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await route(site, network)
    await site.daemon()
    network.cut()
    await site.alert("mbx1")
    await site.until_ended("mbx1")
    incident = await site.incident("mbx1")
    assert incident.status is IncidentStatus.ESCALATED
    assert site.effects("mbx1") == []
    assert incident.reason.startswith("verify: unreachable: "), incident.reason
