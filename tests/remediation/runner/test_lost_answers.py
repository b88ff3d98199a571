"""Lost answers and a dying process: a disruptive step is settled by evidence, and never sent twice on a guess."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.domain.incidents import IncidentStatus, StepStatus, UndoStatus
from daemon.domain.ports import Call, Permit, Reply
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import MBX1, MBX2, Crash, Daemon, Mishap, World

EFFECTS = ("restart_service", "set_activation", "reboot")
UNDISTURBED = ["restart", "stop_activation", "reboot", "allow_activation"]


async def sick(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "reboot"
    await daemon.alert(MBX1)


def done(daemon: Daemon) -> list[str]:
    return [name for name, _ in daemon.world.effects]


@pytest.mark.parametrize("script", EFFECTS)
async def test_an_effect_whose_answer_was_lost_is_found_by_evidence_and_not_repeated(
    daemon: Daemon, script: str
) -> None:
    await sick(daemon)
    daemon.world.befall(script, Mishap.ANSWER_LOST)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == UNDISTURBED


@pytest.mark.parametrize("script", EFFECTS)
async def test_an_effect_that_never_happened_is_sent_again_only_once_it_no_longer_can(
    daemon: Daemon, script: str
) -> None:
    await sick(daemon)
    daemon.world.befall(script, Mishap.VANISHED)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == UNDISTURBED
    sent = [call for call in daemon.world.calls if call.script == script and not call.read_only]
    assert len({call.step_id for call in sent}) == len(sent), "each step is sent at most once"
    lost, again = sent[0], sent[1]
    assert str(again.args["not_after"]) > str(lost.args["not_after"])
    (withdrawn,) = [step for step in await daemon.steps() if step.status is StepStatus.WITHDRAWN]
    assert withdrawn.id == lost.step_id


@pytest.mark.parametrize("mishap", [Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER])
@pytest.mark.parametrize("script", EFFECTS)
async def test_a_daemon_that_dies_around_a_send_goes_on_without_repeating_it(
    daemon: Daemon, script: str, mishap: Mishap
) -> None:
    await sick(daemon)
    daemon.world.befall(script, mishap)
    with pytest.raises(Crash):
        await daemon.drive()
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == UNDISTURBED


@pytest.mark.parametrize("mishap", [Mishap.ANSWER_LOST, None])
async def test_a_new_process_that_got_the_id_of_the_old_one_is_a_new_process(
    daemon: Daemon, mishap: Mishap | None
) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    run = daemon.world.run

    async def run_with_ids_given_out_again(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "restart_service":
            host.pid -= 1  # the world counts it up
        return await run(call, permit)

    daemon.world.run = run_with_ids_given_out_again  # type: ignore[method-assign]  # the test stands in between
    if mishap is not None:
        daemon.world.befall("restart_service", mishap)
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == ["restart"]


@pytest.mark.parametrize("script", ["restart_service", "reboot"])
async def test_a_server_clock_that_is_set_back_over_an_effect_never_makes_it_happen_twice(
    daemon: Daemon, script: str
) -> None:
    await sick(daemon)
    run = daemon.world.run

    async def run_while_the_clock_is_set_back(call: Call, permit: Permit | None = None) -> Reply:
        reply = await run(call, permit)
        if call.script == script:
            # The new process, or the boot, began by a clock that is four days behind the one of the baseline.
            daemon.world.hosts[MBX1].skew -= timedelta(days=4)
        return reply

    daemon.world.run = run_while_the_clock_is_set_back  # type: ignore[method-assign]  # the test stands in between
    daemon.world.befall(script, Mishap.ANSWER_LOST)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert done(daemon).count(script.removesuffix("_service")) == 1
    assert await daemon.store.quarantine(MBX1) is not None


async def test_a_reboot_without_evidence_quarantines_the_server_and_leaves_it_alone(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("reboot", Mishap.VANISHED)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    daemon.world.befall("step_running", *[Mishap.UNREACHABLE] * 500)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("reboot.reboot: unknown")
    quarantine = await daemon.store.quarantine(MBX1)
    assert quarantine is not None
    assert done(daemon) == ["restart", "stop_activation"], "nothing after the quarantine, undo included"
    (item,) = await daemon.store.undo_items("i1")
    assert item.status is UndoStatus.LEFT
    assert "quarantined" in item.reason


async def test_evidence_that_turns_up_later_lifts_the_quarantine(daemon: Daemon) -> None:
    await test_a_reboot_without_evidence_quarantines_the_server_and_leaves_it_alone(daemon)
    daemon.world.mishaps.clear()
    await daemon.turn()
    assert await daemon.store.quarantine(MBX1) is None
    assert len(await daemon.audit("quarantine_lifted")) == 1


async def test_an_undo_that_cannot_be_made_escalates_and_says_how_to_make_it(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("set_activation", *[], Mishap.ANSWER_LOST)  # the first is the move's, settled by evidence
    await daemon.drive(lambda incident: incident.state == "undo.resolved")
    daemon.world.befall("set_activation", *[Mishap.UNREACHABLE] * 500)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    (item,) = await daemon.store.undo_items("i1")
    assert item.status is UndoStatus.LEFT
    assert daemon.world.hosts[MBX1].blocked


HARMLESS = st.sampled_from([mishap for mishap in Mishap if not mishap.name.startswith("CRASH")])
DEADLY = st.sampled_from([Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER])
READS = ("server_health", "invoke_probe", "database_copies", "server_state", "step_running")
FACTS = ("exchange_server", "dag_health", "recovery_log")
SCRIPTS = (*EFFECTS, *READS, *FACTS)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cured_by=st.sampled_from(["restart", "reboot", ""]),
    mishaps=st.lists(st.tuples(st.sampled_from(SCRIPTS), HARMLESS | DEADLY), max_size=12),
)
async def test_whatever_befalls_the_calls_every_incident_ends_and_each_effect_happens_at_most_once(
    tmp_path: Path, cured_by: str, mishaps: list[tuple[str, Mishap]]
) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path)
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, cured_by
    for script, mishap in mishaps:
        daemon.world.befall(script, mishap)
    await daemon.alert(MBX1)
    for _ in range(len(mishaps) + 1):
        try:
            incident = await daemon.drive()
            break
        except Crash:
            continue
    assert incident.status in (IncidentStatus.RESOLVED, IncidentStatus.ESCALATED)
    effects = done(daemon)
    for effect in UNDISTURBED:
        assert effects.count(effect) <= 1, effects
    assert await store.claim_holder(MBX1) is None
    items = await store.undo_items("i1")
    assert all(item.status is not UndoStatus.PENDING for item in items)
    if host.blocked:
        assert [item.status for item in items][-1] is UndoStatus.LEFT, "what is left changed is said"
    ledger = await store.ledger()
    assert ledger.imbalance == ""
    await store.close()


async def test_an_effect_that_happens_between_the_looks_of_a_settlement_is_not_declared_undone(daemon: Daemon) -> None:
    """It begins just in time after the evidence was read, and is over before it is asked whether it still can."""
    await sick(daemon)
    daemon.world.befall("reboot", Mishap.VANISHED)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    run = daemon.world.run

    async def reboot_after_the_evidence(call: Call, permit: Permit | None = None) -> Reply:
        reply = await run(call, permit)
        lost = [sent for sent in daemon.world.calls if sent.script == "reboot"]
        if call.script == "server_state" and lost and "reboot" not in done(daemon):
            daemon.world.reboot(lost[0])
            daemon.clock.advance(600)  # past the moment after which it may not begin
        return reply

    daemon.world.run = reboot_after_the_evidence  # type: ignore[method-assign]  # the test stands in between
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == UNDISTURBED
    (reboot,) = [step for step in await daemon.steps() if step.action == "reboot"]
    assert (reboot.status, reboot.outcome) == (StepStatus.DONE, "done")


async def test_a_block_by_somebody_else_while_our_answer_is_lost_is_not_taken_for_ours(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("set_activation", Mishap.CRASH_BEFORE)
    with pytest.raises(Crash):
        await daemon.drive()
    daemon.world.hosts[MBX1].blocked = True
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "somebody else has blocked activation meanwhile" in incident.reason
    assert daemon.world.hosts[MBX1].blocked, "what somebody else has set is not put back"
    assert done(daemon) == ["restart"]


async def test_databases_that_go_home_by_themselves_are_no_evidence_of_a_move_of_ours(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("set_activation", Mishap.VANISHED)
    while not any(step.action == "stop_activation" for step in await daemon.steps()):
        await daemon.turn()
    daemon.world.active = dict.fromkeys(daemon.world.active, MBX2)  # an hour is over, and that is where they belong
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    moves = [step.status for step in await daemon.steps() if step.action == "stop_activation"]
    assert moves == [StepStatus.WITHDRAWN, StepStatus.DONE], "the flag tells, not where databases are"
    assert done(daemon) == UNDISTURBED
