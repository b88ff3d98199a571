"""The daemon dies, or is stopped, around the sending of a move and of a reboot, and is started again.

Rule 3 of the design: what was sent is never sent again without evidence. So each time the lab's own record has one
move and one reboot, and the server is healed.

The moments are exact without any help of the daemon's: a connection that arrives after the intent is committed is held
up by the network in between, and an effect that is in the lab's record has its answer held back by the lab.
"""

import asyncio

import pytest

from daemon.domain import AuditKind, IncidentStatus, StepStatus
from daemon.lab.faults import Fault
from tests.acceptance.relay import relay
from tests.acceptance.site import DaemonProcess, Site, has_open_step
from tests.acceptance.test_ladders import HEALED
from tests.realparts.waiting import eventually

SERVER = "mbx4"
STOPS = ("kill", "terminate")


async def end(daemon: DaemonProcess, how: str) -> None:
    """Kill it, or stop it in stages, which must end well."""
    if how == "kill":
        daemon.kill()
    else:
        assert await daemon.stop() == 0, daemon.words()


async def begin(site: Site) -> DaemonProcess:
    site.configure(more="[winrm]\ncall_timeout = 3\neffect_timeout = 3")
    site.lab.break_server(SERVER, Fault.REBOOT_CURES)
    daemon = await site.daemon()
    await site.alert(SERVER)
    return daemon


async def is_healed(site: Site) -> None:
    await site.daemon()
    await site.until_ended(SERVER, seconds=90)
    incident = await site.incident(SERVER)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(SERVER) == HEALED
    await site.agrees()


@pytest.mark.parametrize("how", STOPS)
async def test_between_the_intent_of_a_move_and_its_sending(site: Site, how: str) -> None:
    async def intent() -> bool:
        async with site.store() as store:
            return await has_open_step(store, SERVER, "stop_activation")

    async with relay() as between:
        between.holds = intent
        site.route({name: await between.endpoint(url) for name, url in site.lab.endpoints.items()})
        daemon = await begin(site)
        await asyncio.wait_for(between.held.wait(), 60)
        await end(daemon, how)
        assert "stop_activation" not in site.effects(SERVER)
        between.holds = None
        await is_healed(site)
    steps = [step for step in await site.steps(await site.incident(SERVER)) if step.action == "stop_activation"]
    assert [step.status for step in steps] == [StepStatus.WITHDRAWN, StepStatus.DONE]
    assert len(await site.audit(AuditKind.WITHDRAWN)) == 1


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize(("script", "action"), [("set_activation", "stop_activation"), ("reboot", "reboot")])
async def test_right_after_it_was_sent(site: Site, script: str, action: str, how: str) -> None:
    # Held back longer than the daemon waits, and only once.
    site.lab.break_server(SERVER, Fault.LATE_ANSWER, script=script, count=1, timeouts=100)
    daemon = await begin(site)
    await eventually(lambda: action in site.effects(SERVER), f"{action} is in the lab's record", 60)
    await end(daemon, how)
    (step,) = [step for step in await site.steps(await site.incident(SERVER)) if step.action == action]
    assert step.status is StepStatus.OPEN, "the answer came before the daemon was gone"
    await is_healed(site)
    (step,) = [step for step in await site.steps(await site.incident(SERVER)) if step.action == action]
    assert step.outcome == "done"
