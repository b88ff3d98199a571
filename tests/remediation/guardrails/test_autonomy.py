"""What a mode kept from being done is on record, and how it turned out is told when the server is healthy again."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config.guardrails import ActionClass, ModeRule, Safety
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.ports import Call
from daemon.domain.verdicts import Mode
from daemon.remediation.guardrails import recommendations
from daemon.reports.autonomy import How, Judged, judged
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import MBX1, Daemon, Mishap, World, inventory

Make = Callable[..., Daemon]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a daemon with such rules on a world where mbx1 is sick."""
    store = MemoryStore()
    await store.open()

    def daemon(*rules: tuple[Mode, ActionClass]) -> Daemon:
        modes = tuple(ModeRule(mode=mode, servers=(MBX1,), actions=(action,)) for mode, action in rules)
        made = Daemon(World(ManualClock()), store, tmp_path, inventory(), Safety(auto_tags=("auto",), modes=modes))
        made.world.hosts[MBX1].sick = True
        return made

    yield daemon
    await store.close()


def kept(incident: Incident) -> bool:
    return bool(incident.recommended)


def somebody_restarts(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.pid, host.service_since = False, host.pid + 1, daemon.clock.now()


def somebody_reboots(daemon: Daemon) -> None:
    somebody_restarts(daemon)
    daemon.world.hosts[MBX1].booted = daemon.clock.now()


def somebody_moves(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = False
    daemon.world.active = dict.fromkeys(daemon.world.active, "mbx2.contoso.lab")


def it_heals_itself(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = False


async def verdict(daemon: Daemon) -> Judged:
    (found,) = judged(await daemon.incident(), await daemon.steps())
    return found


@pytest.mark.parametrize(
    ("rule", "happens", "how", "why"),
    [
        (ActionClass.RESTART, somebody_restarts, How.SAME, "MSExchangePOP3BE ran since"),
        (ActionClass.RESTART, it_heals_itself, How.WITHOUT, "MSExchangePOP3BE ran since"),
        (ActionClass.RESTART, somebody_reboots, How.UNKNOWN, "rebooted meanwhile"),
        (ActionClass.MOVE, somebody_moves, How.SAME, "of 2 databases that were active there 0 are afterwards"),
        (ActionClass.MOVE, it_heals_itself, How.WITHOUT, "of 2 databases that were active there 2 are afterwards"),
    ],
)
async def test_in_mode_observe_what_somebody_else_did_meanwhile_is_seen(
    make: Make, rule: ActionClass, happens: Callable[[Daemon], None], how: How, why: str
) -> None:
    daemon = make((Mode.OBSERVE, rule))
    await daemon.alert(MBX1)
    waiting = await daemon.drive(kept)
    assert (await verdict(daemon)).how is How.OPEN
    (would,) = waiting.recommended
    assert (would.mode, would.action_class) == (Mode.OBSERVE, rule.value)
    daemon.clock.advance(120)
    happens(daemon)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    found = await verdict(daemon)
    assert found.how is how, found
    assert why in found.why


async def test_where_databases_go_home_by_themselves_their_leaving_is_nobodys_work(make: Make) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.MOVE))
    daemon.world.around[MBX1].version = "Version 15.2 (Build 2562.53)"
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    daemon.clock.advance(120)
    somebody_moves(daemon)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    found = await verdict(daemon)
    assert (found.how, "gone home by themselves" in found.why) == (How.UNKNOWN, True), found


async def test_a_reboot_of_somebody_else_is_told_by_the_boot_time_and_our_own_undo_is_no_evidence(make: Make) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.REBOOT))
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    daemon.clock.advance(120)
    somebody_reboots(daemon)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    found = await verdict(daemon)
    assert (found.runbook, found.state, found.how) == ("pop-mailbox", "reboot.reboot", How.SAME), found.why


async def test_the_first_figures_are_kept_and_the_question_is_recorded_like_an_observation(make: Make) -> None:
    daemon = make((Mode.APPROVE, ActionClass.RESTART))
    await daemon.alert(MBX1)
    (first,) = (await daemon.drive(kept)).recommended
    for _ in range(20):
        await daemon.turn()
    assert (await daemon.incident()).recommended == (first,)
    assert (first.state, first.what) == ("restart", "restart the Windows service MSExchangePOP3BE")
    assert first.baseline["pid"] == 100


