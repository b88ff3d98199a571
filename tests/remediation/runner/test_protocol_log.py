"""The protocol log on a server with every role: both of its services read the setting when they start."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.domain.incidents import Incident, IncidentStatus, UndoStatus
from daemon.domain.inventory import Inventory, Role
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.pop_world import BACK, CTP, FRONT, PopDaemon, PopWorld
from tests.remediation.world import MBX1, Mishap, inventory

LOGGED = [f"restart {FRONT}", "log on", f"restart {FRONT}"]


async def everything_on(folder: Path, store: MemoryStore) -> PopDaemon:
    """A DAG whose first server has every role."""
    await store.open()
    both = frozenset(Role)
    servers = Inventory(tuple(replace(one, roles=both) if one.name == MBX1 else one for one in inventory()))
    daemon = PopDaemon(PopWorld(ManualClock()), store, folder, servers)
    daemon.world.around[MBX1].client_access = True
    return daemon


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[PopDaemon]:
    store = MemoryStore()
    yield await everything_on(tmp_path, store)
    await store.close()


async def test_the_log_is_off_before_the_reboot_and_afterwards_nothing_is_restarted_for_it(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "reboot", MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did(MBX1) == [*LOGGED, "log off", "stop_activation", "reboot", "allow_activation"]
    assert daemon.world.pop[MBX1].logging == set()
    told = {item.setting: item.reason for item in await daemon.store.undo_items("i1")}
    assert "began after the log was off" in told["pop_restart"]
    assert "began after the log was off" in told["pop_restart_back_end"]


async def test_a_back_end_that_began_before_the_log_was_on_is_left_alone(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "restart", MBX1, restarts=2)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.did(MBX1) == [*LOGGED, "log off", f"restart {FRONT}"]
    (told,) = [item for item in await daemon.store.undo_items("i1") if item.setting == "pop_restart_back_end"]
    assert "began before the log was on" in told.reason


async def test_a_service_that_somebody_else_restarted_while_it_was_on_is_restarted_once_it_is_off(
    daemon: PopDaemon,
) -> None:
    await daemon.sick(CTP, "restart", MBX1, restarts=2)
    await daemon.drive(lambda incident: incident.state == "logged")
    somebody_restarts(daemon, BACK)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.did(MBX1) == [*LOGGED, "log off", f"restart {FRONT}", f"restart {BACK}"]
    assert daemon.world.pop[MBX1].logging == set()


async def test_a_back_end_that_is_stopped_is_not_started_for_the_log(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "restart", MBX1, restarts=2)
    await daemon.drive(lambda incident: incident.state == "undo.resolved" and "log off" in daemon.did(MBX1))
    daemon.world.hosts[MBX1].service_status = "Stopped"
    await daemon.drive()
    assert f"restart {BACK}" not in daemon.did(MBX1)


async def test_after_a_reboot_that_was_refused_the_service_that_logs_is_restarted(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "reboot", MBX1)
    await daemon.drive(lambda incident: incident.state == "quiet")
    daemon.world.around[MBX1].witness = False
    daemon.world.hosts[MBX1].reboot_pending = True
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert daemon.did(MBX1) == [*LOGGED, "log off", f"restart {FRONT}"]
    assert daemon.world.pop[MBX1].logging == set()


def somebody_restarts(daemon: PopDaemon, service: str) -> None:
    """A service begins anew, and nobody asked us."""
    host, pop = daemon.world.hosts[MBX1], daemon.world.pop[MBX1]
    for each in daemon.world.services(MBX1):
        pop.processes.setdefault(each, (host.pid, host.service_since))
    daemon.clock.advance(1)
    host.pid += 1
    host.service_since = daemon.clock.now()
    daemon.world.starts(MBX1, service)
    daemon.clock.advance(1)


def reaches(state: str) -> Callable[[Incident], bool]:
    return lambda now: now.status is not IncidentStatus.OPEN or now.state == state


STATES = ["log_on", "restart_logging", "logged", "trace", "backend", "quiet", "reboot.move", "final", "undo.resolved"]


@given(
    cure=st.tuples(st.sampled_from(["restart", "reboot", ""]), st.integers(1, 2)),
    restarts=st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from([FRONT, BACK])), max_size=3),
    skew=st.integers(-3, 3),
    close_in=st.sampled_from(["", *STATES]),
    mishaps=st.lists(
        st.tuples(
            st.sampled_from(["set_protocol_log", "restart_service", "server_state", "pop_settings"]),
            st.sampled_from([Mishap.ANSWER_LOST, Mishap.VANISHED, Mishap.UNREACHABLE, Mishap.CRASH_AFTER]),
        ),
        max_size=4,
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whoever_restarts_what_nothing_writes_the_log_afterwards_and_no_more_is_restarted_than_that_takes(
    *,
    tmp_path: Path,
    cure: tuple[str, int],
    restarts: list[tuple[str, str]],
    skew: int,
    close_in: str,
    mishaps: list[tuple[str, Mishap]],
) -> None:
    store = MemoryStore()
    daemon = await everything_on(tmp_path, store)
    daemon.world.hosts[MBX1].skew = timedelta(hours=skew)
    for script, mishap in mishaps:
        daemon.world.befall(script, mishap)
    await daemon.sick(CTP, cure[0], MBX1, restarts=cure[1])
    for state, service in sorted(restarts, key=lambda each: STATES.index(each[0])):
        incident = await daemon.outlive(reaches(state))
        if incident.status is IncidentStatus.OPEN:
            somebody_restarts(daemon, service)
    incident = await daemon.outlive(reaches(close_in))
    if incident.status is IncidentStatus.OPEN:
        await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    await daemon.outlive()
    left = {item.setting for item in await store.undo_items("i1") if item.status is UndoStatus.LEFT}
    pop = daemon.world.pop[MBX1]
    assert not pop.log or "protocol_log" in left
    assert not pop.logging or left, f"{pop.logging} still write the log, and nobody was told"
    if not any(service == BACK for _, service in restarts):
        assert f"restart {BACK}" not in daemon.did(MBX1), "a healthy back end serves other servers' users"
