"""One notification a server and outage: what is open on a server ends with the incident that escalated after it acted.

And what a publisher can invent (monitors, owners, problems that come and go) ends nobody else's.
"""

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.config.guardrails import Budgets
from daemon.domain.commits import Channel
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.ports import Call, Permit, Reply
from daemon.remediation.incidents.ending import outage_of
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import MBX1, MBX2, Daemon, Mishap, World

SELF = "PopSelfTestMonitor"
EFFECTS = {"restart", "stop_activation", "reboot"}


async def pages(daemon: Daemon) -> list[str]:
    return [row.message.topic for row in await daemon.store.outbox(Channel.NOTIFY, 100)]


def effects(daemon: Daemon) -> list[str]:
    return [name for name, server in daemon.world.effects if server == MBX1 and name in EFFECTS]


async def pass_time(daemon: Daemon, span: timedelta) -> None:
    """All turns that are due within a time, with what was set aside taken up as it is due."""
    until = daemon.clock.now() + span
    while True:
        while await daemon.deferral.take_up():
            pass
        due = await daemon.store.next_due()
        if due is None or due > until:
            break
        await daemon.turn()
    daemon.clock.advance(max(0.0, (until - daemon.clock.now()).total_seconds()))


async def two_sick_monitors(daemon: Daemon, cured_by: str = "") -> tuple[Incident, Incident]:
    """An outage that exmedic cannot cure, with a monitor that sees it later; both once humans have it."""
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by, host.also = True, cured_by, (SELF,)
    await daemon.alert(MBX1)
    await daemon.drive()
    await pass_time(daemon, timedelta(minutes=10))
    return await daemon.incident(1), await daemon.incident(2)


async def test_an_outage_of_two_monitors_is_one_notification_and_one_ladder(daemon: Daemon) -> None:
    first, second = await two_sick_monitors(daemon)
    assert (first.status, second.status) == (IncidentStatus.ESCALATED, IncidentStatus.ESCALATED)
    assert (first.told_by, second.told_by) == ("", "i1")
    assert "ends with incident i1" in second.reason
    assert await pages(daemon) == ["exmedic: PopDeepTestMonitor on mbx1.contoso.lab needs a human"]
    assert effects(daemon) == ["restart", "stop_activation", "reboot"], "each once: the second had no ladder of its own"
    (page,) = [str(row.message.body["text"]) for row in await daemon.store.outbox(Channel.NOTIFY, 10)]
    assert f"Ends with it: {SELF}, incident i2" in page
    assert await daemon.store.claims() == frozenset()


