"""What operators do to a running daemon: modes, the kill switch, release and close."""

import asyncio
import json

import pytest

from daemon.adapters.pause_file import OF_NOBODY
from daemon.adapters.pause_orders import entry_of
from daemon.domain.audit import AuditKind
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import IncidentStatus, UndoStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from daemon.operators.client import ask
from tests.acceptance.site import Site, fqdn
from tests.acceptance.test_ladders import HEALED
from tests.realparts.waiting import eventually


async def waits(store: Store, text: str) -> bool:
    """Whether an open incident waits for something."""
    return any(text in incident.waiting_for for incident in await store.incidents(IncidentStatus.OPEN))


async def test_mode_observe_says_what_it_would_do_and_touches_nothing(site: Site) -> None:
    site.configure(('auto_tags = ["lab"]', "auto_tags = []"), latch_recheck=120.0)
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await site.daemon()
    await site.alert("mbx1")
    would = "mode observe: would restart the Windows service MSExchangePOP3BE"
    await site.until(lambda store: waits(store, would), "it says what it would do")
    assert site.lab.effects() == ()
    assert await site.audit(AuditKind.INTENT) == []
    site.lab.cure("mbx1")
    await site.until_ended("mbx1")
    assert (await site.incident("mbx1")).status is IncidentStatus.RESOLVED
    assert site.lab.effects() == ()


async def test_mode_approve_asks_and_acts_once_an_operator_of_this_machine_has_approved(site: Site) -> None:
    rule = '[[safety.modes]]\nmode = "approve"\ntags = ["lab"]\n\n[lab]'
    site.configure(("[lab]", rule))
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    await site.daemon()
    await site.alert("mbx1")
    question = "waits for approval to restart the Windows service MSExchangePOP3BE"
    await site.until(lambda store: waits(store, question), "it asks")
    assert site.lab.effects() == ()
    incident = await site.incident("mbx1")
    code, text = await site.command("approve", incident.id, "--state", "restart", "--reason", "it is noon")
    assert code == 0, text
    await site.until_ended("mbx1")
    incident = await site.incident("mbx1")
    assert (incident.status, site.effects_of(incident)) == (IncidentStatus.RESOLVED, ["restart"])
    users = [row.entry.fields["user"] for row in await site.audit(AuditKind.DECISION) if "approves" in row.entry.fields]
    assert users == ["root"]
    code, text = await site.command("autonomy")
    assert (code, "approved, healthy" in text) == (0, True), text
    await site.agrees()


async def test_pause_stops_a_ladder_between_two_steps_by_command_and_by_file_and_resume_lets_it_go_on(
    site: Site,
) -> None:
    # How often a held incident asks again; and verifications long enough for a command to come in between.
    site.configure(hold_recheck=60.0, probe_span=240.0)
    site.lab.break_server("mbx4", Fault.REBOOT_CURES)
    await site.daemon()
    await site.alert("mbx4")
    await site.eventually(lambda: bool(site.effects("mbx4")), "the first rung")
    code, text = await site.command("pause", "--reason", "backup window")
    done = site.effects("mbx4")
    assert code == 0, text
    await site.until(lambda store: waits(store, "paused: by root: backup window"), "the ladder is held")
    code, text = await site.command("status")
    assert (code, "backup window" in text) == (0, True), text
    assert site.effects("mbx4") == done, "after pause has returned, no effect starts"
    code, text = await site.command("resume")
    assert code == 0, text
    await site.eventually(lambda: len(site.effects("mbx4")) > len(done), "the next rung")
    (site.directory / "pause").write_text("by hand", "utf-8")
    await site.until(lambda store: waits(store, "paused: by hand"), "the ladder is held again")
    assert site.effects("mbx4") != HEALED
    (site.directory / "pause").unlink()
    await site.until_ended("mbx4")
    assert site.effects("mbx4") == HEALED
    users = [(row.entry.kind, row.entry.fields["user"]) for row in await site.audit() if "user" in row.entry.fields]
    assert users == [(AuditKind.PAUSED, "root"), (AuditKind.RESUMED, "root")]
    await site.agrees()


