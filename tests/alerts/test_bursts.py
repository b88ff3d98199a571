"""A burst of invented names: it takes no room, is told once a server, and holds up nobody who is really ill."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.config.guardrails import Storms
from daemon.domain.commits import AlertChanges, Aside, Channel, Commit
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.notices import NoticeKind
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.adapters.sqlite import samples
from tests.alerts.test_storms_over_time import FEW, RUNBOOKS, come_in, received, several, waiting
from tests.remediation.world import ALONE, CAS1, DAG, MBX1, MBX2, Daemon, World

REAL = "PopDeepTestMonitor"


async def world_of(folder: Path, storms: Storms = FEW) -> Daemon:
    store = MemoryStore()
    await store.open()
    return Daemon(World(ManualClock()), store, folder, storms=storms, runbooks=RUNBOOKS)


async def opened(daemon: Daemon) -> list[Incident]:
    return sorted(await daemon.store.incidents(limit=1000), key=lambda each: each.opened_at)


async def pass_time(daemon: Daemon, seconds: int) -> None:
    """Time in which what waits looks for room every few seconds, as the daemon's loop does."""
    for _ in range(0, seconds, 5):
        daemon.clock.advance(5)
        while await daemon.deferral.take_up():
            pass


async def test_five_hundred_invented_names_take_no_room_and_a_real_alert_among_them_comes_first(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    lies = [received(server, f"Invented{number}") for number in range(250) for server in (MBX1, MBX2)]
    await daemon.store.ingest([*lies, received(MBX1, REAL)])
    await daemon.dispatch.route_pending()
    (incident,) = await opened(daemon)
    assert (incident.monitor, incident.due_at) == (REAL, daemon.clock.now()), "looked at in the very same second"
    rows = [row.entry for row in await daemon.store.audit_after(0, 5000)]
    first = next(entry for entry in rows if entry.kind in ("incident_opened", "alert_suppressed"))
    assert first.kind == "incident_opened"
    assert await waiting(daemon.store) == 0
    told = [(each.kind, each.about, each.count) for each in await daemon.store.notices()]
    assert told == [(NoticeKind.UNHANDLED, MBX1, 250), (NoticeKind.UNHANDLED, MBX2, 250)], "one page each"


async def test_what_was_set_aside_and_nobody_handles_is_told_in_a_few_commits_after_what_is_handled(
    tmp_path: Path,
) -> None:
    daemon = await world_of(tmp_path)
    now = daemon.clock.now()
    lies = [
        replace(samples.deferred(MBX1), key=Key.of(MBX1, "POP", f"I{n}"), health_set="POP", monitor=f"I{n}", since=now)
        for n in range(900)
    ]
    real = replace(samples.deferred(MBX2), key=Key.of(MBX2, "POP.Protocol", REAL), since=now + timedelta(minutes=5))
    all_of_them = tuple(replace(each, why=Aside.STORM, not_before=now) for each in (*lies, real))
    await daemon.store.commit(Commit(at=now, alerts=AlertChanges(defer=all_of_them)))
    assert await daemon.deferral.take_up() == 1 + 500
    assert [each.key for each in await opened(daemon)] == [real.key]
    assert await daemon.deferral.take_up() == 400
    (notice,) = await daemon.store.notices()
    assert (notice.about, notice.count) == (MBX1, 900)
    assert await waiting(daemon.store) == 0


async def test_a_server_that_falls_ill_after_a_burst_on_others_is_looked_at_within_a_minute(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await come_in(daemon, *several(ALONE, 8), *several(MBX1, 8))
    await pass_time(daemon, 20)
    began = daemon.clock.now()
    await come_in(daemon, received(CAS1, "Another"))
    assert [each.server for each in await opened(daemon)].count(CAS1) == 0, "the minute's room is used up"
    await pass_time(daemon, 60)
    (real,) = [each for each in await opened(daemon) if each.server == CAS1]
    assert real.opened_at - began <= timedelta(minutes=1)


async def test_a_burst_that_goes_on_takes_no_turn_of_a_server_that_waits(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await come_in(daemon, *several(ALONE, 4), received(CAS1, "Another"))
    daemon.clock.advance(61)
    await come_in(daemon, *several(MBX1, 2))
    assert [each.server for each in await opened(daemon)].count(MBX1) == 1, "others wait, and it has just had its turn"
    row = (await daemon.audit("alert_suppressed"))[-1]
    assert row.entry.message.endswith(f"others wait for room, and {MBX1} has had an incident within the minute")
    await pass_time(daemon, 65)
    assert CAS1 in {each.server for each in await opened(daemon)}


async def test_once_nothing_waits_any_more_a_server_may_have_two_incidents_within_a_minute(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await come_in(daemon, *several(ALONE, 4))
    await pass_time(daemon, 65)
    assert (len(await opened(daemon)), await waiting(daemon.store)) == (4, 0)
    await come_in(daemon, received(ALONE, "Monitor6"))
    assert (len(await opened(daemon)), await waiting(daemon.store)) == (5, 0)


@given(
    burst=st.lists(st.tuples(st.sampled_from([*DAG, ALONE]), st.integers(0, 7)), max_size=60),
    lies=st.integers(0, 200),
    after=st.integers(0, 50),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_burst_is_made_of_a_server_outside_it_is_looked_at_within_a_minute_and_nothing_is_lost(
    tmp_path: Path, burst: list[tuple[str, int]], lies: int, after: int
) -> None:
    daemon = await world_of(tmp_path, Storms(fleet=5, site=5, dag=2))
    alerts = [received(server, f"Monitor{number}") for server, number in burst]
    await come_in(daemon, *alerts, *(received(MBX1, f"Invented{number}") for number in range(lies)))
    await pass_time(daemon, after)
    began = daemon.clock.now()
    await come_in(daemon, received(CAS1, "Another"))
    await pass_time(daemon, 65)
    (real,) = [each for each in await opened(daemon) if each.server == CAS1]
    assert real.opened_at - began <= timedelta(seconds=60)
    await pass_time(daemon, 1800)
    keys = {Key.of(server, "POP.Protocol", f"Monitor{number}") for server, number in burst}
    assert {each.key for each in await opened(daemon)} == {*keys, real.key}
    assert (await waiting(daemon.store), (await daemon.store.ledger()).imbalance) == (0, "")


async def test_a_server_that_invents_monitors_of_its_own_is_one_page_and_opens_nothing_for_them(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.monitor, host.also = "Unhealthy", tuple(f"PopInvented{number}" for number in range(100))
    await daemon.alert(MBX1, "")
    triage = await daemon.drive()
    assert triage.status is IncidentStatus.ESCALATED
    assert {each.monitor for each in await opened(daemon)} == {"", REAL}
    assert len(await daemon.store.outbox(Channel.NOTIFY, 1000)) <= 2
    assert daemon.world.effects == []
