"""What was set aside is verified later: nothing is lost, nobody is disturbed without reason, and nothing runs twice."""

from dataclasses import replace
from datetime import timedelta

from daemon.domain.commits import AlertChanges, Aside, Commit, Deferred
from daemon.domain.errors import Conflict
from daemon.domain.incidents import IncidentStatus, Key
from daemon.domain.kept import Taken
from daemon.domain.notices import NoticeKind
from tests.remediation.runner.test_lost_answers import sick
from tests.remediation.world import MBX1, Daemon

HOUR = timedelta(hours=1)


async def set_aside(daemon: Daemon, server: str = MBX1, monitor: str = "PopDeepTestMonitor") -> Deferred:
    now = daemon.clock.now()
    deferred = Deferred(
        key=Key.of(server, "POP.Protocol", monitor),
        health_set="POP.Protocol",
        monitor=monitor,
        why=Aside.MAINTENANCE,
        reason="maintenance patching",
        since=now,
        not_before=now + HOUR,
    )
    await daemon.store.commit(Commit(at=now, alerts=AlertChanges(defer=(deferred,))))
    return deferred


async def test_what_somebody_had_when_it_was_set_aside_is_only_looked_at(daemon: Daemon) -> None:
    deferred = await set_aside(daemon)
    ada = Taken("ada is its owner", "1")
    await daemon.store.commit(Commit(at=daemon.clock.now(), alerts=AlertChanges(defer=(replace(deferred, taken=ada),))))
    daemon.world.hosts[MBX1].sick = True
    daemon.clock.advance(3600)
    await daemon.deferral.take_up()
    incident = await daemon.drive()
    assert (incident.status, incident.taken, daemon.world.effects) == (IncidentStatus.ESCALATED, ada, [])


async def waiting(daemon: Daemon) -> int:
    return len(await daemon.store.deferred(daemon.clock.now() + timedelta(days=365), 100))


async def test_nothing_happens_before_its_time_and_then_an_incident_verifies_it(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick, daemon.world.hosts[MBX1].cured_by = True, "restart"
    await set_aside(daemon)
    assert await daemon.deferral.take_up() == 0
    assert await daemon.store.incidents() == []
    daemon.clock.advance(3600)
    assert await daemon.deferral.take_up() == 1
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert [step.action for step in await daemon.steps()][:2] == ["verify", "restart_service"]
    (opened,) = await daemon.audit("incident_opened")
    assert opened.entry.message.endswith("UTC: maintenance patching")
    assert (await daemon.deferral.take_up(), await waiting(daemon)) == (0, 0)
    assert (await daemon.store.ledger()).imbalance == ""


async def test_what_is_healthy_by_then_is_resolved_without_a_page_or_an_effect(daemon: Daemon) -> None:
    await set_aside(daemon)
    daemon.clock.advance(3600)
    await daemon.deferral.take_up()
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.world.effects == []
    assert await daemon.audit("escalated") == []


async def test_an_open_incident_takes_it_over_and_looks_again_before_it_ends(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reprobe")
    await set_aside(daemon)
    daemon.clock.advance(3600)
    before = await daemon.incident()
    assert await daemon.deferral.take_up() == 1
    after = await daemon.incident()
    assert (after.version, after.state) == (before.version + 1, "reprobe")
    assert len(await daemon.store.incidents()) == 1
    assert await waiting(daemon) == 0


async def test_one_that_is_being_closed_does_not_swallow_it(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.moved")
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    await set_aside(daemon)
    daemon.clock.advance(3600)
    await daemon.deferral.take_up()
    assert (await waiting(daemon), len(await daemon.store.incidents())) == (1, 1)
    assert await daemon.deferral.take_up() == 0, "or the loop would never rest"
    assert (await daemon.drive()).status is IncidentStatus.CANCELLED
    daemon.clock.advance(60)
    await daemon.deferral.take_up()
    assert (await daemon.incident(2)).status is IncidentStatus.OPEN


async def test_an_alert_that_opens_the_incident_first_is_joined(daemon: Daemon) -> None:
    await set_aside(daemon)
    daemon.clock.advance(3600)
    commit, raced = daemon.store.commit, False

    async def behind_an_alert(work: Commit) -> object:
        nonlocal raced
        if work.alerts.undefer and not raced:
            raced = True
            await daemon.alert(MBX1)
        return await commit(work)

    daemon.store.commit = behind_an_alert  # type: ignore[method-assign, assignment]  # the test stands in between
    await daemon.deferral.take_up()
    (incident,) = await daemon.store.incidents()
    assert incident.version == 2
    assert await waiting(daemon) == 0


async def test_one_that_always_conflicts_is_tried_again_at_the_next_look(daemon: Daemon) -> None:
    await set_aside(daemon)
    daemon.clock.advance(3600)
    commit = daemon.store.commit

    async def busy(_work: Commit) -> object:
        raise Conflict("somebody else")

    daemon.store.commit = busy  # type: ignore[method-assign, assignment]  # the test stands in between
    assert await daemon.deferral.take_up() == 0
    daemon.store.commit = commit  # type: ignore[method-assign]  # the test stands in between
    assert await daemon.deferral.take_up() == 1


async def test_a_server_that_left_the_inventory_is_not_contacted_and_that_is_on_record(daemon: Daemon) -> None:
    await set_aside(daemon, "gone1.contoso.lab")
    daemon.clock.advance(3600)
    await daemon.deferral.take_up()
    assert (await waiting(daemon), await daemon.store.incidents(), daemon.world.calls) == (0, [], [])
    (row,) = await daemon.audit("decision")
    assert row.entry.message == "not verified after all: gone1.contoso.lab is no longer in the inventory"


async def test_one_that_no_runbook_handles_reaches_a_human(daemon: Daemon) -> None:
    await set_aside(daemon, monitor="OwaDeepTestMonitor")
    daemon.clock.advance(3600)
    await daemon.deferral.take_up()
    assert await daemon.store.incidents() == []
    (notice,) = await daemon.store.notices()
    assert (notice.kind, notice.about, notice.items) == (
        NoticeKind.UNHANDLED,
        MBX1,
        ("OwaDeepTestMonitor (POP.Protocol)",),
    )
