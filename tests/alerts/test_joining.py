"""Alerts that come in at a bad moment: while an incident is being closed, at each look of a verification."""

from datetime import timedelta

import pytest

from daemon.alerts import routing
from daemon.domain.alerts import AlertStatus
from daemon.domain.commits import Commit
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
