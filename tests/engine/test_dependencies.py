"""What a monitor depends on is not healthy on its server: nothing disruptive is done there until it is."""

from datetime import timedelta
from pathlib import Path

import pytest

from daemon import causes
from daemon.cause import Cause
from daemon.domain import Channel, IncidentStatus, Json
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.engine.pop_world import CTP, DEEP, SELF, PopDaemon, PopWorld
from tests.engine.test_causes import pages, release
from tests.engine.test_shared_cause import turns_for
from tests.engine.world import CAS1, CAS2, MBX1, MBX2

HOUR = timedelta(hours=1)


@pytest.fixture
async def daemon(tmp_path: Path) -> PopDaemon:
    store = MemoryStore()
    await store.open()
    daemon = PopDaemon(PopWorld(ManualClock()), store, tmp_path)
    daemon.world.hosts[MBX1].unwell["AD"] = "Unhealthy"
    return daemon


async def the_cause(daemon: PopDaemon) -> Cause:
    (cause,) = await daemon.store.causes()
    return cause


async def test_nothing_is_restarted_and_one_page_names_the_server_and_what_is_not_healthy(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    assert daemon.world.effects == []
    cause = await the_cause(daemon)
    assert (cause.servers, cause.incidents) == ((MBX1,), ("i1",))
    assert (await daemon.audit("decision"))[-1].entry.message == (
        f"held: Active Directory (health set AD) is not healthy on {MBX1}: ADMonitor is Unhealthy; "
        f"no restart, move or reboot cures what depends on it (cause {cause.id})"
    )
    (page,) = await daemon.store.outbox(Channel.NOTIFY, 100)
    assert page.message.topic == (
        f"exmedic: Active Directory (health set AD) is not healthy on {MBX1}, and what ails there depends on it"
    )
    assert f"exmedic release {cause.id}" in page.message.body["text"]
    assert await daemon.store.claim_holder(MBX1) is None


async def test_once_it_is_healthy_the_ladder_goes_on_and_the_cause_is_over(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    await causes.end_those_over(daemon.parts)
    daemon.world.hosts[MBX1].unwell.clear()
    assert (await daemon.drive(lambda incident: incident.state == "reprobe")).status is IncidentStatus.OPEN
    await causes.end_those_over(daemon.parts)
    assert await daemon.store.causes() == []
    (over,) = await daemon.audit("cause_over")
    assert over.entry.message.endswith("is healthy again, or nothing waits for it any more")
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.did(MBX1) == ["restart MSExchangePOP3BE"]
    assert len(await pages(daemon)) == 1


async def test_it_goes_on_while_anybody_still_waits_for_it(daemon: PopDaemon) -> None:
    daemon.world.hosts[MBX2].unwell["AD"] = "Degraded"
    await daemon.sick(DEEP, "restart", MBX1)
    await daemon.sick(DEEP, "", MBX2)
    await turns_for(daemon, HOUR)
    assert set((await the_cause(daemon)).servers) == {MBX1, MBX2}, "one cause, with both"
    daemon.world.hosts[MBX1].unwell.clear()
    await daemon.drive()
    await causes.end_those_over(daemon.parts)
    assert (await the_cause(daemon)).incidents == ("i2",)
    assert daemon.did(MBX2) == []


async def test_an_operator_releases_it_and_those_that_were_open_act(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    await release(daemon, (await the_cause(daemon)).id)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    (allowed, *_) = [row.entry for row in await daemon.audit("decision") if row.entry.message.startswith("allowed")]
    noted: Json = allowed.fields["facts"]["dependencies_healthy"]
    assert noted["Active Directory"] == "released by an operator"
    daemon.clock.advance(1)
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    assert daemon.did(MBX1) == ["restart MSExchangePOP3BE"], "a later incident is held anew"


async def test_what_escalates_at_the_deadline_is_not_paged_again(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    incident = await daemon.drive(turns=1000)
    assert incident.status is IncidentStatus.ESCALATED
    assert "Active Directory (health set AD) is not healthy" in incident.reason
    assert len(await pages(daemon)) == 1


async def test_what_holds_one_monitor_of_a_server_holds_the_others_although_they_depend_on_nothing(
    daemon: PopDaemon,
) -> None:
    await daemon.sick(DEEP, "", MBX1)
    await daemon.sick(SELF, "", MBX1)
    await turns_for(daemon, HOUR)
    assert daemon.world.effects == []
    assert set((await the_cause(daemon)).incidents) == {"i1", "i2"}


async def test_a_monitor_that_depends_on_nothing_is_healed_whatever_else_ails(daemon: PopDaemon) -> None:
    await daemon.sick(SELF, "restart", MBX1)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.did(MBX1) == ["restart MSExchangePOP3BE"]


async def test_what_does_not_tell_how_it_is_escalates_with_what_to_do(daemon: PopDaemon) -> None:
    daemon.world.hosts[MBX1].unwell["AD"] = "Unknown"
    await daemon.sick(DEEP, "restart", MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "restart: unknown" in incident.reason
    assert f"Active Directory (health set AD) on {MBX1}: ADMonitor is Unknown" in incident.reason
    assert daemon.world.effects == []


async def test_a_client_access_server_is_asked_only_about_what_it_has_and_the_rest_is_noted(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "restart")
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    asked = {tuple(call.args["health_sets"]) for call in daemon.world.calls if call.script == "server_health"}
    assert ("AD", "Network") in asked
    (allowed, *_) = [row.entry for row in await daemon.audit("decision") if row.entry.message.startswith("allowed")]
    assert allowed.fields["facts"]["dependencies_healthy"] == {
        "Active Directory": "AD: 1 of 1 monitors Healthy",
        "Network": "Network: 1 of 1 monitors Healthy",
        "Authentication": "no health set tells of it",
        "Mailbox server authentication": "no health set tells of it",
        "Information Store": f"{CAS1} is no Mailbox server and has no health set Store",
        "High availability": f"{CAS1} is no Mailbox server and has no health set DataProtection",
    }
    assert daemon.did(CAS2) == []
