"""The ladders of PopProxyTestMonitor and AverageCommandProcessingTimeGt60sMonitor, at each rung."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain.incidents import IncidentStatus
from daemon.domain.inventory import Inventory, Role
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.pop_world import BACK, FRONT, PROXY, SLOW, PopDaemon, PopWorld
from tests.remediation.world import ALONE, CAS1, CAS2, MBX1, MBX2, Mishap, inventory

FRONT_END, BACK_END = f"restart {FRONT}", f"restart {BACK}"


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def daemon(store: MemoryStore, tmp_path: Path) -> PopDaemon:
    return PopDaemon(PopWorld(ManualClock()), store, tmp_path)


@pytest.mark.parametrize(
    ("cure", "expected", "status"),
    [
        ("restart", [FRONT_END], IncidentStatus.RESOLVED),
        ("reboot", [FRONT_END, "reboot"], IncidentStatus.RESOLVED),
        ("", [FRONT_END, "reboot"], IncidentStatus.ESCALATED),
    ],
)
async def test_the_proxy_ladder_at_each_rung(
    daemon: PopDaemon, cure: str, expected: list[str], status: IncidentStatus
) -> None:
    await daemon.sick(PROXY, cure)
    incident = await daemon.drive()
    assert incident.status is status, incident.reason
    assert daemon.did() == expected
    assert daemon.did(CAS2) == [], "only the alerting one is touched"
    assert await daemon.store.claim_holder(CAS1) is None


async def test_a_proxy_ladder_on_a_server_with_copies_goes_the_mailbox_way(
    daemon: PopDaemon, store: MemoryStore, tmp_path: Path
) -> None:
    multi = _multi_role(MBX1)
    daemon = PopDaemon(daemon.world, store, tmp_path, multi)
    daemon.world.around[MBX1].client_access = True
    await daemon.sick(PROXY, "reboot", MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did(MBX1) == [FRONT_END, "stop_activation", "reboot", "allow_activation"]


@pytest.mark.parametrize("meant", [True, False])
async def test_after_a_reboot_both_services_of_pop_are_waited_for_where_they_are_meant_to_run(
    daemon: PopDaemon, store: MemoryStore, tmp_path: Path, meant: bool
) -> None:
    daemon = PopDaemon(daemon.world, store, tmp_path, _multi_role(MBX1))
    daemon.world.around[MBX1].client_access = True
    await daemon.sick(PROXY, "reboot", MBX1)
    await daemon.drive(lambda incident: incident.state == "reboot.back")
    pop, began = daemon.world.pop[MBX1], daemon.clock.now()
    pop.down.add(BACK)
    pop.manual.update(() if meant else (BACK,))
    incident = await daemon.drive(
        lambda now: now.state != "reboot.back" or daemon.clock.now() - began > timedelta(minutes=15)
    )
    assert (incident.state == "reboot.back") is meant
    assert ("not running yet on mbx1.contoso.lab: MSExchangePOP3BE" in incident.waiting_for) is meant
    pop.down.clear()
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED


async def test_a_cas_is_not_rebooted_while_the_other_one_of_its_site_is_sick(daemon: PopDaemon) -> None:
    daemon.world.pop[CAS2].values[PROXY] = "Unhealthy"
    await daemon.sick(PROXY, "reboot")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("reboot.reboot: refused")
    assert daemon.did() == [FRONT_END]


def _multi_role(name: str) -> Inventory:
    both = frozenset({Role.MAILBOX, Role.CLIENT_ACCESS})
    return Inventory(tuple(replace(one, roles=both) if one.name == name else one for one in inventory()))


async def test_processing_time_on_a_cas_heals_by_a_restart_and_is_watched_for_ten_minutes(daemon: PopDaemon) -> None:
    await daemon.sick(SLOW, "restart", after=timedelta(minutes=4))
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did() == [FRONT_END]
    watch = next(step for step in await daemon.steps() if step.action == "watch_monitor")
    assert watch.ended_at is not None
    took = watch.ended_at - watch.started_at
    assert timedelta(minutes=14) <= took < timedelta(minutes=15), "ten minutes from when it turned Healthy"


@pytest.mark.parametrize(
    ("server", "restarts"),
    [(CAS1, [FRONT_END]), (MBX1, [BACK_END]), (MBX1, [BACK_END, FRONT_END])],
)
async def test_processing_time_restarts_the_services_of_the_roles_then_reboots_the_way_they_ask_for(
    daemon: PopDaemon, store: MemoryStore, tmp_path: Path, server: str, restarts: list[str]
) -> None:
    if len(restarts) > 1:
        daemon = PopDaemon(daemon.world, store, tmp_path, _multi_role(server))
        daemon.world.around[server].client_access = True
    await daemon.sick(SLOW, "reboot", server)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    moves = [] if server == CAS1 else ["stop_activation"]
    back = [] if server == CAS1 else ["allow_activation"]
    assert daemon.did(server) == [*restarts, *moves, "reboot", *back]


async def test_processing_time_that_nothing_cures_escalates_and_its_databases_stay_away(daemon: PopDaemon) -> None:
    await daemon.sick(SLOW, "", MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("final: unhealthy")
    assert "not healthy within 15 minutes" in incident.reason
    assert daemon.world.hosts[MBX1].blocked


async def test_processing_time_of_a_monitor_that_does_not_remain_healthy_goes_on_to_the_reboot(
    daemon: PopDaemon,
) -> None:
    ill = await daemon.sick(SLOW, "restart")
    await daemon.drive(lambda incident: incident.state == "cas_watch")
    began = daemon.clock.now()
    for _ in range(12):
        await daemon.turn()
    assert timedelta(minutes=5) < daemon.clock.now() - began < timedelta(minutes=9)
    ill.over_at, ill.cure, ill.restarts = None, "reboot", 1
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    watch = next(step for step in await daemon.steps() if step.action == "watch_monitor")
    assert "did not remain healthy" in watch.detail
    assert daemon.did() == [FRONT_END, "reboot"]


async def test_processing_time_whose_monitor_cannot_be_read_escalates_and_reboots_nothing(daemon: PopDaemon) -> None:
    await daemon.sick(SLOW, "reboot")
    await daemon.drive(lambda incident: incident.state == "cas_watch")
    daemon.world.pop[CAS1].stale.add(SLOW)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("cas_watch: unknown")
    assert daemon.did() == [FRONT_END]


async def test_roles_that_differ_from_the_inventory_stop_the_ladder_before_anything_is_done(daemon: PopDaemon) -> None:
    daemon.world.around[CAS1].mailbox = True
    await daemon.sick(SLOW, "restart")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("roles: failed")
    assert "the inventory calls cas1.contoso.lab client_access" in incident.reason
    assert daemon.did() == []


async def test_a_standalone_multi_role_server_is_restarted_but_never_rebooted(
    daemon: PopDaemon, store: MemoryStore, tmp_path: Path
) -> None:
    daemon = PopDaemon(daemon.world, store, tmp_path, _multi_role(ALONE))
    daemon.world.around[ALONE].client_access = True
    await daemon.sick(SLOW, "reboot", ALONE)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert daemon.did(ALONE) == [BACK_END, FRONT_END]


async def test_a_latched_incident_without_a_probe_lets_go_only_after_two_healthy_looks(daemon: PopDaemon) -> None:
    ill = await daemon.sick(SLOW)
    await daemon.drive()
    ill.over_at = daemon.clock.now()
    await daemon.turn()
    assert (await daemon.incident()).latched, "one look proves nothing about how long"
    await daemon.turn()
    assert not (await daemon.incident()).latched
    assert (await daemon.audit("latch_lifted"))[0].entry.message.startswith(f"latch lifted: {SLOW} is Healthy for")


@pytest.mark.parametrize("mishap", [Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER, Mishap.ANSWER_LOST, Mishap.VANISHED])
@pytest.mark.parametrize("script", ["restart_service", "set_activation", "reboot"])
async def test_a_death_or_a_lost_answer_at_a_send_repeats_nothing(
    daemon: PopDaemon, script: str, mishap: Mishap
) -> None:
    await daemon.sick(SLOW, "reboot", MBX2)
    daemon.world.befall(script, mishap)
    incident = await daemon.outlive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did(MBX2) == [BACK_END, "stop_activation", "reboot", "allow_activation"]