async def test_pause_works_without_a_daemon_and_holds_the_one_that_is_started_next(site: Site) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    code, text = await site.command("pause", "--reason", "no daemon yet")
    assert (code, "the daemon does not run" in text) == (0, True), text
    await site.daemon()
    await site.alert("mbx1")
    await site.until(lambda store: waits(store, "no daemon yet"), "it is held")
    assert site.effects("mbx1") == []


async def test_a_pause_over_the_bus_outlasts_a_restart_and_only_somebody_on_this_machine_ends_it(site: Site) -> None:
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    first = await site.daemon()
    paused = site.directory / "pause.ordered" / entry_of(fqdn("mbx1"), OF_NOBODY)
    await site.broker.publish("exmedic/control/pause/ada", b'{"server": "mbx1", "reason": "smoke"}')
    await eventually(paused.exists, "it is paused")
    assert await first.stop() == 0
    await site.daemon()
    await site.alert("mbx1")
    await site.until(lambda store: waits(store, "paused: mbx1.contoso.lab by bus:ada: smoke"), "it is held")
    code, text = await site.command("status")
    assert (code, "paused: only mbx1.contoso.lab by bus:ada: smoke" in " ".join(text.split())) == (0, True), text
    assert site.effects("mbx1") == []
    code, text = await site.command("resume", "--server", "mbx1")
    assert code == 0, text
    await site.until_ended("mbx1")
    assert site.effects("mbx1") == ["restart"]
    await site.agrees()


async def test_release_after_a_quarantine_and_close_in_the_operators_name(site: Site) -> None:
    # The restart is carried out, its answer is lost, and from then on the server tells nothing: no evidence.
    site.configure(latch_recheck=86400.0)
    site.lab.break_server("multi1", Fault.INCURABLE)
    site.lab.break_server("multi1", Fault.LATE_ANSWER, script="restart_service", count=1, timeouts=100)
    await site.daemon()
    await site.alert("multi1")
    await site.eventually(
        lambda: site.effects("multi1") == ["restart"] and site.restarted("multi1"), "it is carried out"
    )
    site.silence("multi1")
    site.pass_deadlines()
    await site.until_ended("multi1")
    incident = await site.incident("multi1")
    assert incident.status is IncidentStatus.ESCALATED
    async with site.store() as store:
        quarantine = await store.quarantine(fqdn("multi1"))
    assert quarantine is not None
    assert quarantine.incident_id == incident.id
    with pytest.raises(OperatorError, match="quarantined servers: multi1"):
        await asyncio.to_thread(ask, site.directory / "control.sock", {"command": "release", "server": "cas1"})
    code, text = await site.command("release", "MULTI1")
    assert code == 0, text
    async with site.store() as store:
        assert await store.quarantine(fqdn("multi1")) is None
    code, text = await site.command("close", incident.id)
    assert code == 0, text
    assert (await site.incident("multi1")).latched is False
    with pytest.raises(OperatorError, match="already escalated"):
        await asyncio.to_thread(ask, site.directory / "control.sock", {"command": "close", "incident": incident.id})
    assert site.effects_of(incident) == ["restart"], "sent once, whatever became of it"
    (lifted,) = await site.audit(AuditKind.QUARANTINE_LIFTED)
    assert lifted.entry.fields["user"] == "root"


async def test_closing_an_open_incident_puts_back_first_what_it_changed(site: Site) -> None:
    site.lab.break_server("mbx4", Fault.REBOOT_CURES)
    site.lab.break_server("mbx4", Fault.DATABASE_STUCK)
    await site.daemon()
    async with site.messages() as heard:
        await site.alert("mbx4")
        await site.eventually(lambda: "stop_activation" in site.effects("mbx4"), "activation is stopped")
        incident = await site.incident("mbx4")
        code, text = await site.command("close", incident.id)
        assert code == 0, text
        await site.until_ended("mbx4")
        topic = f"exmedic/incidents/{incident.id}"
        await eventually(lambda: json.loads(heard.on(topic)[-1])["status"] == "cancelled", "cancelled on the bus")
    incident = await site.incident("mbx4")
    assert incident.status is IncidentStatus.CANCELLED
    assert site.effects_of(incident) == ["restart", "stop_activation", "allow_activation"]
    assert "closed by root" in incident.reason
    async with site.store() as store:
        (item,) = await store.undo_items(incident.id)
    assert item.status is UndoStatus.DONE
    await site.agrees()
