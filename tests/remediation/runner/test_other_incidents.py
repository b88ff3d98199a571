"""Alerts that name only a health set, incidents that wait for others, and problems that come and go."""

from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.domain.commits import Channel
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import MBX1, Daemon, Mishap, World


async def test_an_alert_that_names_only_the_health_set_lets_each_sick_monitor_have_its_own_incident(
    daemon: Daemon,
) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    await daemon.alert(MBX1, "")
    triage = await daemon.drive()
    child = await daemon.incident(2)
    assert child.monitor == "PopDeepTestMonitor"
    assert (child.status, triage.status) == (IncidentStatus.RESOLVED, IncidentStatus.RESOLVED)
    assert daemon.world.effects == [("restart", MBX1)]
    assert not child.parent, "it may wait for others itself"
    assert [step.outcome for step in await daemon.steps()] == ["unhealthy", "healed", "healthy"]


async def test_a_triage_of_what_is_not_healed_escalates_and_names_the_incident(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1, "")
    triage = await daemon.drive()
    assert triage.status is IncidentStatus.ESCALATED
    assert "it ends with incident i2, which escalated here after it had acted" in triage.reason
    assert triage.told_by == "i2", "one notification a server"


async def test_a_triage_joins_the_incident_that_is_there_and_survives_a_crash_between_opening_and_remembering(
    daemon: Daemon,
) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    await daemon.alert(MBX1, "")
    await daemon.drive(lambda incident: incident.state == "each")
    await daemon.alert(MBX1)  # an alert for the monitor opens i2 before the triage does
    triage = await daemon.drive()
    assert triage.status is IncidentStatus.RESOLVED
    assert await daemon.store.incident("i3") is None


async def test_a_triage_of_a_healthy_server_is_transient(daemon: Daemon) -> None:
    await daemon.alert(MBX1, "")
    triage = await daemon.drive()
    assert (triage.status, triage.transient) == (IncidentStatus.RESOLVED, True)


async def come_and_go(daemon: Daemon, number: int, after: timedelta) -> Incident:
    """An alert about a monitor that is healthy, then some time."""
    await daemon.alert(MBX1)
    while (await daemon.incident(number)).status is IncidentStatus.OPEN:
        await daemon.turn()
    daemon.clock.advance(after.total_seconds())
    return await daemon.incident(number)


async def test_a_problem_that_is_gone_for_the_third_time_within_a_day_is_flapping_and_escalates(daemon: Daemon) -> None:
    ends = [await come_and_go(daemon, number, timedelta(hours=1)) for number in (1, 2, 3)]
    first, second, third = ends
    assert (first.status, second.status) == (IncidentStatus.RESOLVED, IncidentStatus.RESOLVED)
    assert (third.status, third.latched, third.due_at) == (IncidentStatus.ESCALATED, False, None)
    assert "it comes and goes" in third.reason
    assert daemon.world.effects == []


async def test_the_real_failure_that_follows_what_came_and_went_is_healed(daemon: Daemon) -> None:
    for number in (1, 2, 3):
        await come_and_go(daemon, number, timedelta(minutes=20))
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    await daemon.alert(MBX1)
    while (await daemon.incident(4)).status is IncidentStatus.OPEN:
        await daemon.turn()
    assert (await daemon.incident(4)).status is IncidentStatus.RESOLVED
    assert daemon.world.effects == [("restart", MBX1)]


@given(gaps=st.lists(st.integers(1, 40), min_size=3, max_size=9))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_comes_and_goes_never_latches_and_is_paged_at_most_once_a_day(
    tmp_path: Path, gaps: list[int]
) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path)
    paged: list[datetime] = []
    for number, gap in enumerate(gaps, start=1):
        before = len(await daemon.store.outbox(Channel.NOTIFY, 100))
        incident = await come_and_go(daemon, number, timedelta(hours=gap))
        pages = len(await daemon.store.outbox(Channel.NOTIFY, 100)) - before
        assert not incident.latched
        told = incident.status is IncidentStatus.ESCALATED and not incident.told_by
        assert pages == told, "one page where it is told, none where an earlier one has"
        assert incident.ended_at is not None
        if told:
            assert all(incident.ended_at - each >= timedelta(days=1) for each in paged)
            paged.append(incident.ended_at)
        elif incident.told_by:
            assert paged
            assert incident.ended_at - paged[-1] < timedelta(days=1)
            assert incident.told_by in incident.reason


async def test_transients_of_another_day_do_not_count(daemon: Daemon) -> None:
    ends = [await come_and_go(daemon, number, timedelta(hours=13)) for number in (1, 2, 3)]
    assert ends[-1].status is IncidentStatus.RESOLVED


async def test_a_problem_that_was_cured_is_not_counted_as_transient(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    daemon.world.befall("invoke_probe", Mishap.UNREACHABLE)
    await daemon.alert(MBX1)
    assert not (await daemon.drive()).transient
    key = Key.of(MBX1, "POP.Protocol", "PopDeepTestMonitor")
    assert await daemon.store.transients(key, daemon.clock.now() - timedelta(days=1)) == []


async def test_another_unhealthy_monitor_of_the_server_gets_its_own_incident_and_finds_the_problem_gone(
    daemon: Daemon,
) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by, host.also = True, "restart", ("PopSelfTestMonitor", "NobodyHandlesThisMonitor")
    await daemon.alert(MBX1)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    other = await daemon.incident(2)
    assert (other.monitor, other.parent) == ("PopSelfTestMonitor", "")
    while (await daemon.incident(2)).status is IncidentStatus.OPEN:
        await daemon.turn()
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED
    assert daemon.world.effects == [("restart", MBX1)], "the restart for the first cured both"
    assert await daemon.store.incident("i3") is None
