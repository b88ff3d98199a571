"""Whose word is taken that a change is gone: other servers may not see it yet, and Exchange may still finish it."""

from datetime import timedelta

import pytest

from daemon.domain.incidents import IncidentStatus, StepStatus, UndoStatus
from daemon.domain.ports import Call, Permit, Reply
from tests.remediation.runner.test_lost_answers import done, sick
from tests.remediation.world import MBX1, Daemon, Mishap

FOR_GOOD = timedelta(days=300)


async def moved(daemon: Daemon) -> str:
    """A sick server is rebooted and healthy, and its activation waits to be put back; the executor that blocked it."""
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "undo.resolved")
    (step,) = [step for step in await daemon.steps() if step.action == "stop_activation"]
    return step.executor


def only_sees(daemon: Daemon, executor: str) -> None:
    """The change has not been replicated: every other server shows activation as it was before."""
    run, seen = daemon.world.run, daemon.world.hosts[MBX1]

    async def run_on_old_views(call: Call, permit: Permit | None = None) -> Reply:
        if call.script != "database_copies" or call.executor == executor:
            return await run(call, permit)
        blocked, seen.blocked = seen.blocked, False
        reply = await run(call, permit)
        seen.blocked = blocked
        return reply

    daemon.world.run = run_on_old_views  # type: ignore[method-assign]  # the test stands in between


async def item(daemon: Daemon) -> UndoStatus:
    (found,) = await daemon.store.undo_items("i1")
    return found.status


async def test_the_server_that_made_the_change_is_asked_whether_it_is_still_there(daemon: Daemon) -> None:
    executor = await moved(daemon)
    only_sees(daemon, executor)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert await item(daemon) is UndoStatus.DONE
    assert not daemon.world.hosts[MBX1].blocked


@pytest.mark.parametrize("minutes", [5, 60])
async def test_what_the_others_do_not_see_yet_is_not_taken_for_put_back(daemon: Daemon, minutes: int) -> None:
    executor = await moved(daemon)
    only_sees(daemon, executor)
    host = daemon.world.hosts[executor]
    host.up_at = daemon.clock.now() + timedelta(minutes=minutes)
    incident = await daemon.drive()
    if minutes == 5:
        assert (incident.status, await item(daemon)) == (IncidentStatus.RESOLVED, UndoStatus.DONE)
        assert not daemon.world.hosts[MBX1].blocked
    else:
        assert (incident.status, await item(daemon)) == (IncidentStatus.ESCALATED, UndoStatus.LEFT)
        assert daemon.world.hosts[MBX1].blocked, "and the escalation says so"


async def test_another_server_that_sees_the_change_puts_it_back(daemon: Daemon) -> None:
    executor = await moved(daemon)
    daemon.world.hosts[executor].up_at = daemon.clock.now() + FOR_GOOD
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert await item(daemon) is UndoStatus.DONE
    assert not daemon.world.hosts[MBX1].blocked


async def test_once_every_server_must_have_seen_the_change_the_others_are_believed(daemon: Daemon) -> None:
    executor = await moved(daemon)
    daemon.world.hosts[executor].up_at = daemon.clock.now() + FOR_GOOD
    daemon.world.hosts[MBX1].blocked = False  # by hand
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    assert await item(daemon) is UndoStatus.LEFT
    daemon.clock.advance(6 * 3600)
    await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    while (await daemon.incident()).undo_by:
        await daemon.turn()
    assert await item(daemon) is UndoStatus.DONE


def finish_late(daemon: Daemon) -> None:
    """Exchange finishes the change whose client is gone."""
    daemon.world.hosts[MBX1].blocked = True
    for database, home in daemon.world.active.items():
        if home == MBX1:
            daemon.world.moving[database] = daemon.clock.now() + timedelta(seconds=40)


async def withdrawn(daemon: Daemon) -> bool:
    return any(step.status is StepStatus.WITHDRAWN for step in await daemon.steps())


async def test_a_block_that_exchange_finishes_after_its_step_was_withdrawn_is_gone_on_with(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("set_activation", Mishap.VANISHED)
    while not await withdrawn(daemon):
        await daemon.turn()
    finish_late(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == ["restart", "reboot", "allow_activation"]
    (moved_,) = [step for step in await daemon.steps() if step.action == "check_moved" and step.outcome == "moved"]
    assert moved_.params == {"databases": ["DB1", "DB2"]}, "as they were when the first step began"
    assert await item(daemon) is UndoStatus.DONE
    assert not daemon.world.hosts[MBX1].blocked


@pytest.mark.parametrize("seconds", [0, 60, 200])
async def test_a_block_that_exchange_finishes_when_the_problem_is_over_is_put_back(
    daemon: Daemon, seconds: int
) -> None:
    await sick(daemon)
    daemon.world.befall("set_activation", Mishap.VANISHED)
    while not await withdrawn(daemon):
        await daemon.turn()
    daemon.world.hosts[MBX1].sick = False
    finished = daemon.clock.now() + timedelta(seconds=seconds)
    late = False
    while (await daemon.incident()).status is IncidentStatus.OPEN:
        if not late and daemon.clock.now() >= finished:
            finish_late(daemon)
            late = True
        await daemon.turn()
    assert late, "the incident was over before Exchange was"
    assert (await daemon.incident()).status is IncidentStatus.RESOLVED
    assert await item(daemon) is UndoStatus.DONE
    assert not daemon.world.hosts[MBX1].blocked


async def test_a_change_that_was_sent_twice_is_put_back_once(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("set_activation", Mishap.VANISHED)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == ["restart", "stop_activation", "reboot", "allow_activation"]
    assert await item(daemon) is UndoStatus.DONE, "one record of it"


async def test_a_change_that_was_never_sent_leaves_nothing_to_put_back(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("set_activation", *[Mishap.UNREACHABLE] * 500)
    incident = await daemon.drive()
    assert incident.reason.startswith("reboot.move: unreachable")
    assert {found.reason for found in await daemon.store.undo_items("i1")} == {"never changed"}
    assert incident.ended_at is not None
