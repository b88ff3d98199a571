"""An incident that only looks, because somebody has its problem already: nothing is done under his hands."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.domain.commits import Channel, Commit, Progress
from daemon.domain.incidents import IncidentStatus, StepStatus, UndoStatus
from daemon.domain.kept import Taken
from daemon.remediation.incidents.engine import Engine
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.runner.test_ladder import sicken
from tests.remediation.runner.test_lost_answers import sick
from tests.remediation.world import MBX1, Daemon, Mishap, World

ADA = Taken("CONTOSO\\ada is its owner", "5a2f")


async def take(daemon: Daemon) -> None:
    """Somebody takes the problem of the incident."""
    incident = await daemon.incident()
    await daemon.store.commit(Commit(at=daemon.clock.now(), progress=Progress(incident=replace(incident, taken=ADA))))


async def pages(daemon: Daemon) -> list[str]:
    return [str(row.message.body["text"]) for row in await daemon.store.outbox(Channel.NOTIFY, 10)]


async def test_it_verifies_says_what_it_found_and_ends_escalated_without_an_effect_or_a_latch(daemon: Daemon) -> None:
    sicken(daemon, "restart")
    await daemon.alert(MBX1)
    await take(daemon)
    incident = await daemon.drive()
    assert (incident.status, incident.latched, incident.due_at) == (IncidentStatus.ESCALATED, False, None)
    assert daemon.world.effects == []
    assert "CONTOSO\\ada is its owner" in incident.reason
    assert "unhealthy: probe" in incident.reason
    (page,) = await pages(daemon)
    assert "is with somebody already" in page
    assert "set the alert back to New" in page


async def test_a_healthy_one_is_resolved_and_nobody_is_paged(daemon: Daemon) -> None:
    await daemon.alert(MBX1)
    await take(daemon)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert await pages(daemon) == []


@pytest.mark.parametrize("state", ["restart", "reboot.move", "reboot.moved", "reboot.reboot", "reboot.back", "final"])
async def test_a_ladder_under_way_has_no_other_effect_and_leaves_what_it_changed(daemon: Daemon, state: str) -> None:
    sicken(daemon, "")
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == state)
    before = list(daemon.world.effects)
    await take(daemon)
    incident = await daemon.drive()
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, False)
    assert daemon.world.effects == before
    left = [item for item in await daemon.store.undo_items("i1") if item.status is UndoStatus.LEFT]
    assert bool(left) is daemon.world.hosts[MBX1].blocked
    (page,) = await pages(daemon)
    for item in left:
        assert "-DatabaseCopyActivationDisabledAndMoveNow $false" in page, item
        assert "exmedic undo i1" in page
    assert await daemon.store.claims() == frozenset()


async def test_what_it_left_is_put_back_on_an_operators_order(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    await take(daemon)
    await daemon.drive()
    assert daemon.world.hosts[MBX1].blocked
    await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    incident = await daemon.drive()
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, False)
    assert not daemon.world.hosts[MBX1].blocked


async def test_a_site_can_have_it_put_back_first(daemon: Daemon) -> None:
    daemon.services = replace(
        daemon.services, engine=Engine(daemon.services.guards.settings.timing, "exmedic", undo_first=True)
    )
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    await take(daemon)
    incident = await daemon.drive()
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, False)
    assert not daemon.world.hosts[MBX1].blocked
    assert "CONTOSO\\ada is its owner" in incident.reason


async def test_one_that_an_operator_closes_puts_back_what_it_changed_all_the_same(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    await take(daemon)
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    assert (await daemon.drive()).status is IncidentStatus.CANCELLED
    assert not daemon.world.hosts[MBX1].blocked


async def test_an_effect_whose_answer_is_lost_is_settled_first(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("restart_service", Mishap.ANSWER_LOST)
    await daemon.drive(lambda _incident: bool(daemon.world.effects))
    await take(daemon)
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    (restart,) = [step for step in await daemon.steps() if step.action == "restart_service"]
    assert (restart.status, restart.outcome) == (StepStatus.DONE, "done")
    assert [name for name, _ in daemon.world.effects] == ["restart"]


async def test_one_that_leaves_its_server_quarantined_keeps_its_key_until_evidence_turns_up(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("reboot", Mishap.VANISHED)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    daemon.world.befall("step_running", *[Mishap.UNREACHABLE] * 500)
    await daemon.turn()
    await take(daemon)
    incident = await daemon.drive()
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, True)
    daemon.world.mishaps.clear()
    await daemon.turn()
    assert await daemon.store.quarantine(MBX1) is None


async def test_it_opens_no_incident_for_what_else_is_sick_there(daemon: Daemon) -> None:
    sicken(daemon, "restart")
    daemon.world.hosts[MBX1].also = ("PopSelfTestMonitor",)
    await daemon.alert(MBX1)
    await take(daemon)
    await daemon.drive()
    assert [each.id for each in await daemon.store.incidents()] == ["i1"]


@given(moment=st.integers(0, 60), cure=st.sampled_from(["restart", "reboot", ""]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whenever_somebody_takes_it_nothing_more_is_done_and_it_ends(
    moment: int, cure: str, tmp_path: Path
) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path)
    sicken(daemon, cure)
    await daemon.alert(MBX1)
    for _ in range(moment):
        if (await daemon.incident()).status is IncidentStatus.OPEN:
            await daemon.turn()
    if (await daemon.incident()).status is IncidentStatus.OPEN:
        await take(daemon)
        before = list(daemon.world.effects)
        incident = await daemon.drive()
        assert daemon.world.effects == before
        assert not incident.latched
        items = await store.undo_items("i1")
        assert all(item.status is not UndoStatus.PENDING for item in items)
        assert daemon.world.hosts[MBX1].blocked is any(item.status is UndoStatus.LEFT for item in items)
        assert await store.claims() == frozenset()
    await store.close()