async def test_what_falls_ill_there_later_is_verified_and_ends_with_it_too(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick = True
    await daemon.alert(MBX1)
    await daemon.drive()
    before = list(daemon.world.effects)
    host.also = (SELF,)
    await daemon.alert(MBX1, SELF)
    await pass_time(daemon, timedelta(minutes=10))
    later = await daemon.incident(2)
    assert (later.status, later.told_by) == (IncidentStatus.ESCALATED, "i1")
    assert "found unhealthy" in later.reason
    assert daemon.world.effects == before
    assert len(await pages(daemon)) == 1


async def test_it_is_verified_afresh_and_healed_once_an_operator_has_closed_the_first(daemon: Daemon) -> None:
    await two_sick_monitors(daemon)
    await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    await pass_time(daemon, timedelta(minutes=5))
    assert (await daemon.incident(2)).latched, "an undo by order is no end of the outage"
    host = daemon.world.hosts[MBX1]
    host.cured_by = "restart"
    done = len(daemon.world.effects)
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    await pass_time(daemon, timedelta(hours=1))
    assert not (await daemon.incident(2)).latched
    afresh = await daemon.incident(3)
    assert (afresh.monitor, afresh.status) == (SELF, IncidentStatus.RESOLVED)
    assert daemon.world.effects[done:] == [("restart", MBX1)]


async def test_it_is_verified_afresh_and_resolved_once_the_server_is_healthy(daemon: Daemon) -> None:
    await two_sick_monitors(daemon)
    done = list(daemon.world.effects)
    daemon.world.hosts[MBX1].sick = False
    await pass_time(daemon, timedelta(hours=1))
    assert not (await daemon.incident(1)).latched
    assert (await daemon.incident(3)).status is IncidentStatus.RESOLVED
    assert daemon.world.effects == done
    assert len(await pages(daemon)) == 1


async def test_what_escalated_without_an_effect_ends_nobody_elses(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.monitor, host.also = "Repairing", (SELF,)
    await daemon.alert(MBX1)
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    host.monitor, host.sick, host.cured_by = "Healthy", True, "restart"
    await daemon.alert(MBX1, SELF)
    await pass_time(daemon, timedelta(hours=1))
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED
    assert effects(daemon) == ["restart"]


async def test_what_only_looks_ends_nobody_elses_although_it_has_acted_before(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by, host.also = True, "", (SELF,)
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "reprobe")
    await daemon.alert(MBX1, owner="CONTOSO\\ada", source_id="5")
    taken = await daemon.drive()
    assert (taken.status, taken.latched, taken.ends_others) == (IncidentStatus.ESCALATED, False, False)
    host.cured_by = "restart"
    await pass_time(daemon, timedelta(hours=1))
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED
    assert effects(daemon) == ["restart", "restart"]


async def test_what_falls_ill_hours_later_is_another_outage(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick = True
    await daemon.alert(MBX1)
    await daemon.drive()
    host.blocked = False
    await pass_time(daemon, timedelta(hours=9))
    host.also, host.cured_by = (SELF,), "restart"
    await daemon.alert(MBX1, SELF)
    await pass_time(daemon, timedelta(hours=1))
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED


async def test_an_unsettled_server_is_told_once(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.also = True, (SELF,)
    daemon.world.befall("restart_service", Mishap.VANISHED)
    daemon.world.befall("step_running", *[Mishap.UNREACHABLE] * 400)
    await daemon.alert(MBX1)
    await daemon.drive()
    await pass_time(daemon, timedelta(minutes=10))
    assert await daemon.store.quarantine(MBX1) is not None
    assert (await daemon.incident(2)).told_by == "i1"
    assert len(await pages(daemon)) == 1


async def test_the_block_that_we_left_is_not_somebody_at_work(daemon: Daemon) -> None:
    await two_sick_monitors(daemon)
    assert daemon.world.hosts[MBX1].blocked
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    await pass_time(daemon, timedelta(hours=1))
    refused = await daemon.incident(3)
    assert refused.status is IncidentStatus.ESCALATED
    assert "somebody is working there" not in refused.reason
    assert "as incident i1 of ours left it" in refused.reason
    assert "`exmedic undo i1`" in refused.reason


async def test_of_another_server_nothing_ends_with_it(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    await daemon.drive()
    daemon.world.hosts[MBX2].sick, daemon.world.hosts[MBX2].cured_by = True, "restart"
    await daemon.alert(MBX2)
    await pass_time(daemon, timedelta(hours=1))
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED


async def test_a_latched_incident_that_was_healthy_and_is_unhealthy_again_is_a_new_one(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "reboot"
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "undo.resolved")
    daemon.world.befall("set_activation", *[Mishap.FAILED] * 100)
    first = await daemon.drive()
    assert (first.status, first.latched) == (IncidentStatus.ESCALATED, True), "healthy, and something is left changed"
    host.sick, host.blocked = True, False
    await pass_time(daemon, timedelta(hours=2))
    assert not (await daemon.incident(1)).latched
    again = await daemon.incident(2)
    assert again.key == first.key
    assert "the problem was gone" in (await daemon.audit("incident_opened"))[-1].entry.message


async def test_a_flood_about_what_is_healthy_does_not_disarm_what_follows(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, count = daemon.world.run, itertools.count()

    async def among_alerts(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "server_health":
            await daemon.alert(MBX1, key=f"once more {next(count)}")
            daemon.clock.advance(60)
        return await run(call, permit)

    await daemon.alert(MBX1)
    with monkeypatch.context() as patch:
        patch.setattr(daemon.world, "run", among_alerts)
        first = await daemon.drive()
    assert (first.status, first.latched, first.ends_others) == (IncidentStatus.ESCALATED, True, False)
    assert "alerts kept coming in" in first.reason
    daemon.world.hosts[MBX1].sick, daemon.world.hosts[MBX1].cured_by = True, "restart"
    await daemon.alert(MBX1)
    await pass_time(daemon, timedelta(hours=1))
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED
    assert effects(daemon) == ["restart"]


async def test_a_source_that_says_again_and_again_that_it_is_over_keeps_no_server_from_being_healed(
    daemon: Daemon,
) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    await daemon.alert(MBX1)
    began = daemon.clock.now()
    while (await daemon.incident()).status is IncidentStatus.OPEN:
        await daemon.alert(MBX1, closed=True, key=f"over {daemon.clock.now()} {len(daemon.world.calls)}")
        await daemon.turn()
    assert (await daemon.incident()).status is IncidentStatus.RESOLVED
    assert effects(daemon) == ["restart"]
    assert daemon.clock.now() - began < timedelta(minutes=30)


@pytest.mark.parametrize("monitor", ["", "PopDeepTestMonitor"])
async def test_what_stays_unhealthy_after_an_escalation_is_no_news(daemon: Daemon, monitor: str) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1, monitor)
    await daemon.drive()
    told, incidents = await pages(daemon), len(await daemon.store.incidents())
    await pass_time(daemon, timedelta(hours=20))
    assert await pages(daemon) == told
    assert len(await daemon.store.incidents()) == incidents


LIES = st.lists(
    st.sampled_from(["monitor", "health set", "owner", "owner of another", "flapping of another", "flapping"]),
    max_size=12,
)


@pytest.mark.parametrize("cured_by", ["restart", "reboot"])
@given(before=LIES, meanwhile=LIES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_that_a_publisher_invents_silences_a_servers_real_incident(
    tmp_path: Path, cured_by: str, before: list[str], meanwhile: list[str]
) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path)
    host = daemon.world.hosts[MBX1]
    for lie in before:
        await _lie(daemon, lie)
        await pass_time(daemon, timedelta(minutes=20))
    host.sick, host.cured_by = True, cured_by
    await daemon.alert(MBX1)
    for lie in meanwhile:
        await _lie(daemon, lie)
        await pass_time(daemon, timedelta(minutes=1))
    await pass_time(daemon, timedelta(hours=12))
    assert not host.sick, "the real one was not healed"


async def _lie(daemon: Daemon, lie: str) -> None:
    mallory: dict[str, Any] = {"owner": "CONTOSO\\mallory", "source_id": "m"} if "owner" in lie else {}
    if lie in ("monitor", "owner"):
        await daemon.alert(MBX1, "PopInventedMonitor", **mallory)
    elif lie == "health set":
        await daemon.alert(MBX1, "PopDeepTestMonitor", "POP.Invented")
    else:
        await daemon.alert(MBX1, "PopDeepTestMonitor" if lie == "flapping" else SELF, **mallory)


EVENTS = st.one_of(
    st.tuples(st.just("alert"), st.sampled_from(["PopDeepTestMonitor", SELF, ""])),
    st.tuples(st.just("sick"), st.sampled_from(["restart", "reboot", "", "", "well"])),
    st.tuples(st.just("time"), st.sampled_from([1, 10, 45, 90, 300])),
    st.tuples(st.just("close"), st.just("")),
    st.tuples(st.just("lost"), st.sampled_from(["restart_service", "set_activation", "reboot"])),
)


@given(events=st.lists(EVENTS, max_size=14))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_comes_an_outage_is_told_once_nobody_acts_in_it_and_in_the_end_nothing_is_latched(
    tmp_path: Path, events: list[tuple[str, Any]]
) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, budgets=Budgets(reboots_in_12_hours_server=10))
    host = daemon.world.hosts[MBX1]
    host.also = (SELF,)
    ill: list[tuple[str, Any]] = [("sick", ""), ("alert", "PopDeepTestMonitor"), ("time", 60)]
    for number, (what, how) in enumerate([*ill, *events]):
        if what == "alert":
            await daemon.alert(MBX1, how, key=f"alert {number}")
        elif what == "sick":
            host.sick, host.cured_by = how != "well", how
        elif what == "lost":
            daemon.world.befall(how, Mishap.VANISHED)
        elif what == "close":
            for each in await store.on_server(MBX1):
                await daemon.operators.carry_out("ada", {"command": "close", "incident": each.id})
        else:
            await told_once_and_untouched(daemon, timedelta(minutes=how))
    host.sick, host.blocked = False, False
    await pass_time(daemon, timedelta(hours=12))
    for each in await store.incidents(limit=1000):
        assert each.status is not IncidentStatus.OPEN
        assert not each.latched, each
    assert (await store.ledger()).imbalance == ""


async def told_once_and_untouched(daemon: Daemon, span: timedelta) -> None:
    """Some time, turn by turn: in an outage nothing is done to the server, and nobody else is told."""
    until = daemon.clock.now() + span
    while (due := await daemon.store.next_due()) is not None and due <= until:
        now = max(due, daemon.clock.now())
        first = outage_of(await daemon.store.on_server(MBX1), now, timedelta(hours=8))
        done, told = effects(daemon), await pages(daemon)
        await daemon.turn()
        while await daemon.deferral.take_up():
            pass
        if first is not None:
            assert effects(daemon) == done, f"acted although {first.id} has escalated"
            assert await pages(daemon) == told, f"told although {first.id} has told"
    daemon.clock.advance(max(0.0, (until - daemon.clock.now()).total_seconds()))
