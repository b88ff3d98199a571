"""Who is told of what a shared cause holds, and whom a release frees: over a day with several outages."""

from datetime import timedelta
from pathlib import Path

import pytest

from daemon.config.guardrails import Safety, SharedCause
from daemon.domain.causes import Cause
from daemon.domain.incidents import IncidentStatus
from daemon.remediation.guardrails import causes
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.guardrails.test_causes import pages, release
from tests.remediation.pop_world import DEEP, SELF, PopDaemon, PopWorld
from tests.remediation.world import ALONE, DAG, EACH_FOR_ITSELF, MBX1, MBX2, MBX3, Mishap

HOUR = timedelta(hours=1)
OBSERVED = Safety(auto_tags=())


async def made(folder: Path, safety: Safety | None = None, shared: SharedCause | None = None) -> PopDaemon:
    store = MemoryStore()
    await store.open()
    return PopDaemon(PopWorld(ManualClock()), store, folder, None, safety, shared_cause=shared or EACH_FOR_ITSELF)


@pytest.fixture
async def daemon(tmp_path: Path) -> PopDaemon:
    return await made(tmp_path)


def directory(daemon: PopDaemon, value: str, *servers: str) -> None:
    """Active Directory as these servers see it."""
    for server in servers:
        daemon.world.hosts[server].unwell["AD"] = value


async def hours(daemon: PopDaemon, number: float) -> None:
    """All turns of some hours, with the runner's look at causes between them."""
    until = daemon.clock.now() + timedelta(hours=number)
    while (due := await daemon.store.next_due()) is not None and due <= until:
        await daemon.turn()
        await causes.end_those_over(daemon.guards)
    daemon.clock.advance(max(0.0, (until - daemon.clock.now()).total_seconds()))


def own(title: str) -> bool:
    return "needs a human" in title


async def the_cause(daemon: PopDaemon, of: str) -> Cause:
    (cause,) = [each for each in await daemon.store.causes() if of in each.what]
    return cause


async def test_a_page_of_an_outage_that_is_long_over_tells_nothing_of_the_next(tmp_path: Path) -> None:
    daemon = await made(tmp_path, OBSERVED)
    directory(daemon, "Unhealthy", MBX1)
    await daemon.sick(DEEP, "", MBX1)
    await hours(daemon, 1)
    directory(daemon, "Healthy", MBX1)
    await hours(daemon, 14)
    assert len(await pages(daemon)) == 1
    directory(daemon, "Unhealthy", MBX1)
    await hours(daemon, 1)
    assert len(await pages(daemon)) == 2
    assert (await daemon.incident()).status is IncidentStatus.OPEN, (
        "observing for hours is no wait for Active Directory"
    )


async def test_what_escalates_long_after_its_page_has_one_of_its_own(daemon: PopDaemon) -> None:
    directory(daemon, "Unhealthy", MBX1)
    await daemon.sick(DEEP, "", MBX1)
    await hours(daemon, 1)
    directory(daemon, "Healthy", MBX1)
    daemon.world.hosts[MBX1].logged_on = ("CONTOSO\\ada",)
    await hours(daemon, 6)
    directory(daemon, "Unhealthy", MBX1)
    await hours(daemon, 12)
    assert (await daemon.incident()).status is IncidentStatus.ESCALATED
    assert len(await pages(daemon)) == 2, "the second outage was told of"


async def test_servers_that_were_only_observed_are_one_page_when_a_dependency_fails(tmp_path: Path) -> None:
    daemon = await made(tmp_path, OBSERVED)
    for server in (*DAG, ALONE):
        await daemon.sick(DEEP, "", server)
    await hours(daemon, 10)
    directory(daemon, "Unhealthy", *DAG, ALONE)
    await hours(daemon, 2)
    assert {(await daemon.incident(number)).status for number in range(1, 5)} == {IncidentStatus.OPEN}
    assert (await the_cause(daemon, "AD")).servers == (*DAG, ALONE)
    assert len(await daemon.audit("cause_over")) == 0
    assert [title for title in await pages(daemon) if own(title)] == []


async def test_facts_that_cannot_be_read_any_more_without_it_page_nobody_again(daemon: PopDaemon) -> None:
    directory(daemon, "Unhealthy", *DAG)
    for server in DAG:
        await daemon.sick(DEEP, "", server)
    await hours(daemon, 1)
    before = await pages(daemon)
    daemon.world.befall("exchange_server", *[Mishap.FAILED] * 5000)
    await hours(daemon, 2)
    assert await pages(daemon) == before
    assert "Active Directory" in (await daemon.audit("decision"))[-1].entry.message


async def test_a_fact_that_is_missing_hides_no_dependency_that_is_known_to_be_unhealthy(daemon: PopDaemon) -> None:
    directory(daemon, "Unhealthy", *DAG)
    daemon.world.befall("dag_health", *[Mishap.FAILED] * 5000)
    for server in DAG:
        await daemon.sick(DEEP, "", server)
    await hours(daemon, 2)
    assert len((await the_cause(daemon, "AD")).servers) == 3
    assert [title for title in await pages(daemon) if own(title)] == []
    assert daemon.world.effects == []


async def test_a_release_frees_no_server_that_is_well_again_by_then(tmp_path: Path) -> None:
    daemon = await made(tmp_path, None, SharedCause(servers=2))
    for server in DAG:
        await daemon.sick(DEEP, "", server)
    await hours(daemon, 1)
    daemon.world.pop[MBX3].ills.clear()
    await hours(daemon, 1)
    for server in (MBX3, ALONE):
        await daemon.sick(SELF, "", server)
    await hours(daemon, 0.5)
    cause = await the_cause(daemon, DEEP)
    answer = await daemon.operators.carry_out("ada", {"command": "release", "server": cause.id})
    assert answer["servers"] == [MBX1, MBX2]
    await hours(daemon, 0.5)
    assert {server for _, server in daemon.world.effects} == {MBX1, MBX2}


async def test_a_release_for_one_server_is_none_for_what_fails_later_on_another(daemon: PopDaemon) -> None:
    directory(daemon, "Unhealthy", MBX1, MBX2)
    for server in (MBX1, MBX2):
        await daemon.sick(DEEP, "", server)
    await hours(daemon, 1)
    directory(daemon, "Healthy", MBX1)
    daemon.world.pop[MBX1].ills.clear()
    await hours(daemon, 1)
    daemon.world.hosts[MBX1].logged_on = ("CONTOSO\\ada",)
    await daemon.sick(DEEP, "", MBX1)
    await hours(daemon, 1)
    await release(daemon, (await the_cause(daemon, "AD")).id)
    directory(daemon, "Unhealthy", MBX1)
    daemon.world.hosts[MBX1].logged_on = ()
    await hours(daemon, 1)
    assert daemon.did(MBX1) == []
    assert daemon.did(MBX2) != []


async def test_a_clock_that_is_set_back_makes_no_page_newer_than_it_is(tmp_path: Path) -> None:
    daemon = await made(tmp_path, None, SharedCause())
    for server in (MBX1, MBX2):
        await daemon.sick(DEEP, "", server)
    await hours(daemon, 0.5)
    daemon.clock._start -= timedelta(hours=6)  # noqa: SLF001 - the system's clock was set back, and exmedic restarted
    await hours(daemon, 2)
    await daemon.sick(SELF, "", MBX1)
    await hours(daemon, 24)
    assert f"exmedic: {SELF} on {MBX1} needs a human" in await pages(daemon)
