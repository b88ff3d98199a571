"""Alerts that come in at a bad moment: while an incident is being closed, at each look of a verification."""

from datetime import timedelta
from typing import Any

import pytest

from daemon.alerts import routing
from daemon.domain.alerts import AlertStatus
from daemon.domain.commits import Channel, Commit
from daemon.domain.errors import Conflict, OperatorError
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.ports import Call, Permit, Reply
from statemachines.actions import ACTIONS
from tests.remediation.runner.test_lost_answers import sick
from tests.remediation.world import MBX1, MBX2, MBX3, Daemon


async def close(daemon: Daemon) -> None:
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})


async def pending(daemon: Daemon) -> int:
    return len(await daemon.store.pending_alerts(100))


async def test_an_alert_that_comes_while_an_incident_is_being_closed_opens_one_of_its_own_afterwards(
    daemon: Daemon,
) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    await close(daemon)
    await daemon.alert(MBX1, key="it hurts again")
    assert await pending(daemon) == 1
    assert len(await daemon.store.alerts_of("i1")) == 1
    assert (await daemon.drive()).status is IncidentStatus.CANCELLED
    assert not daemon.world.hosts[MBX1].blocked
    assert await daemon.dispatch.route_pending() == 1
    assert (await daemon.incident(2)).status is IncidentStatus.OPEN
    (alert,) = await daemon.store.alerts_of("i2")
    assert (alert.status, await pending(daemon)) == (AlertStatus.JOINED, 0)
    assert (await daemon.store.ledger()).imbalance == ""


