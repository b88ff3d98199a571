"""The daemon dies, or is stopped, around the sending of a move and of a reboot, and is started again.

Rule 3 of the design: what was sent is never sent again without evidence. So each time the lab's own record has one
move and one reboot, and the server is healed.

The moments are exact without any help of the daemon's: a connection that arrives after the intent is committed is held
up by the network in between, and an effect that is in the lab's record has its answer held back by the lab.
"""

import pytest

from daemon.domain.audit import AuditKind
from daemon.domain.incidents import IncidentStatus, Step, StepStatus
from daemon.lab.faults import Fault
from tests.acceptance.driven import DaemonProcess
from tests.acceptance.site import Site, has_open_step
from tests.acceptance.test_ladders import HEALED
from tests.realparts.relay import Relay, relay
from tests.realparts.waiting import eventually

SERVER = "mbx4"


async def begin(site: Site) -> DaemonProcess:
    site.lab.break_server(SERVER, Fault.REBOOT_CURES)
    daemon = await site.daemon()
    await site.alert(SERVER)
    return daemon


async def is_healed(site: Site) -> None:
    await site.until_ended(SERVER)
    incident = await site.incident(SERVER)
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert site.effects(SERVER) == HEALED
    await site.agrees()


async def hold_up_the_move(site: Site, between: Relay) -> None:
    """Let the network hold up the first connection that arrives once the intent of the move is committed."""

    async def intended() -> bool:
        async with site.store() as store:
            return await has_open_step(store, SERVER, "stop_activation")

    between.holds = intended
    site.configure(send_window=500.0)  # until then it could still begin, so nothing can be concluded
    site.route({name: await between.endpoint(url) for name, url in site.lab.endpoints.items()})


def hold_back_the_answer(site: Site, script: str) -> None:
    """Let the lab carry out a script, and answer later than the daemon waits; once."""
    site.lab.break_server(SERVER, Fault.LATE_ANSWER, script=script, count=1, timeouts=100)


async def is_sent(site: Site, action: str) -> None:
    await site.eventually(lambda: action in site.effects(SERVER), f"{action} is in the lab's record")


async def stop_while_it_waits(site: Site, daemon: DaemonProcess) -> None:
    """Stop the daemon in stages while it waits for an answer that does not come, until the deadline of the call."""
    daemon.terminate()
    await eventually(lambda: "STOPPING=1" in daemon.heard(), "it stops")
    site.pass_deadlines()
    assert await daemon.ended() == 0, daemon.words()


async def steps(site: Site, action: str) -> list[Step]:
    return [step for step in await site.steps(await site.incident(SERVER)) if step.action == action]


async def test_killed_between_the_intent_of_a_move_and_its_sending(site: Site) -> None:
    async with relay() as between:
        await hold_up_the_move(site, between)
        daemon = await begin(site)
        await site.eventually(between.held.is_set, "a connection is held")
        daemon.kill()
        assert "stop_activation" not in site.effects(SERVER)
        assert [step.status for step in await steps(site, "stop_activation")] == [StepStatus.OPEN]
        between.holds = None
        await site.daemon()
        await is_healed(site)
    moves = await steps(site, "stop_activation")
    assert [step.status for step in moves] == [StepStatus.WITHDRAWN, StepStatus.DONE]
    assert len(await site.audit(AuditKind.WITHDRAWN)) == 1


@pytest.mark.parametrize(("script", "action"), [("set_activation", "stop_activation"), ("reboot", "reboot")])
async def test_killed_right_after_it_was_sent(site: Site, script: str, action: str) -> None:
    hold_back_the_answer(site, script)
    daemon = await begin(site)
    await is_sent(site, action)
    daemon.kill()
    assert [step.status for step in await steps(site, action)] == [StepStatus.OPEN], "its answer was not held back"
    await site.daemon()
    await is_healed(site)
    assert [step.outcome for step in await steps(site, action)] == ["done"]


async def test_stopped_in_stages_at_all_three_moments_of_one_ladder(site: Site) -> None:
    async with relay() as between:
        await hold_up_the_move(site, between)
        daemon = await begin(site)
        await site.eventually(between.held.is_set, "a connection is held")
        await stop_while_it_waits(site, daemon)
        assert "stop_activation" not in site.effects(SERVER)
        between.holds = None
        for script, action in (("set_activation", "stop_activation"), ("reboot", "reboot")):
            hold_back_the_answer(site, script)
            daemon = await site.daemon()
            await is_sent(site, action)
            await stop_while_it_waits(site, daemon)
            assert (await steps(site, action))[-1].status is StepStatus.OPEN
        await site.daemon()
        await is_healed(site)
    statuses = [step.status for step in await steps(site, "stop_activation")]
    assert statuses == [StepStatus.WITHDRAWN, StepStatus.DONE]
    assert [step.status for step in await steps(site, "reboot")] == [StepStatus.DONE]
