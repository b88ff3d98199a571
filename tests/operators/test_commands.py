"""What operators order: undo of what was left, release, close; and what an escalation tells them."""

import pytest

from daemon.domain.commits import Channel
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import IncidentStatus, UndoStatus
from tests.remediation.world import ALONE, MBX1, Daemon, Mishap


@pytest.fixture
async def left(daemon: Daemon) -> Daemon:
    """A daemon that has escalated an incurable server, with activation left blocked there."""
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    await daemon.drive()
    return daemon


async def test_what_was_left_is_put_back_when_an_operator_orders_it_and_nobody_is_paged_again(left: Daemon) -> None:
    answer = await left.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    assert answer["undoing"] == "activation"
    incident = await left.drive()
    assert (incident.status, incident.latched) == (IncidentStatus.ESCALATED, True)
    assert not left.world.hosts[MBX1].blocked
    assert [item.status for item in await left.store.undo_items("i1")] == [UndoStatus.DONE]
    assert len(await left.store.outbox(Channel.NOTIFY, 10)) == 1
    rows = await left.store.audit_of("i1")
    assert "ada orders to put back: activation" in [row.entry.message for row in rows]
    assert await left.store.claim_holder(MBX1) is None
    with pytest.raises(OperatorError, match="left nothing changed"):
        await left.operators.carry_out("ada", {"command": "undo", "incident": "i1"})


async def test_an_undo_that_fails_again_is_left_again(left: Daemon) -> None:
    left.world.befall("set_activation", Mishap.FAILED)
    await left.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    incident = await left.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert [item.status for item in await left.store.undo_items("i1")] == [UndoStatus.LEFT]


async def test_an_undo_is_refused_while_the_server_is_quarantined_or_the_incident_is_open(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "reboot"
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    with pytest.raises(OperatorError, match="still open"):
        await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    daemon.world.befall("reboot", Mishap.VANISHED)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    daemon.world.befall("step_running", *[Mishap.UNREACHABLE] * 500)
    await daemon.drive()
    with pytest.raises(OperatorError, match="is quarantined"):
        await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    await daemon.operators.carry_out("ada", {"command": "release", "server": "MBX1"})
    await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    await daemon.drive()
    assert not host.blocked


async def test_a_closed_escalation_lets_go_of_its_key(left: Daemon) -> None:
    await left.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    await left.alert(MBX1)
    assert (await left.incident(2)).status is IncidentStatus.OPEN
    with pytest.raises(OperatorError, match="incident i2 is about the same monitor"):
        await left.operators.carry_out("ada", {"command": "undo", "incident": "i1"})


async def test_an_escalation_tells_the_story_in_five_lines_with_evidence_raw_answers_and_what_to_do(
    left: Daemon,
) -> None:
    (page,) = await left.store.outbox(Channel.NOTIFY, 10)
    lines = str(page.message.body["text"]).splitlines()
    assert [line.split(":")[0].split(" ")[0] for line in lines[:5]] == [
        "PopDeepTestMonitor",
        "Why",
        "Since",
        "Tried",
        "Left",
    ]
    text = "\n".join(lines)
    for told in (
        "Tried: verify unhealthy, restart_service done",
        f"Left changed: activation on {MBX1}",
        "restart: restart_service -> done: MSExchangePOP3BE runs in process 101",
        "exmedic undo i1",
        "exmedic show i1",
        "Page: Troubleshooting POP Health Set",
        f"Set-MailboxServer -Identity {MBX1} -DatabaseCopyActivationDisabledAndMoveNow $false",
    ):
        assert told in text, text
    bus = [row for row in await left.store.outbox(Channel.BUS, 500) if row.message.topic == "exmedic/escalations"]
    (escalation,) = bus
    (verify, *_) = escalation.message.body["steps"]
    assert verify["raw"][0]["script"] == "invoke_probe"
    assert verify["raw"][0]["answer"]["objects"][0]["result_type"] == "Failed"
    assert escalation.message.body["left_changed"][0]["setting"] == "activation"


async def test_a_paused_server_is_held_and_others_are_not_and_only_that_order_resumes_it(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = daemon.world.hosts[ALONE].sick = True
    answer = await daemon.operators.carry_out("ada", {"command": "pause", "server": "MBX1", "reason": "a look"})
    assert answer["scope"] == MBX1
    await daemon.alert(MBX1)
    await daemon.alert(ALONE)
    await daemon.drive(lambda incident: incident.waiting_for.startswith("paused"))
    held = await daemon.store.incident("i1")
    assert held is not None
    assert held.waiting_for == f"paused: {MBX1} by ada: a look"
    assert not any(call.script == "restart_service" for call in daemon.world.calls)
    for nothing in ({"server": ALONE}, {"server": "mbx9"}, {"dag": "DAG1"}, {}):
        with pytest.raises(OperatorError, match=f"not paused by itself; paused: {MBX1}"):
            await daemon.operators.carry_out("ada", {"command": "resume_scope", **nothing})
    with pytest.raises(OperatorError, match="exmedic is not paused; paused"):
        await daemon.operators.carry_out("ada", {"command": "resume"})
    await daemon.operators.carry_out("ada", {"command": "resume_scope", "server": "mbx1"})
    messages = [row.entry.message for row in await daemon.store.audit_after(0, 1000)]
    assert f"paused {MBX1} by ada: a look" in messages
    assert f"resumed {MBX1} by ada" in messages


async def test_a_pause_of_something_unknown_says_that_nothing_was_paused(daemon: Daemon) -> None:
    for request in ({"server": "mbx9"}, {"dag": "DAG7"}, {"server": MBX1, "dag": "DAG1"}):
        with pytest.raises(OperatorError, match="nothing was paused"):
            await daemon.operators.carry_out("ada", {"command": "pause", **request})
    assert daemon.pause.standing() == {}