async def test_an_alert_that_comes_while_a_closed_incident_puts_back_what_it_left_is_not_lost(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.hosts[MBX1].cured_by = ""
    await daemon.drive()
    await close(daemon)
    await daemon.operators.carry_out("ada", {"command": "undo", "incident": "i1"})
    await daemon.alert(MBX1, key="it hurts again")
    assert await pending(daemon) == 1
    while (await daemon.incident()).undo_by:
        await daemon.turn()
    assert await daemon.dispatch.route_pending() == 1
    assert (await daemon.incident(2)).status is IncidentStatus.OPEN


async def test_alerts_that_wait_do_not_hide_the_others(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BATCH", 2)
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    await close(daemon)
    for number in range(4):
        await daemon.alert(MBX1, key=f"again {number}")
    for server in (MBX2, MBX3):
        await daemon.alert(server)
    for _ in range(4):
        await daemon.dispatch.route_pending()
    assert await pending(daemon) == 4
    assert {(await daemon.incident(number)).server for number in (2, 3)} == {MBX2, MBX3}
    assert await daemon.dispatch.route_pending() == 0, "or the loop would never rest"


async def test_alerts_that_join_at_each_look_do_not_extend_a_verification_beyond_its_deadline(daemon: Daemon) -> None:
    run = daemon.world.run
    count = 0

    async def run_among_alerts(call: Call, permit: Permit | None = None) -> Reply:
        nonlocal count
        if call.script == "server_health":
            count += 1
            await daemon.alert(MBX1, key=f"once more {count}")
            daemon.clock.advance(60)
        return await run(call, permit)

    await daemon.alert(MBX1)
    daemon.world.run = run_among_alerts  # type: ignore[method-assign]  # the test stands in between
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("verify: unknown: alerts kept coming in while it was asked")
    assert incident.ended_at is not None
    assert incident.ended_at - incident.opened_at < ACTIONS["verify"].deadline + timedelta(minutes=5)


async def test_an_order_to_close_an_open_incident_is_on_record_with_who_gave_it(daemon: Daemon) -> None:
    await sick(daemon)
    await close(daemon)
    (row,) = [row for row in await daemon.audit("decision") if row.entry.fields.get("user")]
    assert (row.entry.message, row.entry.fields["user"]) == ("ada orders to close it", "ada")
    assert (await daemon.drive()).status is IncidentStatus.CANCELLED


@pytest.mark.parametrize("command", ["close", "undo"])
async def test_an_order_about_an_incident_that_never_rests_is_given_up_with_an_error(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    await sick(daemon)
    daemon.world.hosts[MBX1].cured_by = ""
    await daemon.drive()

    async def moved_on(_commit: Commit) -> Incident | None:
        raise Conflict("the incident has moved on")

    monkeypatch.setattr(daemon.store, "commit", moved_on)
    with pytest.raises(OperatorError, match="changes all the time"):
        await daemon.operators.carry_out("ada", {"command": command, "incident": "i1"})
    await daemon.alert(MBX2)
    assert await pending(daemon) == 1, "it is routed at the next look"


async def notices(daemon: Daemon) -> list[tuple[str, str, int, tuple[str, ...]]]:
    return [(each.kind.value, each.about, each.count, each.items) for each in await daemon.store.notices()]


async def test_what_no_runbook_handles_opens_nothing_and_is_told_with_a_list_for_each_server(daemon: Daemon) -> None:
    for number, monitor in enumerate(("OwaCtpMonitor", "EcpMonitor", "OwaCtpMonitor")):
        await daemon.alert(MBX1, monitor, "OWA", key=f"{number}")
    await daemon.alert(MBX2, "", "OWA")
    assert await daemon.store.incidents() == []
    assert await notices(daemon) == [
        ("unhandled", MBX1, 3, ("OwaCtpMonitor (OWA)", "EcpMonitor (OWA)")),
        ("unhandled", MBX2, 1, ("the health set OWA, without a monitor",)),
    ]
    (first, *_) = await daemon.store.alerts(AlertStatus.SUPPRESSED)
    assert "no runbook handles" in first.reason
    assert (await daemon.store.ledger()).imbalance == ""


async def test_what_names_two_servers_opens_nothing_and_is_told(daemon: Daemon) -> None:
    await daemon.alert(MBX1, names=(MBX1, MBX2))
    assert await daemon.store.incidents() == []
    ((kind, about, count, (item,)),) = await notices(daemon)
    assert (kind, about, count) == ("unclear", f"{MBX1}, {MBX2}", 1)
    assert item.startswith("PopDeepTestMonitor: it names more than one server")


@pytest.mark.parametrize("said", [{"closed": True}, {"suppress": "never remediated"}])
async def test_what_needs_nobody_is_told_nobody(daemon: Daemon, said: dict[str, Any]) -> None:
    await daemon.alert(MBX1, "OwaCtpMonitor", "OWA", **said)
    await daemon.alert("stranger.contoso.lab", key="a stranger")
    assert await notices(daemon) == []


TAKEN: list[dict[str, Any]] = [
    {"resolution_state": 248, "state": "248"},
    {"owner": "CONTOSO\\ada"},
    {"in_maintenance": True},
    {"state": "With the vendor"},
]


async def told(daemon: Daemon) -> int:
    return len(await daemon.store.outbox(Channel.NOTIFY, 100))


@pytest.mark.parametrize("said", TAKEN)
async def test_an_incident_of_what_somebody_has_only_looks_and_is_told_once(
    daemon: Daemon, said: dict[str, Any]
) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1, **said)
    incident = await daemon.drive()
    assert (incident.status, incident.latched, daemon.world.effects) == (IncidentStatus.ESCALATED, False, [])
    for number in range(3):
        await daemon.alert(MBX1, key=f"repeat count {number}", **said)
    assert len(await daemon.store.incidents()) == 1
    assert (await told(daemon), await pending(daemon)) == (1, 0)
    (alert, *_) = await daemon.store.alerts(AlertStatus.SUPPRESSED)
    assert alert.reason.endswith("incident i1 has told of it")
    await daemon.alert(MBX1, key="another one", source_id="2", **said)
    assert len(await daemon.store.incidents()) == 2, "it is another alert of the source"


async def test_a_state_back_at_new_without_an_owner_is_a_new_alert_and_is_healed(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    await daemon.alert(MBX1, owner="ada")
    await daemon.turn()
    await daemon.alert(MBX1, key="back at New while it looks")
    assert await pending(daemon) == 1, "joined to the one that only looks, it would be lost"
    await daemon.drive()
    assert await daemon.dispatch.route_pending() == 1
    while (await daemon.incident(2)).status is IncidentStatus.OPEN:
        await daemon.turn()
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED
    assert daemon.world.effects == [("restart", MBX1)]


async def test_a_ladder_under_way_stops_when_somebody_takes_its_alert(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    before = list(daemon.world.effects)
    await daemon.alert(MBX1, key="somebody takes it", owner="ada")
    incident = await daemon.drive()
    assert (incident.status, incident.latched, daemon.world.effects) == (IncidentStatus.ESCALATED, False, before)
    assert daemon.world.hosts[MBX1].blocked
    (row,) = [row for row in await daemon.audit("decision") if row.entry.fields.get("taken")]
    assert row.entry.message.startswith("it only looks from now on")
    assert await told(daemon) == 1


async def test_the_latest_of_alerts_that_come_together_says_whether_somebody_has_it(daemon: Daemon) -> None:
    await sick(daemon)
    for owners, taken in ((("ada", ""), False), (("", "ada"), True)):
        for owner in owners:
            await daemon.alert(MBX1, key=f"{owners} {owner}", owner=owner, routed=False)
        await daemon.dispatch.route_pending()
        assert ((await daemon.incident()).taken is not None) is taken


async def test_an_incident_with_humans_stays_with_them_whoever_has_its_alert(daemon: Daemon) -> None:
    await sick(daemon)
    daemon.world.hosts[MBX1].cured_by = ""
    assert (await daemon.drive()).latched
    await daemon.alert(MBX1, key="somebody takes it", owner="ada")
    incident = await daemon.incident()
    assert (incident.latched, incident.taken) == (True, None)


async def test_what_somebody_has_is_not_healed_because_another_incident_finds_it_sick(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.also = True, ("PopSelfTestMonitor",)
    await daemon.alert(MBX1, owner="ada")
    await daemon.drive()
    await daemon.alert(MBX1, "PopSelfTestMonitor")
    while (await daemon.incident(2)).status is IncidentStatus.OPEN:
        await daemon.turn()
    assert [each.id for each in await daemon.store.incidents()] == ["i2", "i1"]


async def test_a_health_set_that_somebody_has_is_looked_at_and_its_monitors_are_not_healed(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1, "", owner="ada")
    incident = await daemon.drive()
    assert (incident.status, incident.runbook, incident.latched) == (IncidentStatus.ESCALATED, "pop-triage", False)
    assert "unhealthy: PopDeepTestMonitor" in incident.reason
    assert [each.id for each in await daemon.store.incidents()] == ["i1"]


async def test_one_that_waits_for_the_incidents_of_others_waits_no_longer_once_somebody_has_it(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1, "")
    await daemon.drive(lambda incident: incident.state == "each" and "waits for" in incident.waiting_for)
    await daemon.alert(MBX1, "", key="somebody takes it", owner="ada")
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    assert (await daemon.incident(2)).taken is None, "that monitor's own alert is nobody's"
