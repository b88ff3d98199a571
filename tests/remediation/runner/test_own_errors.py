"""An error of a script's own says nothing of the server: before its effect it leads nowhere, after it to evidence."""

from typing import get_args

import pytest

from daemon.domain.incidents import IncidentStatus, Step, StepStatus, UndoStatus
from daemon.domain.ports import Reply, ReplyKind
from daemon.exchange.answers import ErrorKind
from daemon.remediation.actions import EFFECTS
from daemon.remediation.actions.contract import Again, Done
from daemon.remediation.runner.replies import NOT_TRIED, SAID_NO, NotTried, meaning
from statemachines.actions import COMMON_OUTCOMES
from statemachines.table import BROKEN
from tests.remediation.runner.test_lost_answers import EFFECTS as SCRIPTS
from tests.remediation.runner.test_lost_answers import UNDISTURBED, done, sick
from tests.remediation.world import MBX1, Daemon, Mishap

BEFORE = {"restart_service": [], "set_activation": ["restart"], "reboot": ["restart", "stop_activation"]}
STATE = {"restart_service": "restart", "set_activation": "reboot.move", "reboot": "reboot.reboot"}
WORDS = "You cannot call a method on a null-valued expression."


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_script_that_fails_before_its_effect_is_run_again_and_no_harsher_step_follows(
    daemon: Daemon, script: str
) -> None:
    await sick(daemon)
    daemon.world.befall(script, Mishap.BROKEN)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == UNDISTURBED
    (withdrawn,) = [step for step in await daemon.steps() if step.status is StepStatus.WITHDRAWN]
    assert f"{script} on {withdrawn.executor} failed before it did anything: {WORDS}" in withdrawn.detail
    assert [step for step in await daemon.steps() if step.outcome == "failed"] == []


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_script_that_fails_again_and_again_escalates_at_its_deadline_with_script_server_and_error(
    daemon: Daemon, script: str
) -> None:
    await sick(daemon)
    if script == "set_activation":
        await daemon.drive(lambda incident: incident.state == STATE[script])
    daemon.world.befall(script, *[Mishap.BROKEN] * 500)
    began = daemon.clock.now()
    incident = await daemon.drive(lambda incident: incident.state in ("undo.escalated", "escalated"))
    assert incident.reason.startswith(f"{STATE[script]}: broken: ")
    assert f"{script} on " in incident.reason
    assert WORDS in incident.reason
    assert done(daemon) == BEFORE[script], "nothing harsher follows from an error of ours"
    assert (daemon.clock.now() - began).total_seconds() > 600
    daemon.world.mishaps.clear()
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert not daemon.world.hosts[MBX1].blocked


async def test_putting_back_by_a_script_that_is_broken_is_left_and_told(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "undo.resolved")
    daemon.world.befall("set_activation", *[Mishap.BROKEN] * 500)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    (item,) = await daemon.store.undo_items("i1")
    assert item.status is UndoStatus.LEFT
    assert "set_activation on " in item.reason
    assert WORDS in item.reason


@pytest.mark.parametrize("script", ["invoke_probe", "server_health"])
async def test_a_reading_script_that_is_broken_shows_nothing_and_leads_to_nothing(daemon: Daemon, script: str) -> None:
    await sick(daemon)
    daemon.world.befall(script, *[Mishap.BROKEN] * 500)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert ": unknown: " in incident.reason
    assert WORDS in incident.reason
    assert done(daemon) == []


async def test_where_a_script_is_broken_on_one_server_another_is_asked(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.befall("server_health", Mishap.BROKEN)
    await daemon.drive(lambda incident: incident.state != "verify")
    asked = [call.executor for call in daemon.world.calls if call.script == "server_health"]
    assert len(set(asked[:2])) == 2


def sent(kind: str) -> Reply:
    return Reply(kind=ReplyKind.FAILED, result={}, error=kind, detail="no")


@pytest.mark.parametrize("action", EFFECTS)
@pytest.mark.parametrize("kind", get_args(ErrorKind))
async def test_each_error_kind_has_one_meaning_for_every_action(daemon: Daemon, action: str, kind: str) -> None:
    await sick(daemon)
    await daemon.drive()
    steps = await daemon.steps()
    step = next((step for step in steps if step.action == action), steps[0])
    seen = meaning(EFFECTS[action], step, "a_script", sent(kind))
    assert isinstance(seen, NotTried | Done)
    outcome = seen.outcome if isinstance(seen, Done) else seen.if_late
    assert (outcome == "failed") is (kind in {"hung", "failed"}), "only a real attempt may lead to a harsher step"


def test_every_error_kind_of_the_contract_means_something_and_broken_is_no_outcome_of_a_runbook() -> None:
    assert {*NOT_TRIED, *SAID_NO} == set(get_args(ErrorKind))
    assert not NOT_TRIED.keys() & SAID_NO.keys()
    assert BROKEN not in COMMON_OUTCOMES


async def test_a_kind_that_nobody_knows_is_left_to_evidence(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive()
    step: Step = next(step for step in await daemon.steps() if step.action == "restart_service")
    assert isinstance(meaning(EFFECTS["restart_service"], step, "restart_service", sent("surprise")), Again)
