"""When exmedic itself is at fault: the incident escalates, the others go on, and nothing loops."""

import asyncio
from functools import partial

import pytest

from daemon.domain.commits import Channel
from daemon.domain.incidents import IncidentStatus, UndoStatus
from daemon.domain.ports import Call, Permit, Reply
from daemon.remediation.incidents.ladders import Ladders
from daemon.remediation.runner.loop import Runner
from daemon.remediation.runner.turn import Turn
from statemachines.compiler import Ladder
from tests.remediation.world import MBX1, MBX3, Daemon


async def run_until_ended(daemon: Daemon, *numbers: int) -> None:
    runner, stopping = Runner(daemon.guards, partial(Turn, daemon.services), lambda: None), asyncio.Event()
    running = asyncio.create_task(runner.run(lambda: None, stopping))
    while any([(await daemon.incident(number)).status is IncidentStatus.OPEN for number in numbers]):
        await asyncio.sleep(0)
        if daemon.clock.sleeping:
            daemon.clock.advance(5)
    stopping.set()
    runner.nudge()
    await running


async def test_a_defect_in_one_ladder_escalates_it_and_the_others_go_on(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = daemon.world.run

    async def defective(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "invoke_probe" and call.args["server"] == MBX1:
            raise ZeroDivisionError("a defect")
        return await run(call, permit)

    monkeypatch.setattr(daemon.world, "run", defective)
    await daemon.alert(MBX1)
    await daemon.alert(MBX3)
    await run_until_ended(daemon, 1, 2)
    first, second = await daemon.incident(1), await daemon.incident(2)
    assert (first.status, second.status) == (IncidentStatus.ESCALATED, IncidentStatus.RESOLVED)
    assert "internal error, please report it: ZeroDivisionError: a defect" in first.reason


async def test_an_incident_whose_ladder_is_lost_is_given_up_and_says_what_is_left(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick = True
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    assert host.blocked

    async def lost(_ladders: Ladders, incident: object) -> Ladder:
        raise KeyError(f"no such action any more: {incident!r:.20}")

    monkeypatch.setattr(Ladders, "of", lost)
    await run_until_ended(daemon, 1)
    incident = await daemon.incident()
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, True)
    assert "internal error" in incident.reason
    assert await daemon.store.claim_holder(MBX1) is None
    assert {item.status for item in await daemon.store.undo_items("i1")} == {UndoStatus.LEFT}
    (page,) = await daemon.store.outbox(Channel.NOTIFY, 10)
    assert f"Left changed: activation on {MBX1}" in str(page.message.body["text"])
    assert (await daemon.store.ledger()).imbalance == ""
