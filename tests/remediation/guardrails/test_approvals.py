"""Mode approve: it asks, waits holding nothing, and acts once on an answer that is about what it asks now."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config.guardrails import ActionClass, ModeRule, Safety
from daemon.domain.commits import Channel
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.verdicts import Mode
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import MBX1, MBX2, Daemon, Mishap, World, inventory

RESTART = "restart the Windows service MSExchangePOP3BE"
BOLD = (ActionClass.REBOOT,)


async def _daemon(folder: Path, *actions: ActionClass) -> AsyncIterator[Daemon]:
    rule = ModeRule(mode=Mode.APPROVE, servers=(MBX1,), actions=actions)
    store = MemoryStore()
    await store.open()
    safety = Safety(auto_tags=("auto",), modes=(rule,))
    yield Daemon(World(ManualClock()), store, folder, inventory(), safety)
    await store.close()


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon that asks before it does anything to mbx1, which is sick, and has asked for the restart."""
    async for daemon in _daemon(tmp_path):
        host = daemon.world.hosts[MBX1]
        host.sick, host.cured_by = True, "restart"
        await daemon.alert(MBX1)
        await daemon.drive(asks)
        yield daemon


@pytest.fixture
async def careful(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon that asks before it reboots mbx1, which only that can cure; it has moved its databases away."""
    async for daemon in _daemon(tmp_path, *BOLD):
        host = daemon.world.hosts[MBX1]
        host.sick, host.cured_by = True, "reboot"
        await daemon.alert(MBX1)
        await daemon.drive(asks)
        yield daemon


def asks(incident: Incident) -> bool:
    return incident.question is not None


async def order(daemon: Daemon, command: str, **more: str) -> dict[str, object]:
    return await daemon.operators.carry_out("ada", {"command": command, "incident": "i1", **more})


async def pages(daemon: Daemon) -> list[str]:
    return [str(row.message.body["text"]) for row in await daemon.store.outbox(Channel.NOTIFY, 100)]


async def test_it_asks_once_with_the_commands_to_type_and_touches_nothing_while_it_waits(asking: Daemon) -> None:
    for _ in range(40):
        await asking.turn()
    incident = await asking.incident()
    assert incident.status is IncidentStatus.OPEN
    assert incident.waiting_for.startswith(f"mode approve: waits for approval to {RESTART}")
    (page,) = await pages(asking)
    assert f"exmedic asks for your approval to {RESTART} on {MBX1}" in page
    assert "is unhealthy; mode approve: waits for approval" in page
    assert "exmedic approve i1 --state restart " in page
    assert "exmedic decline i1 --state restart " in page
    assert f"asks for approval to {RESTART}" in [row.entry.message for row in await asking.audit("decision")]
    assert asking.world.effects == []
    assert await asking.store.claim_holder(MBX1) is None


async def test_once_approved_it_verifies_afresh_at_once_acts_and_says_who_when_and_why(asking: Daemon) -> None:
    began = asking.clock.now()
    answer = await order(asking, "approve", reason="it is noon")
    assert (answer["state"], answer["what"]) == ("restart", RESTART)
    incident = await asking.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert [step.state for step in await asking.steps()] == ["verify", "restart.recheck", "restart", "reprobe"]
    assert (await asking.steps())[1].started_at == began
    assert asking.world.effects == [("restart", MBX1)]
    (row,) = [row for row in await asking.audit("decision") if row.entry.fields.get("approves")]
    assert row.entry.message.startswith(f"ada approves to {RESTART}, until ")
    assert row.entry.message.endswith(" UTC: it is noon")
    assert row.entry.fields["user"] == "ada"


async def test_it_ends_without_acting_if_it_is_healthy_when_the_approval_comes(asking: Daemon) -> None:
    asking.world.hosts[MBX1].sick = False
    await order(asking, "approve")
    assert (await asking.drive()).status is IncidentStatus.RESOLVED
    assert asking.world.effects == []


async def test_every_gate_is_asked_again_after_the_approval(asking: Daemon) -> None:
    asking.world.hosts[MBX1].start_type = "Manual"
    await order(asking, "approve")
    incident = await asking.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "starts Manual" in incident.reason
    assert asking.world.effects == []


async def test_a_question_that_nobody_answers_escalates(asking: Daemon) -> None:
    incident = await asking.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "waits for approval" in incident.reason
    assert incident.ended_at is not None
    assert timedelta(hours=8) <= incident.ended_at - incident.opened_at < timedelta(hours=9)
    assert asking.world.effects == []
    with pytest.raises(OperatorError, match="is escalated and asks nothing any more"):
        await order(asking, "approve")


async def test_declined_it_escalates_with_who_and_why(asking: Daemon) -> None:
    await order(asking, "decline", reason="backup is running")
    with pytest.raises(OperatorError, match="ada has declined it already"):
        await order(asking, "approve")
    incident = await asking.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "declined by ada: backup is running" in incident.reason
    assert asking.world.effects == []


async def test_an_approval_expires_unused_and_then_it_asks_once_more(asking: Daemon) -> None:
    asking.pause.pause("by bob")
    await order(asking, "approve")
    with pytest.raises(OperatorError, match="ada has approved it already, until"):
        await order(asking, "approve")
    granted = asking.clock.now()
    while asking.clock.now() < granted + timedelta(hours=1):
        await asking.turn()
    asking.pause.resume()
    await asking.drive(lambda incident: incident.approval is None)
    assert asking.world.effects == []
    first, second = await pages(asking)
    assert "Note: the approval of ada expired unused at" in second
    assert "expired" not in first
    await order(asking, "approve")
    assert (await asking.drive()).status is IncidentStatus.RESOLVED


async def test_an_approval_is_good_for_one_intent_even_if_nothing_was_sent_by_it(asking: Daemon) -> None:
    asking.world.befall("restart_service", Mishap.UNREACHABLE)
    await order(asking, "approve")
    await asking.drive(lambda incident: asks(incident) and incident.approval is None)
    assert asking.world.effects == []
    assert len(await pages(asking)) == 2
    await order(asking, "approve")
    assert (await asking.drive()).status is IncidentStatus.RESOLVED
    assert asking.world.effects == [("restart", MBX1)]


async def test_an_approval_of_a_state_that_has_moved_on_says_so(asking: Daemon) -> None:
    asking.world.hosts[MBX1].cured_by = "reboot"
    with pytest.raises(OperatorError, match=f"does not ask about reboot: it asks for approval to {RESTART}, --state"):
        await order(asking, "approve", state="reboot")
    await order(asking, "approve", state="restart")
    await asking.drive(lambda incident: incident.state == "reprobe")
    with pytest.raises(OperatorError, match="asks nothing now: it is in reprobe"):
        await order(asking, "approve", state="restart")
    await asking.drive(asks)
    with pytest.raises(OperatorError, match="does not ask about restart: it asks for approval to stop activation"):
        await order(asking, "approve", state="restart")
    assert [effect for effect, _ in asking.world.effects] == ["restart"]


async def test_an_approval_that_comes_between_the_last_look_and_the_wait_is_not_lost(asking: Daemon) -> None:
    await asking.drive(lambda incident: incident.state == "restart")
    run = asking.world.run

    async def approve_first(*args: object) -> object:
        asking.world.run = run  # type: ignore[method-assign]  # the test stands in between
        await order(asking, "approve")
        return await run(*args)  # type: ignore[arg-type]  # handed through as it came

    asking.world.run = approve_first  # type: ignore[method-assign, assignment]  # the test stands in between
    granted = asking.clock.now()
    assert (await asking.drive()).status is IncidentStatus.RESOLVED
    assert asking.clock.now() - granted < timedelta(minutes=20), "it did not wait for the next look"


async def test_what_was_verified_before_the_approval_is_verified_again(asking: Daemon) -> None:
    await asking.drive(lambda incident: incident.state == "restart")
    asking.clock.advance(5)
    await order(asking, "approve")
    asking.world.hosts[MBX1].sick = False
    assert (await asking.drive()).status is IncidentStatus.RESOLVED
    assert asking.world.effects == []


async def test_with_databases_moved_away_it_keeps_its_server_and_frees_its_dag_while_it_asks(careful: Daemon) -> None:
    assert [effect for effect, _ in careful.world.effects] == ["restart", "stop_activation"]
    assert await careful.store.claim_holder(MBX1) == "i1"
    assert await careful.store.claim_holder("dag:dag1") is None
    await careful.alert(MBX2)
    await order(careful, "approve")
    assert (await careful.drive()).status is IncidentStatus.RESOLVED
    done = [effect for effect, server in careful.world.effects if server == MBX1]
    assert done == ["restart", "stop_activation", "reboot", "allow_activation"]


async def test_unanswered_with_databases_moved_away_it_puts_them_back_and_escalates(careful: Daemon) -> None:
    incident = await careful.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert not careful.world.hosts[MBX1].blocked
    assert [effect for effect, _ in careful.world.effects] == ["restart", "stop_activation", "allow_activation"]
    assert await careful.store.claim_holder(MBX1) is None


async def test_nobody_can_approve_over_the_bus(asking: Daemon) -> None:
    before = await asking.incident()
    await asking.alert(MBX1, key="approve i1")
    after = await asking.incident()
    assert (after.question, after.approval, after.state) == (before.question, None, before.state)
    assert (after.produced, after.recommended) == (before.produced, before.recommended)
    assert asking.world.effects == []
