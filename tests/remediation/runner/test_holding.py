"""Modes, the kill switch, claims, and everything else that makes a ladder wait."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from daemon.domain.commits import Channel, Commit, Progress
from daemon.domain.incidents import IncidentStatus
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import MBX1, MBX2, Daemon, Mishap, World, inventory


async def test_mode_observe_says_what_it_would_do_and_touches_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, inventory(mbx1=()))
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    incident = await daemon.drive(turns=1000)
    assert incident.status is IncidentStatus.ESCALATED
    assert "mode observe: would restart the Windows service MSExchangePOP3BE" in incident.reason
    assert incident.ended_at is not None
    assert timedelta(hours=24) <= incident.ended_at - incident.opened_at < timedelta(hours=26)
    assert daemon.world.effects == []
    assert all(call.read_only for call in daemon.world.calls)
    await store.close()


async def test_mode_observe_ends_as_soon_as_the_monitor_is_healthy(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, inventory(mbx1=()))
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "restart.recheck")
    daemon.world.hosts[MBX1].sick = False
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert daemon.world.effects == []
    await store.close()


async def test_nothing_is_sent_while_paused_and_the_ladder_verifies_afresh_when_it_goes_on(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    daemon.pause.pause("by ada: change window")
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "restart.recheck")
    assert (await daemon.incident()).waiting_for == "paused: by ada: change window"
    daemon.pause.resume()
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    states = [step.state for step in await daemon.steps()]
    assert states == ["verify", "restart.recheck", "restart", "reprobe"]


async def test_a_pause_that_comes_between_intent_and_send_withholds_the_effect(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    commit = daemon.store.commit

    async def commit_then_pause(unit: Commit) -> object:
        committed = await commit(unit)
        if unit.progress.claim:
            daemon.pause.pause("by ada: now")
            daemon.store.commit = commit  # type: ignore[method-assign]  # the test stands in between
        return committed

    daemon.store.commit = commit_then_pause  # type: ignore[method-assign, assignment]  # the test stands in between
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "restart.recheck")
    assert daemon.world.effects == []
    assert (await daemon.steps())[1].detail == "paused before it was sent"
    daemon.pause.resume()
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED


async def test_a_pause_that_outlasts_the_deadline_of_an_undo_escalates_with_what_is_left(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "reboot"
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "undo.resolved")
    daemon.pause.pause("by ada")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert host.blocked
    (page,) = await daemon.store.outbox(Channel.NOTIFY, 10)
    assert f"Left changed: activation on {MBX1}" in str(page.message.body["text"])


async def test_two_servers_of_a_dag_are_never_moved_or_rebooted_at_the_same_time(daemon: Daemon) -> None:
    for name in (MBX1, MBX2):
        host = daemon.world.hosts[name]
        host.sick, host.cured_by = True, "reboot"
    await daemon.alert(MBX1)
    await daemon.alert(MBX2)
    both_blocked = False
    while {(await daemon.incident(1)).status, (await daemon.incident(2)).status} & {IncidentStatus.OPEN}:
        await daemon.turn()
        both_blocked |= daemon.world.hosts[MBX1].blocked and daemon.world.hosts[MBX2].blocked
    assert not both_blocked
    assert (await daemon.incident(1)).status is IncidentStatus.RESOLVED
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED
    assert daemon.world.effects.count(("reboot", MBX1)) == 1
    assert daemon.world.effects.count(("reboot", MBX2)) == 1


async def test_a_second_incident_on_a_claimed_server_waits_holding_nothing(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, ""
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "reprobe")
    host.also = ("PopSelfTestMonitor",)
    await daemon.alert(MBX1, "PopSelfTestMonitor")
    while "claimed" not in (await daemon.incident(2)).waiting_for:
        await daemon.turn()
    assert await daemon.store.claim_holder(MBX1) == "i1"
    assert "mbx1.contoso.lab is claimed by incident i1" in (await daemon.incident(2)).waiting_for


async def test_a_closed_alert_makes_a_waiting_ladder_verify_and_is_not_trusted(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick = True
    daemon.pause.pause("by ada")
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "restart.recheck")
    began = daemon.clock.now()
    await daemon.alert(MBX1, closed=True)
    await daemon.turn()
    assert daemon.clock.now() == began, "verified at once"
    incident = await daemon.incident()
    assert incident.status is IncidentStatus.OPEN, "the server still says otherwise"


async def test_an_operator_can_close_an_incident_and_what_it_changed_is_put_back(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, ""
    await daemon.alert(MBX1)
    incident = await daemon.drive(lambda incident: incident.state == "reboot.moved")
    await daemon.store.commit(
        Commit(at=daemon.clock.now(), progress=Progress(incident=replace(incident, close_by="ada")))
    )
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.CANCELLED
    assert "closed by ada" in incident.reason
    assert not host.blocked
    assert ("reboot", MBX1) not in daemon.world.effects


async def test_a_verification_that_began_before_an_alert_does_not_end_the_incident(daemon: Daemon) -> None:
    await daemon.alert(MBX1)
    run = daemon.world.run
    joined = asyncio.Event()

    async def alert_during_the_probe(*args: object) -> object:
        reply = await run(*args)  # type: ignore[arg-type]  # handed through as it came
        if not joined.is_set():
            joined.set()
            daemon.world.hosts[MBX1].sick = True
            daemon.world.hosts[MBX1].cured_by = "restart"
            await daemon.alert(MBX1, key="another")
        return reply

    daemon.world.run = alert_during_the_probe  # type: ignore[method-assign, assignment]  # the test stands in between
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert daemon.world.effects == [("restart", MBX1)]


async def test_each_kind_of_hold_has_its_own_time(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, "restart"
    daemon.pause.pause("by ada: change window")
    await daemon.alert(MBX1)
    began = daemon.clock.now()
    while daemon.clock.now() - began < timedelta(hours=1):
        await daemon.turn()
    daemon.pause.resume()
    daemon.world.befall("server_state", Mishap.UNREACHABLE, Mishap.UNREACHABLE)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.world.effects == [("restart", MBX1)]


async def test_holds_that_take_turns_do_not_wait_for_ever(daemon: Daemon) -> None:
    host = daemon.world.hosts[MBX1]
    host.sick = True
    await daemon.alert(MBX1)
    paused = False
    while (await daemon.incident()).status is IncidentStatus.OPEN:
        paused = not paused
        if paused:
            daemon.pause.pause("by ada")
        else:
            daemon.pause.resume()
            daemon.world.befall("server_state", *[Mishap.UNREACHABLE] * 3)
        await daemon.turn()
        assert daemon.clock.now() - (await daemon.incident()).opened_at < timedelta(hours=10)
    assert daemon.world.effects == []


async def test_a_second_move_within_the_hour_is_refused_with_the_figure_and_escalates(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path)
    mbx1 = daemon.world.hosts[MBX1]
    for number, status in ((1, IncidentStatus.RESOLVED), (2, IncidentStatus.ESCALATED)):
        mbx1.sick, mbx1.cured_by = True, "reboot"
        await daemon.alert(MBX1)
        while (incident := await daemon.incident(number)).status is IncidentStatus.OPEN:
            assert await daemon.turn()
        assert incident.status is status, incident.reason
    assert "the budget is spent: 1 of 1 moves away from mbx1.contoso.lab in an hour" in incident.reason
    done = [effect for effect, _ in daemon.world.effects]
    assert done == ["restart", "stop_activation", "reboot", "allow_activation", "restart"]
    await store.close()
