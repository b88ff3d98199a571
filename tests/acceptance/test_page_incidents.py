"""What befalls an incident beside its ladder: deaths with the protocol log on, coming and going, an undo ordered."""

from daemon.domain.audit import AuditKind
from daemon.domain.incidents import IncidentStatus, Key, StepStatus, UndoStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from tests.acceptance.page_ctp import LOGGED, OFF
from tests.acceptance.scenarios import CTP, DEEP, HEALTH_SETS, done_by, set_up, until_over
from tests.acceptance.site import Site, fqdn


def key(server: str, monitor: str) -> Key:
    return Key.of(fqdn(server), HEALTH_SETS[monitor], monitor)


async def test_killed_after_the_protocol_log_was_switched_on_and_again_after_it_was_switched_off(site: Site) -> None:
    set_up(site)
    site.lab.break_server("cas1", Fault.RESTART_CURES, monitor=CTP, restarts=2)
    daemon = await site.daemon()
    await site.alert("cas1", health_set="POP", monitor=CTP)
    for effect, action in (("protocol_log_on", "protocol_log_on"), ("protocol_log_off", "undo")):
        # It is carried out, and its answer comes later than the daemon waits.
        site.lab.break_server("cas1", Fault.LATE_ANSWER, script="set_protocol_log", count=1, timeouts=100)
        # the default keeps this round's value; mypy cannot tell the type of such a lambda
        await site.eventually(lambda effect=effect: effect in site.effects("cas1"), f"{effect} is in the lab's record")  # type: ignore[misc]
        daemon.kill()
        (incident,) = [found for found in await site.incidents() if found.monitor == CTP]
        last = (await site.steps(incident))[-1]
        assert (last.action, last.status) == (action, StepStatus.OPEN), "its answer was not held back"
        daemon = await site.daemon()
    async with site.messages() as heard:
        await until_over(site, heard, [key("cas1", CTP)])
    assert await daemon.stop() == 0
    (incident,) = [found for found in await site.incidents() if found.monitor == CTP]
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done_by(site, incident) == [*LOGGED, *OFF]
    machine = site.lab.simulation.machine("cas1")
    assert not machine.pop_log.enabled
    assert not machine.pop_log.writes, "the service writes no log any more"
    await site.agrees()


async def test_a_problem_that_comes_and_goes_escalates_the_third_time_and_an_undo_can_be_ordered_later(
    site: Site,
) -> None:
    set_up(site, latch_recheck=86400.0)
    site.lab.break_server("mbx4", Fault.INCURABLE, monitor=DEEP)
    daemon = await site.daemon()
    async with site.messages() as heard:
        await site.alert("mbx4")
        for time in range(3):
            await site.alert("mbx1")
            # the default keeps this round's value; mypy cannot tell the type of such a lambda
            await site.until(lambda store, wanted=time + 1: ended(store, "mbx1", wanted), "it has ended")  # type: ignore[misc]
        first, second, third = [found for found in await site.incidents() if found.key == key("mbx1", DEEP)]
        for transient in (first, second):
            assert (transient.status, transient.transient) == (IncidentStatus.RESOLVED, True)
        assert (third.status, third.latched) == (IncidentStatus.ESCALATED, False)
        assert "it comes and goes" in third.reason
        assert site.effects("mbx1") == []
        await until_over(site, heard, [key("mbx4", DEEP)])
        left = await site.incident("mbx4")
        assert left.status is IncidentStatus.ESCALATED
        assert site.lab.servers()[fqdn("mbx4")]["activation_blocked"] is True
        code, text = await site.command("undo", left.id)
        assert code == 0, text
        await site.eventually(lambda: "allow_activation" in site.effects("mbx4"), "it is put back")
        await site.until(lambda store: over_again(store, left.id), "it is escalated as before")
        code, text = await site.command("undo", left.id)
        assert (code, "left nothing changed" in " ".join(text.split())) == (1, True), text
        pages = [page for page in heard.objects("exmedic/escalations") if page["incident"] == left.id]
    assert await daemon.stop() == 0
    assert len(pages) == 1, "nobody is paged for what he ordered himself"
    assert (await site.incident("mbx4")).latched, "no ladder starts before somebody closes it"
    assert site.lab.servers()[fqdn("mbx4")]["activation_blocked"] is False
    orders = [row.entry for row in await site.audit(AuditKind.DECISION) if "orders to put back" in row.entry.message]
    assert [(order.incident_id, order.fields["user"]) for order in orders] == [(left.id, "root")]
    await site.agrees()


async def ended(store: Store, server: str, count: int) -> bool:
    """Whether so many incidents of the server have ended."""
    found = [incident for incident in await store.incidents() if incident.server == fqdn(server)]
    return len(found) == count and all(incident.ended_at is not None for incident in found)


async def over_again(store: Store, incident_id: str) -> bool:
    incident = await store.incident(incident_id)
    items = await store.undo_items(incident_id)
    done = all(item.status is UndoStatus.DONE for item in items)
    return incident is not None and incident.status is IncidentStatus.ESCALATED and done
