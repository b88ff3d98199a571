"""Scripts that fail by themselves, over the real WinRM: before their effect, after it, and in the middle of it."""

from daemon.domain.incidents import IncidentStatus, StepStatus
from daemon.lab.faults import Fault
from tests.acceptance.site import Site


async def test_an_error_of_our_own_leads_to_nothing_harsher_and_after_the_effect_evidence_decides(site: Site) -> None:
    site.configure(send_window=300.0)
    site.lab.break_server("mbx1", Fault.REBOOT_CURES)
    site.lab.break_server("mbx1", Fault.SCRIPT_BROKEN, script="restart_service")
    site.lab.break_server("mbx4", Fault.RESTART_CURES)
    site.lab.break_server("mbx4", Fault.SCRIPT_BROKEN, script="restart_service", count=1)
    site.lab.break_server("mbx5", Fault.RESTART_CURES)
    site.lab.break_server("mbx5", Fault.SCRIPT_DIES, script="restart_service", count=1)
    site.lab.break_server("alone1", Fault.INCURABLE)
    site.lab.break_server("alone1", Fault.SERVICE_DIES)
    daemon = await site.daemon()
    async with site.messages() as heard:
        await site.alert("mbx1", "mbx4", "mbx5", "alone1")
        await site.until_ended("mbx1", "mbx4", "mbx5", "alone1")
        assert await daemon.stop() == 0
        told = {message["server"].partition(".")[0]: message for message in heard.objects("exmedic/escalations")}

    broken = await site.incident("mbx1")
    assert (broken.status, site.effects_of(broken)) == (IncidentStatus.ESCALATED, []), broken.reason
    assert broken.reason.startswith("restart: broken: ")
    assert "restart_service on mbx1.contoso.lab failed before it did anything" in told["mbx1"]["text"]

    again = await site.incident("mbx4")
    assert (again.status, site.effects_of(again)) == (IncidentStatus.RESOLVED, ["restart"]), again.reason
    assert [step.status for step in await site.steps(again) if step.action == "restart_service"] == [
        StepStatus.WITHDRAWN,
        StepStatus.DONE,
    ]

    after = await site.incident("mbx5")
    assert (after.status, site.effects_of(after)) == (IncidentStatus.RESOLVED, ["restart"]), after.reason
    (step,) = [step for step in await site.steps(after) if step.action == "restart_service"]
    assert step.outcome == "done", "settled by the new process"

    halfway = await site.incident("alone1")
    assert site.effects_of(halfway) == ["restart"]
    (step,) = [step for step in await site.steps(halfway) if step.action == "restart_service"]
    assert (step.outcome, "was stopped and is Stopped" in step.detail) == ("failed", True), step.detail
    await site.agrees()


async def test_a_move_whose_order_was_lost_is_sent_again_once_it_can_no_longer_begin(site: Site) -> None:
    site.configure(send_window=300.0)
    site.lab.break_server("mbx4", Fault.REBOOT_CURES)
    site.lab.break_server("mbx4", Fault.CHANGE_LOST, script="set_activation", count=1)
    daemon = await site.daemon()
    await site.alert("mbx4")
    await site.until_ended("mbx4")
    assert await daemon.stop() == 0
    healed = await site.incident("mbx4")
    assert healed.status is IncidentStatus.RESOLVED, healed.reason
    assert site.effects_of(healed) == ["restart", "stop_activation", "reboot", "allow_activation"]
    await site.agrees()
