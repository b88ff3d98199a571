"""Storms: one incident and a few rows for many alerts of one monitor, a cap on incidents, and nothing forgotten."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.alerts.deferral import Deferral
from daemon.alerts.routing import Dispatch
from daemon.config.guardrails import Storms
from daemon.domain.alerts import Alert, AlertStatus, Received, Source
from daemon.domain.commits import Channel
from daemon.domain.incidents import Key
from daemon.domain.store import Store
from daemon.remediation.incidents.ladders import Ladders
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.model import Handled
from tests.remediation.world import ALONE, CAS1, DAG, MBX1, MBX2, Daemon, Opens, World, inventory

FEW = Storms(fleet=3, site=3, dag=2)
MINUTE = timedelta(minutes=1)
_numbers = count()
_HANDLES = [
    Handled(health_set="POP.Protocol", monitor=name)
    for name in ("PopDeepTestMonitor", "Another", "Third", "Fourth", *(f"Monitor{number}" for number in range(8)))
]
RUNBOOKS = tuple(
    each.model_copy(update={"handles": _HANDLES})
    for each in load_runbooks(shipped_directory())
    if each.runbook == "pop-mailbox"
)


def received(server: str, monitor: str, *, closed: bool = False) -> Received:
    number = next(_numbers)
    alert = Alert(
        source=Source.NATIVE,
        source_id=str(number),
        server=server,
        health_set="POP.Protocol",
        monitor=monitor,
        raised_at=None,
        closed=closed,
        summary="it hurts",
    )
    return Received(
        topic="alerts/exmedic/x",
        payload=b"{}",
        size=2,
        dedup_key=f"storm {number}",
        received_at=ManualClock().now(),
        alert=alert,
    )


async def come_in(daemon: Daemon, *alerts: Received) -> None:
    await daemon.store.ingest(alerts)
    while await daemon.dispatch.route_pending():
        pass


def several(server: str, number: int) -> list[Received]:
    return [received(server, f"Monitor{each}") for each in range(number)]


async def pages(daemon: Daemon) -> int:
    rows = await daemon.store.outbox(Channel.NOTIFY, 1000)
    return [row.message.topic for row in rows].count("exmedic: a storm of alerts")


async def waiting(store: Store) -> int:
    return len(await store.deferred(ManualClock().now() + timedelta(days=365), 1000))


async def test_a_thousand_alerts_of_one_monitor_are_one_incident_a_few_rows_and_a_few_commits(daemon: Daemon) -> None:
    await come_in(daemon, *(received(MBX1, "PopDeepTestMonitor") for _ in range(1000)))
    (incident,) = await daemon.store.incidents()
    assert len(await daemon.store.alerts_of(incident.id)) == 1000
    numbers = [row.entry.fields["joined"] for row in await daemon.audit("alert_joined")]
    assert numbers == [*range(1, 11), 100]
    assert incident.version <= 10, "joins of one look are one commit"
    assert len(await daemon.store.outbox(Channel.BUS, 100)) == 2, "it was opened; joins are not news"
    assert (await daemon.store.ledger()).imbalance == ""


async def test_the_count_of_joins_goes_on_from_one_look_to_the_next_and_over_a_restart(
    daemon: Daemon, tmp_path: Path
) -> None:
    await come_in(daemon, *(received(MBX1, "PopDeepTestMonitor") for _ in range(60)))
    again = Daemon(daemon.world, daemon.store, tmp_path)
    await come_in(again, *(received(MBX1, "PopDeepTestMonitor") for _ in range(60)))
    rows = await daemon.audit("alert_joined")
    assert [row.entry.fields["joined"] for row in rows] == [*range(1, 11), 100]
    assert rows[-1].entry.message.endswith("(number 100)")


async def test_among_many_the_alert_that_says_it_is_over_is_on_record_and_lets_the_incident_look_again(
    daemon: Daemon,
) -> None:
    await come_in(daemon, *(received(MBX1, "PopDeepTestMonitor") for _ in range(31)))
    among = [received(MBX1, "PopDeepTestMonitor", closed=number == 2) for number in range(5)]
    await come_in(daemon, *among)
    assert (await daemon.incident()).verify_requested
    assert [row.entry.fields["joined"] for row in await daemon.audit("alert_joined")][10:] == [33]


async def test_beyond_the_cap_nothing_is_opened_one_page_tells_of_it_and_all_is_verified_later(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, storms=FEW, runbooks=RUNBOOKS)
    await come_in(daemon, *several(ALONE, 7))
    assert (len(await store.incidents()), await waiting(store), await pages(daemon)) == (3, 4, 1)
    suppressed = await daemon.audit("alert_suppressed")
    assert suppressed[0].entry.message.endswith(
        "suppressed: the cap of 3 incidents a minute in the fleet is reached: this would be number 4"
    )
    again = Daemon(daemon.world, store, tmp_path, storms=FEW, runbooks=RUNBOOKS)
    await come_in(again, *several(ALONE, 7), received(CAS1, "Another"))
    assert (await waiting(store), await pages(daemon)) == (5, 1), "a restart does not repeat the page"
    ledger = await store.ledger()
    assert (ledger.alerts["joined"], ledger.alerts["suppressed"], ledger.imbalance) == (6, 9, "")
    for _ in range(30):
        daemon.clock.advance(60)
        while await daemon.deferral.take_up():
            pass
    assert (len(await store.incidents()), await waiting(store)) == (8, 0)
    assert await pages(daemon) == 1
    await store.close()


async def test_a_dag_has_a_ceiling_of_its_own_and_other_servers_have_room(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, storms=FEW, runbooks=RUNBOOKS)
    await come_in(daemon, *several(MBX1, 2), received(MBX2, "Third"), received(ALONE, "Fourth"))
    assert {incident.server for incident in await store.incidents()} == {MBX1, ALONE}
    (deferred,) = await store.deferred(daemon.clock.now() + MINUTE * 10, 10)
    assert deferred.reason == "the cap of 2 incidents a minute in DAG1 is reached: this would be number 3"
    await store.close()


async def test_an_incident_that_an_alert_opens_takes_up_what_was_set_aside_before(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, storms=FEW, runbooks=RUNBOOKS)
    await come_in(daemon, *several(ALONE, 4))
    daemon.clock.advance(61)
    await come_in(daemon, received(ALONE, "Monitor3"))
    assert (len(await store.incidents()), await waiting(store)) == (4, 0)
    await store.close()


_alerts = st.lists(st.tuples(st.sampled_from([*DAG, ALONE, CAS1]), st.integers(1, 5)), min_size=1, max_size=10)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 100), _alerts, st.booleans()), min_size=1, max_size=6))
def test_no_schedule_opens_more_than_the_cap_a_minute_in_any_scope_and_no_key_is_forgotten(
    schedule: Sequence[tuple[int, list[tuple[str, int]], bool]],
) -> None:
    asyncio.run(_held(schedule))


async def _held(schedule: Sequence[tuple[int, list[tuple[str, int]], bool]]) -> None:
    store, clock, ids = MemoryStore(), ManualClock(), count(1)
    await store.open()

    def opens(loop: type[Opens]) -> Opens:
        return loop(
            store=store,
            clock=clock,
            inventory=inventory(),
            ladders=Ladders(RUNBOOKS, store),
            new_id=lambda: f"i{next(ids)}",
            prefix="exmedic",
            windows=(),
            storms=FEW,
            committed=lambda: None,
        )

    keys: set[Key] = set()
    dispatch, deferral = opens(Dispatch), opens(Deferral)
    for seconds, alerts, restarted in schedule:
        clock.advance(seconds)
        if restarted:
            dispatch, deferral = opens(Dispatch), opens(Deferral)
        await store.ingest([received(server, f"Monitor{number}") for server, number in alerts])
        keys.update(Key.of(server, "POP.Protocol", f"Monitor{number}") for server, number in alerts)
        while await dispatch.route_pending() + await deferral.take_up():
            pass
    for _ in range(120):
        clock.advance(60)
        while await deferral.take_up():
            pass
    incidents = await store.incidents()
    assert {incident.key for incident in incidents} == keys
    assert (await waiting(store), (await store.ledger()).imbalance) == (0, "")
    for last in incidents:
        minute = [each for each in incidents if last.opened_at - MINUTE < each.opened_at <= last.opened_at]
        assert len(minute) <= FEW.fleet
        assert sum(each.server in DAG for each in minute) <= FEW.dag
    stored = [alert for incident in incidents for alert in await store.alerts_of(incident.id)]
    assert all(alert.status is AlertStatus.JOINED for alert in stored)
    await store.close()