@pytest.mark.parametrize(("cure", "how"), [("restart", How.APPROVED), ("nothing", How.IN_VAIN)])
async def test_what_was_approved_is_told_by_the_verification_after_it(make: Make, cure: str, how: How) -> None:
    daemon = make((Mode.APPROVE, ActionClass.RESTART), (Mode.OBSERVE, ActionClass.MOVE))
    daemon.world.hosts[MBX1].cured_by = cure
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    await daemon.operators.carry_out("ada", {"command": "approve", "incident": "i1"})
    await daemon.drive()
    found = judged(await daemon.incident(), await daemon.steps())
    (restart,) = (one for one in found if one.state == "restart")
    assert (restart.mode, restart.state, restart.how) == ("approve", "restart", how), restart.why


async def test_approved_and_never_done_is_not_known(make: Make) -> None:
    daemon = make((Mode.APPROVE, ActionClass.RESTART))
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    daemon.world.befall("restart_service", Mishap.UNREACHABLE)
    await daemon.operators.carry_out("ada", {"command": "approve", "incident": "i1"})
    await daemon.drive(lambda incident: incident.recommended[0].carried_out is not None)
    it_heals_itself(daemon)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    found = await verdict(daemon)
    assert (found.how, found.why) == (How.UNKNOWN, "what was approved was not done after all")


async def test_a_look_that_cannot_be_taken_ends_nothing_and_is_not_known(make: Make) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.RESTART))
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    somebody_restarts(daemon)
    run = daemon.world.run

    async def silent_for_the_look(call: Call, *given: object) -> object:
        if call.step_id == "i1-look":
            daemon.world.befall(call.script, Mishap.UNREACHABLE)
        return await run(call, *given)  # type: ignore[arg-type]  # handed through as it came

    daemon.world.run = silent_for_the_look  # type: ignore[method-assign, assignment]  # the test stands in between
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert (await verdict(daemon)).how is How.UNKNOWN
    assert any(call.step_id == "i1-look" for call in daemon.world.calls)


async def test_a_defect_in_the_look_does_not_open_the_end_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.RESTART))
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    it_heals_itself(daemon)

    def broken(*_given: object) -> str:
        raise RuntimeError("a defect")

    monkeypatch.setattr(recommendations, "LastLook", broken)
    incident = await daemon.drive()
    assert (incident.status, incident.due_at) == (IncidentStatus.RESOLVED, None)
    assert (await verdict(daemon)).how is How.UNKNOWN


async def test_escalated_it_is_looked_at_once_its_latch_is_lifted_because_it_is_healthy(make: Make) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.RESTART))
    await daemon.alert(MBX1)
    assert (await daemon.drive(turns=1000)).status is IncidentStatus.ESCALATED
    found = await verdict(daemon)
    assert (found.how, found.why) == (How.UNKNOWN, "it is escalated, and not found healthy since")
    somebody_restarts(daemon)
    incident = await daemon.drive(lambda incident: incident.last_look is not None)
    assert not incident.latched
    assert (await verdict(daemon)).how is How.SAME


async def test_one_that_an_operator_closed_has_proven_nothing(make: Make) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.RESTART))
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    assert (await daemon.drive()).status is IncidentStatus.CANCELLED
    found = await verdict(daemon)
    assert (found.how, found.why) == (How.UNKNOWN, "it is cancelled, and not found healthy since")
    assert all(call.step_id != "i1-look" for call in daemon.world.calls)


async def test_an_undo_that_an_operator_orders_after_the_end_proves_nothing_either(make: Make) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.REBOOT))
    daemon.world.befall("set_activation", Mishap.ANSWER_LOST)
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    daemon.world.befall("set_activation", *[Mishap.FAILED] * 2)
    assert (await daemon.drive(turns=1000)).status is IncidentStatus.ESCALATED
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    incident = await daemon.drive()
    assert (incident.status, incident.latched, incident.last_look is not None) == (
        IncidentStatus.ESCALATED,
        False,
        False,
    )
    assert (await verdict(daemon)).how is How.UNKNOWN


async def test_the_look_costs_no_time_of_the_incident(make: Make) -> None:
    daemon = make((Mode.OBSERVE, ActionClass.RESTART))
    await daemon.alert(MBX1)
    await daemon.drive(kept)
    it_heals_itself(daemon)
    incident = await daemon.drive()
    assert incident.due_at is None
    assert incident.ended_at is not None
    assert incident.last_look is not None
    assert incident.last_look.at >= incident.ended_at
    assert daemon.clock.now() - incident.ended_at < timedelta(minutes=1)
