"""The POP ladder for Mailbox servers, rung by rung, on virtual time."""

from datetime import timedelta

import pytest

from daemon.domain.commits import Channel
from daemon.domain.incidents import IncidentStatus, UndoStatus
from tests.remediation.world import ALONE, MBX1, MBX2, Daemon, Mishap


def sicken(daemon: Daemon, cured_by: str) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, cured_by


async def test_a_problem_that_is_gone_is_resolved_without_touching_anything(daemon: Daemon) -> None:
    await daemon.alert("MBX1")
    incident = await daemon.drive()
    assert (incident.status, incident.server) == (IncidentStatus.RESOLVED, MBX1)
    assert daemon.world.effects == []
    assert await daemon.store.claim_holder(MBX1) is None


async def test_a_restart_heals(daemon: Daemon) -> None:
    sicken(daemon, "restart")
    began = daemon.clock.now()
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert daemon.world.effects == [("restart", MBX1)]
    assert daemon.clock.now() - began >= timedelta(minutes=3), "the probe must fail over three minutes first"
    assert [step.outcome for step in await daemon.steps()] == ["unhealthy", "done", "healthy"]


async def test_failover_and_reboot_heal_and_activation_is_put_back_and_verified_after(daemon: Daemon) -> None:
    sicken(daemon, "reboot")
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    effects = [name for name, _ in daemon.world.effects]
    assert effects == ["restart", "stop_activation", "reboot", "allow_activation"]
    assert not daemon.world.hosts[MBX1].blocked
    steps = await daemon.steps()
    assert (steps[-1].state, steps[-1].action, steps[-1].outcome) == ("confirm", "verify", "healthy")
    assert await daemon.store.claim_holder(MBX1) is None
    assert await daemon.store.claim_holder("dag:dag1") is None


async def test_the_check_that_our_own_block_makes_fail_forbids_no_reboot(daemon: Daemon) -> None:
    sicken(daemon, "reboot")
    daemon.world.two_copies = True
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert [name for name, _ in daemon.world.effects] == ["restart", "stop_activation", "reboot", "allow_activation"]


@pytest.mark.parametrize("reason", ["Auth", "TlsNegotiation"])
async def test_a_probe_that_blames_its_mailbox_or_a_certificate_leads_to_a_restart_and_a_page(
    daemon: Daemon, reason: str
) -> None:
    sicken(daemon, "reboot")
    daemon.world.hosts[MBX1].reason = reason
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith(f"reboot.move: refused: the probe on {MBX1} fails for the reason {reason!r}")
    assert daemon.world.effects == [("restart", MBX1)]


async def test_a_certificate_that_is_missing_stops_the_ladder_before_the_move(daemon: Daemon) -> None:
    sicken(daemon, "reboot")
    daemon.world.hosts[MBX1].certificate = {"name": "pop.contoso.com", "found": False}
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert "X509CertificateName of POP on mbx1.contoso.lab is pop.contoso.com" in incident.reason
    assert daemon.world.effects == [("restart", MBX1)]


async def test_what_nothing_cures_escalates_and_its_databases_stay_away(daemon: Daemon) -> None:
    sicken(daemon, "")
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.latched
    assert [name for name, _ in daemon.world.effects] == ["restart", "stop_activation", "reboot"]
    (item,) = await daemon.store.undo_items("i1")
    assert item.status is UndoStatus.LEFT
    (page,) = await daemon.store.outbox(Channel.NOTIFY, 10)
    text = str(page.message.body["text"])
    assert f"Set-MailboxServer -Identity {MBX1} -DatabaseCopyActivationDisabledAndMoveNow $false" in text
    assert "restart_service -> done" in text
    assert "reboot -> done" in text


async def test_a_database_that_will_not_move_escalates_without_a_reboot_and_puts_activation_back(
    daemon: Daemon,
) -> None:
    sicken(daemon, "reboot")
    daemon.world.hosts[MBX1].stuck = {"DB2"}
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "still active on mbx1.contoso.lab: DB2" in incident.reason
    assert [name for name, _ in daemon.world.effects] == ["restart", "stop_activation", "allow_activation"]
    (item,) = await daemon.store.undo_items("i1")
    assert item.status is UndoStatus.DONE


async def test_a_server_that_does_not_come_back_escalates_once_it_is_late(daemon: Daemon) -> None:
    sicken(daemon, "reboot")
    daemon.world.hosts[MBX1].comes_back = False
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("reboot.back: missing")


@pytest.mark.parametrize(
    ("status", "outcome"), [("Failed", "refused"), ("ServiceDown", "unknown"), ("Unknown", "unknown")]
)
async def test_no_move_without_another_healthy_copy_of_every_active_database(
    daemon: Daemon, status: str, outcome: str
) -> None:
    sicken(daemon, "reboot")
    for other in (MBX2, "mbx3.contoso.lab"):
        daemon.world.copy_status["DB1", other] = status
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith(f"reboot.move: {outcome}")
    assert [name for name, _ in daemon.world.effects] == ["restart"]


async def test_a_standalone_server_is_restarted_but_never_rebooted(daemon: Daemon) -> None:
    host = daemon.world.hosts[ALONE]
    host.sick = True
    await daemon.alert(ALONE)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "is in no DAG" in incident.reason
    assert daemon.world.effects == [("restart", ALONE)]


async def test_activation_that_somebody_else_blocked_makes_us_stand_down_and_leave_it(daemon: Daemon) -> None:
    sicken(daemon, "reboot")
    daemon.world.hosts[MBX1].blocked = True
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "somebody is working there" in incident.reason
    assert daemon.world.hosts[MBX1].blocked


async def test_a_service_that_is_not_automatic_is_not_started(daemon: Daemon) -> None:
    sicken(daemon, "restart")
    daemon.world.hosts[MBX1].start_type = "Manual"
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert "starts Manual, not Automatic" in incident.reason
    assert daemon.world.effects == []


async def test_a_passing_probe_whose_monitor_never_agrees_escalates(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].monitor = "Repairing"
    began = daemon.clock.now()
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("verify: undecided")
    assert daemon.clock.now() - began >= timedelta(minutes=15)
    assert daemon.world.effects == []


async def test_answers_that_are_not_understood_never_take_the_ladder_up_a_rung(daemon: Daemon) -> None:
    sicken(daemon, "restart")
    daemon.world.befall("invoke_probe", *[Mishap.GARBAGE] * 500)
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("verify: unknown")
    assert daemon.world.effects == []


async def test_a_restart_that_fails_is_followed_by_a_probe_that_decides(daemon: Daemon) -> None:
    sicken(daemon, "reboot")
    daemon.world.befall("restart_service", Mishap.FAILED)
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert [name for name, _ in daemon.world.effects] == ["stop_activation", "reboot", "allow_activation"]


async def test_a_latched_incident_lets_go_once_its_monitor_is_healthy(daemon: Daemon) -> None:
    sicken(daemon, "")
    await daemon.alert(MBX1)
    await daemon.drive()
    effects = list(daemon.world.effects)
    await daemon.alert(MBX1)
    assert (await daemon.incident()).latched
    await daemon.turn()
    assert (await daemon.incident()).latched, "it is still sick"
    daemon.world.hosts[MBX1].sick = False
    incident = await daemon.drive(lambda incident: not incident.latched, turns=3)
    assert (incident.status, incident.due_at) == (IncidentStatus.ESCALATED, None)
    assert daemon.world.effects == effects, "no ladder starts under the engineer's hands"
    assert len(await daemon.audit("latch_lifted")) == 1
