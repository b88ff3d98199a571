"""What a monitor depends on is not healthy on its server: nothing disruptive is done there until it is."""

from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config.guardrails import Safety
from daemon.domain.causes import Cause
from daemon.domain.commits import Channel
from daemon.domain.incidents import IncidentStatus
from daemon.domain.ports import Call, Permit, Reply
from daemon.domain.values import Json
from daemon.remediation.guardrails import causes
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.guardrails.test_causes import pages, release
from tests.remediation.guardrails.test_shared_cause_over_time import turns_for
from tests.remediation.pop_world import CTP, DEEP, SELF, PopDaemon, PopWorld
from tests.remediation.world import CAS1, CAS2, MBX1, MBX2, Mishap

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
    await causes.end_those_over(daemon.guards)
    daemon.world.hosts[MBX1].unwell.clear()
    assert (await daemon.drive(lambda incident: incident.state == "reprobe")).status is IncidentStatus.OPEN
    await causes.end_those_over(daemon.guards)
    assert await daemon.store.causes() == []
    (over,) = await daemon.audit("cause_over")
    assert over.entry.message.endswith("it is healthy again, or nothing is held for it any more")
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
    await causes.end_those_over(daemon.guards)
    assert (await the_cause(daemon)).incidents == ("i2",)
    assert daemon.did(MBX2) == []


async def test_an_operator_releases_it_and_those_that_were_open_act(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    cause = await the_cause(daemon)
    await release(daemon, cause.id)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    (allowed, *_) = [row.entry for row in await daemon.audit("decision") if row.entry.message.startswith("allowed")]
    noted: Json = allowed.fields["facts"]["dependencies_healthy"]
    assert noted["Active Directory"] == f"cause {cause.id} was released by ada"
    freed = [row.entry for row in await daemon.audit("decision") if "released by ada" in row.entry.message]
    assert [(entry.incident_id, entry.fields["cause"]) for entry in freed] == [("i1", cause.id)]
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


async def test_a_new_outage_is_a_new_cause_with_a_new_page_although_an_incident_of_the_last_is_with_humans(
    daemon: PopDaemon,
) -> None:
    daemon.world.hosts[MBX2].unwell["AD"] = "Unhealthy"
    await daemon.sick(DEEP, "restart", MBX1)
    await daemon.sick(DEEP, "", MBX2)
    await turns_for(daemon, 9 * HOUR)
    assert [(await daemon.incident(number)).latched for number in (1, 2)] == [True, True]
    await causes.end_those_over(daemon.guards)
    assert await daemon.store.causes() == [], "it holds nobody any more"
    before = await pages(daemon)
    daemon.world.pop[MBX1].ills.clear()
    for host in (MBX1, MBX2):
        daemon.world.hosts[host].unwell.clear()
    await turns_for(daemon, 48 * HOUR)
    assert not (await daemon.incident(1)).latched
    daemon.world.hosts[MBX1].unwell["AD"] = "Unhealthy"
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    assert len(await pages(daemon)) == len(before) + 1
    assert (await the_cause(daemon)).servers == (MBX1,)


async def test_what_is_held_by_something_else_by_now_waits_for_it_no_more(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    daemon.world.hosts[MBX1].unwell.clear()
    daemon.world.hosts[MBX1].logged_on = ("CONTOSO\\ada",)
    await turns_for(daemon, HOUR)
    assert "logged on to" in (await daemon.audit("decision"))[-1].entry.message
    await causes.end_those_over(daemon.guards)
    assert await daemon.store.causes() == []


async def test_what_cannot_even_be_verified_without_it_escalates_without_another_page(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    daemon.world.befall("invoke_probe", *[Mishap.GARBAGE] * 500)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "recheck: unknown" in incident.reason
    assert len(await pages(daemon)) == 1, "the page of the cause has told of it"


async def test_a_dependency_that_comes_and_goes_is_not_paged_each_time(daemon: PopDaemon, tmp_path: Path) -> None:
    safety = Safety(auto_tags=())
    daemon = PopDaemon(daemon.world, daemon.store, tmp_path, None, safety)
    await daemon.sick(DEEP, "", MBX1)
    for _ in range(5):
        daemon.world.hosts[MBX1].unwell["AD"] = "Unhealthy"
        await turns_for(daemon, HOUR)
        daemon.world.hosts[MBX1].unwell.clear()
        await turns_for(daemon, HOUR)
        await causes.end_those_over(daemon.guards)
    assert len(await daemon.audit("cause_over")) == 5
    assert len(await pages(daemon)) == 1


async def test_what_is_released_while_its_facts_are_read_is_no_new_cause(daemon: PopDaemon) -> None:
    await daemon.sick(DEEP, "restart", MBX1)
    await turns_for(daemon, HOUR)
    (cause,), run = await daemon.store.causes(), daemon.world.run

    async def meanwhile(call: Call, permit: Permit | None = None) -> Reply:
        if call.args.get("health_sets") == ["AD", "Store", "DataProtection"] and await daemon.store.causes():
            await release(daemon, cause.id)
        return await run(call, permit)

    daemon.world.run = meanwhile  # type: ignore[method-assign]  # a test's own way between the two looks
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert [row.entry.fields["cause"] for row in await daemon.audit("cause_found")] == [cause.id]
    assert len(await pages(daemon)) == 1
