"""Somebody or something comes in between: each of these once did harm, or would have."""

import pytest

from daemon.domain.commits import Channel
from daemon.domain.incidents import IncidentStatus, UndoStatus
from daemon.domain.ports import Call, Permit, Reply, ReplyKind
from tests.remediation.runner.test_lost_answers import done, sick
from tests.remediation.world import MBX1, MBX2, Daemon, Mishap


async def test_a_reboot_that_was_not_made_does_not_keep_activation_blocked(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("reboot", Mishap.FAILED)
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    assert [item.status for item in await daemon.store.undo_items("i1")] == [UndoStatus.DONE]
    assert not daemon.world.hosts[MBX1].blocked


async def test_an_undo_whose_answer_shows_the_old_value_is_not_done(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sick(daemon)
    run = daemon.world.run

    async def without_effect(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "set_activation" and not call.args["value"]:
            told = {"server": call.args["server"], "before": True, "after": True, "changed": False}
            return Reply(kind=ReplyKind.OK, result=told, clock=daemon.world.local(call.executor))
        return await run(call, permit)

    monkeypatch.setattr(daemon.world, "run", without_effect)
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    assert [item.status for item in await daemon.store.undo_items("i1")] == [UndoStatus.LEFT]


async def test_a_block_that_somebody_set_just_before_ours_is_not_ours_to_lift(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sick(daemon)
    run = daemon.world.run

    async def raced(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "set_activation" and call.args["value"]:
            daemon.world.hosts[MBX1].blocked = True
        return await run(call, permit)

    monkeypatch.setattr(daemon.world, "run", raced)
    incident = await daemon.drive()
    assert "somebody else has just changed activation" in incident.reason
    assert done(daemon) == ["restart"]
    assert daemon.world.hosts[MBX1].blocked


async def test_no_server_is_taken_from_a_dag_in_which_another_is_unsettled(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("reboot", Mishap.VANISHED)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    daemon.world.befall("step_running", *[Mishap.UNREACHABLE] * 5000)
    await daemon.drive()
    assert await daemon.store.quarantine(MBX1) is not None
    host = daemon.world.hosts[MBX2]
    host.sick, host.cured_by = True, "reboot"
    await daemon.alert(MBX2)
    while (await daemon.incident(2)).status is IncidentStatus.OPEN:
        await daemon.turn()
    assert "mbx1.contoso.lab, of the same DAG or site, is quarantined" in (await daemon.incident(2)).reason
    assert [name for name, server in daemon.world.effects if server == MBX2] == ["restart"]


async def test_an_ordered_undo_neither_takes_a_closed_key_again_nor_fails_in_silence(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.hosts[MBX1].cured_by = ""
    await daemon.drive()
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    daemon.world.befall("set_activation", *[Mishap.UNREACHABLE] * 500)
    await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    incident = await daemon.drive()
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, False)
    assert len(await daemon.store.outbox(Channel.NOTIFY, 10)) == 2
    await daemon.alert(MBX1, key="a new one")
    assert (await daemon.incident(2)).status is IncidentStatus.OPEN


async def test_what_was_not_allowed_is_not_followed_by_a_harsher_step(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sick(daemon)
    run = daemon.world.run

    async def denied(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "restart_service":
            return Reply(kind=ReplyKind.FAILED, result={}, error="denied", detail="access is denied")
        return await run(call, permit)

    monkeypatch.setattr(daemon.world, "run", denied)
    incident = await daemon.drive()
    assert incident.reason.startswith("restart: refused: access is denied")
    assert daemon.world.effects == []
