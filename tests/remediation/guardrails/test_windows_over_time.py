"""Windows around ladders: what they hold, for how long, and what becomes of alerts meanwhile."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain.alerts import AlertStatus
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus, StepStatus
from daemon.domain.values import moment
from daemon.domain.windows import Span, Window, WindowKind, holding
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.runner.test_lost_answers import sick
from tests.remediation.world import MBX1, MBX2, Daemon, World

HOUR = timedelta(hours=1)
Make = Callable[..., Daemon]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a daemon whose configuration has one window, from now on."""
    store = MemoryStore()
    await store.open()
    clock = ManualClock()

    def made(kind: WindowKind, hours: float, after: float = 0.0) -> Daemon:
        begins = clock.now() + after * HOUR
        window = Window(kind=kind, name="year-end", when=Span(begins, begins + hours * HOUR), servers=("mbx1",))
        return Daemon(World(clock), store, tmp_path, windows=(window,))

    yield made
    await store.close()


async def order(daemon: Daemon, command: str, **request: object) -> None:
    await daemon.operators.carry_out("ada", {"command": command, "name": "patching", **request})


async def maintain(daemon: Daemon, hours: float = 2.0) -> None:
    await order(daemon, "add_window", kind="maintenance", hours=hours, servers=["mbx1"])


def in_state(name: str) -> Callable[[Incident], bool]:
    return lambda incident: incident.state == name and bool(incident.waiting_for)


async def later(daemon: Daemon, hours: float) -> None:
    """Take turns until so much time has passed."""
    until = daemon.clock.now() + hours * HOUR
    while (due := await daemon.store.next_due()) is not None and due <= until:
        await daemon.turn()
    daemon.clock.advance((until - daemon.clock.now()).total_seconds())


# Ladders


async def test_a_freeze_lets_a_service_be_restarted_and_holds_the_move_until_its_end_to_the_second(make: Make) -> None:
    daemon = make(WindowKind.FREEZE, 30)
    began = daemon.clock.now()
    await sick(daemon)
    held = await daemon.drive(in_state("reboot.move"))
    assert daemon.world.effects == [("restart", MBX1)]
    end = f"{began + 30 * HOUR:%Y-%m-%d %H:%M}"
    assert held.waiting_for == f"freeze year-end until {end} UTC: nothing but a restart is done"
    assert await daemon.store.claim_holder(MBX1) is None
    incident = await daemon.drive(turns=1000)
    assert incident.status is IncidentStatus.RESOLVED
    (move,) = [step for step in await daemon.steps() if step.action == "stop_activation"]
    assert timedelta(0) <= move.started_at - (began + 30 * HOUR) < timedelta(minutes=10)


async def test_while_it_is_held_it_is_verified_about_once_an_hour_and_resolved_when_it_heals_by_itself(
    make: Make,
) -> None:
    daemon = make(WindowKind.FREEZE, 300)
    await sick(daemon)
    await daemon.drive(in_state("reboot.move"))
    before = len(await daemon.steps())
    await later(daemon, 10)
    looks = (await daemon.steps())[before:]
    assert {step.action for step in looks} == {"verify"}
    assert 8 <= len(looks) <= 10
    daemon.world.hosts[MBX1].sick = False
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.world.effects == [("restart", MBX1)]


async def test_the_time_of_a_window_does_not_count_and_what_waited_before_it_does(make: Make) -> None:
    daemon = make(WindowKind.FREEZE, 48, after=6)
    daemon.world.hosts[MBX1].sick = True
    daemon.pause.pause("by ada: something else")
    await daemon.alert(MBX1)
    daemon.clock.advance(1)
    began = (await daemon.drive(in_state("restart.recheck"))).waiting_since
    assert began is not None
    incident = await daemon.drive(turns=2000)
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.ended_at is not None
    assert timedelta(0) <= incident.ended_at - began - 8 * HOUR < HOUR, "a restart may begin in a freeze"
    assert "paused: by ada" in incident.reason


async def test_a_pause_and_a_maintenance_in_it_escalate_when_the_pause_alone_has_lasted_too_long(make: Make) -> None:
    daemon = make(WindowKind.MAINTENANCE, 48, after=6)
    daemon.world.hosts[MBX1].sick = True
    daemon.pause.pause("by ada: something else")
    await daemon.alert(MBX1)
    began = (await daemon.drive(in_state("restart.recheck"))).waiting_since
    assert began is not None
    incident = await daemon.drive(turns=4000)
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.ended_at is not None
    assert timedelta(0) <= incident.ended_at - began - 56 * HOUR < HOUR


async def test_after_a_maintenance_the_problem_is_verified_before_anything_is_done(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "restart")
    await maintain(daemon, hours=0.5)
    await daemon.drive(in_state("restart"))
    daemon.world.hosts[MBX1].sick = False
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert daemon.world.effects == []
    assert any(
        "maintenance patching is over: verified afresh" in row.entry.message for row in await daemon.audit("decision")
    )


async def test_a_maintenance_that_begins_while_the_facts_are_read_holds_the_effect(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "restart")
    run, begun = daemon.world.run, False

    async def slow(*args: object) -> object:
        nonlocal begun
        if not begun:
            begun = True
            await maintain(daemon)
        return await run(*args)  # type: ignore[arg-type]  # handed through as it came

    daemon.world.run = slow  # type: ignore[method-assign, assignment]  # the test stands in between
    await daemon.turn()
    assert begun
    assert daemon.world.effects == []
    assert "maintenance patching until" in (await daemon.incident()).waiting_for


async def test_putting_back_goes_on_in_a_maintenance(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "undo.resolved")
    await maintain(daemon)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert not daemon.world.hosts[MBX1].blocked


async def test_a_long_maintenance_between_move_and_reboot_escalates_and_allows_activation_again(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    await maintain(daemon, hours=24)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "does not wait longer than 8 hours" in incident.reason
    assert not daemon.world.hosts[MBX1].blocked
    assert ("reboot", MBX1) not in daemon.world.effects


async def test_a_short_one_keeps_its_server_frees_the_dag_and_goes_on_afterwards(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    await maintain(daemon, hours=1)
    await daemon.drive(in_state("reboot.reboot"))
    assert await daemon.store.claim_holder(MBX1) == "i1"
    assert await daemon.store.claim_holder("dag:DAG1") is None
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.world.effects.count(("reboot", MBX1)) == 1


async def test_windows_one_after_another_hold_an_incident_for_ninety_days_and_no_longer(daemon: Daemon) -> None:
    await sick(daemon)
    await daemon.drive(lambda incident: incident.state == "restart")
    for number in range(3):
        begins = daemon.clock.now() + number * timedelta(days=60)
        await daemon.operators.carry_out(
            "ada",
            {
                "command": "add_window",
                "name": f"n{number}",
                "kind": "maintenance",
                "from": begins.isoformat(),
                "hours": 60 * 24,
            },
        )
    await daemon.drive(in_state("restart"))
    daemon.clock.advance(timedelta(days=89).total_seconds())
    incident = await daemon.drive(turns=3000)
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.ended_at is not None
    assert timedelta(days=90) < incident.ended_at - incident.opened_at < timedelta(days=91)
    assert daemon.world.effects == []


async def test_a_window_for_another_server_holds_nothing(make: Make) -> None:
    daemon = make(WindowKind.MAINTENANCE, 48)
    host = daemon.world.hosts[MBX2]
    host.sick, host.cured_by = True, "restart"
    await daemon.alert(MBX2)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED


async def test_while_somebody_works_on_another_server_of_the_dag_a_service_is_restarted_and_nothing_is_moved(
    daemon: Daemon,
) -> None:
    began = daemon.clock.now()
    await order(daemon, "add_window", kind="maintenance", hours=20, servers=["mbx2"])
    await sick(daemon)
    held = await daemon.drive(in_state("reboot.move"))
    assert daemon.world.effects == [("restart", MBX1)]
    assert held.waiting_for.endswith(f"UTC: somebody works on {MBX2}, of the same DAG or site")
    assert (await daemon.drive(turns=1000)).status is IncidentStatus.RESOLVED
    (move,) = [step for step in await daemon.steps() if step.action == "stop_activation"]
    assert move.started_at - began >= 20 * HOUR


# Business hours


async def test_in_business_hours_a_restart_is_done_and_a_move_asks_an_operator(make: Make) -> None:
    daemon = make(WindowKind.BUSINESS_HOURS, 10)
    await sick(daemon)
    held = await daemon.drive(in_state("reboot.move.recheck"))
    assert daemon.world.effects == [("restart", MBX1)]
    assert "business hours year-end until" in held.waiting_for
    assert "waits for approval to stop activation" in held.waiting_for
    await daemon.operators.carry_out("bob", {"command": "approve", "incident": "i1"})
    asked = await daemon.drive(in_state("reboot.reboot.recheck"))
    assert ("stop_activation", MBX1) in daemon.world.effects
    assert "waits for approval to reboot" in asked.waiting_for
    await daemon.operators.carry_out("bob", {"command": "approve", "incident": "i1"})
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED


async def test_what_nobody_approves_is_done_after_the_hours(make: Make) -> None:
    daemon = make(WindowKind.BUSINESS_HOURS, 10)
    began = daemon.clock.now()
    await sick(daemon)
    assert (await daemon.drive(turns=1000)).status is IncidentStatus.RESOLVED
    (move,) = [
        step for step in await daemon.steps() if step.action == "stop_activation" and step.status is StepStatus.DONE
    ]
    assert timedelta(0) <= move.started_at - began - 10 * HOUR < timedelta(minutes=40)


# Alerts


async def alert_row(daemon: Daemon, number: int = 1) -> tuple[AlertStatus, str]:
    row = daemon.store.contents.alerts[number]
    return row.status, row.reason


async def test_an_alert_in_a_maintenance_opens_nothing_and_is_verified_when_it_is_over(daemon: Daemon) -> None:
    await maintain(daemon, hours=2)
    await sick(daemon)
    assert await daemon.store.incidents() == []
    status, reason = await alert_row(daemon)
    assert status is AlertStatus.SUPPRESSED
    assert reason.startswith("maintenance patching until ")
    assert (await daemon.store.ledger()).imbalance == ""
    for _ in range(11):
        daemon.clock.advance(600)
        await daemon.deferral.take_up()
        assert await daemon.store.incidents() == []
    daemon.clock.advance(600)
    assert await daemon.deferral.take_up() == 1
    (opened,) = await daemon.audit("incident_opened")
    assert "alerts that were set aside since" in opened.entry.message
    assert "maintenance patching" in opened.entry.message
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert (await daemon.store.ledger()).imbalance == ""


async def test_many_alerts_in_a_maintenance_are_one_look_after_it(daemon: Daemon) -> None:
    await maintain(daemon)
    for number in range(5):
        await daemon.alert(MBX1, key=f"again {number}")
    await daemon.alert(MBX2)
    await order(daemon, "end_window")
    daemon.clock.advance(300)
    assert await daemon.deferral.take_up() == 1
    assert [incident.server for incident in await daemon.store.incidents()] == [MBX1, MBX2]


async def test_what_was_set_aside_is_verified_within_minutes_of_an_early_end(daemon: Daemon) -> None:
    await maintain(daemon, hours=48)
    await daemon.alert(MBX1)
    daemon.clock.advance(3600)
    await daemon.deferral.take_up()
    await order(daemon, "end_window")
    daemon.clock.advance(300)
    await daemon.deferral.take_up()
    assert len(await daemon.store.incidents()) == 1


async def test_an_open_incident_is_joined_in_a_maintenance(daemon: Daemon) -> None:
    await sick(daemon)
    await maintain(daemon)
    await daemon.alert(MBX1, key="again")
    assert (await alert_row(daemon, 2))[0] is AlertStatus.JOINED


async def test_what_is_closed_at_its_source_in_a_maintenance_is_not_looked_at_for_that(daemon: Daemon) -> None:
    await maintain(daemon)
    await daemon.alert(MBX1, closed=True)
    assert (await alert_row(daemon))[1] == "closed at its source, and no incident is open"
    assert daemon.store.contents.deferred == {}


async def test_a_freeze_does_not_keep_alerts_away(make: Make) -> None:
    daemon = make(WindowKind.FREEZE, 48)
    await daemon.alert(MBX1)
    assert len(await daemon.store.incidents()) == 1


# Operators


async def test_adding_and_ending_are_on_record_under_the_operators_name(daemon: Daemon) -> None:
    await maintain(daemon)
    await order(daemon, "end_window")
    (added,), (ended,) = await daemon.audit("window_added"), await daemon.audit("window_ended")
    assert added.entry.fields["user"] == ended.entry.fields["user"] == "ada"
    assert added.entry.message.startswith(f"ada adds maintenance patching for {MBX1}, ")
    assert moment(added.entry.fields["ends"]) - moment(added.entry.fields["begins"]) == 2 * HOUR
    assert ended.entry.message == f"ada ends maintenance patching for {MBX1}"
    assert await daemon.store.windows(daemon.clock.now()) == []


async def test_one_that_has_not_begun_can_be_ended_and_never_holds(daemon: Daemon) -> None:
    begins = daemon.clock.now() + 5 * HOUR
    await order(daemon, "add_window", kind="freeze", **{"from": begins.isoformat()}, hours=2)
    await order(daemon, "end_window")
    (window,) = await daemon.store.windows(daemon.clock.now() - HOUR)
    assert not holding([window], begins + HOUR)


async def test_status_names_what_holds_and_what_is_set_aside(daemon: Daemon) -> None:
    await maintain(daemon)
    await daemon.alert(MBX1)
    status = await daemon.operators.carry_out("ada", {"command": "status"})
    end = daemon.clock.now() + 2 * HOUR
    assert status["windows"] == [f"maintenance patching until {end:%Y-%m-%d %H:%M} UTC ({MBX1})"]
    assert (moment(status["next_change"]), status["deferred"]) == (end, 1)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "say when it ends"),
        ({"hours": -1}, "say when it ends"),
        ({"hours": 24 * 91}, "say when it ends"),
        ({"hours": "many"}, "say when it ends"),
        ({"hours": 1, "kind": "holiday"}, "holiday is no kind of window; known: maintenance"),
        ({"hours": 1, "name": " "}, "needs a name"),
        ({"hours": 1, "name": "a\nb"}, "all on one line"),
        ({"hours": 1, "name": "a" * 65}, "at most 64 characters"),
        ({"until": "2026-11-05T22:00"}, "until must be a date and time with its offset"),
        ({"until": "tomorrow"}, "until must be a date and time with its offset"),
        ({"until": "2020-11-05T22:00Z"}, "until must be in the future"),
        ({"until": "2099-11-05T22:00Z"}, "at most 90 days after from"),
        ({"from": "2099-11-05T22:00Z", "until": "2099-11-04T22:00Z"}, "until must be later than from"),
        ({"hours": 1, "servers": ["mbx9"]}, "mbx9 is not in the inventory"),
        ({"hours": 1, "servers": "mbx1"}, "servers must be a list of names"),
        ({"hours": 1, "dags": ["DAG9"]}, "the inventory has no DAG DAG9; it has DAG1"),
        ({"hours": 1, "sites": ["Paris"]}, "the inventory has no site Paris; it has Lyon"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_what_would(
    daemon: Daemon, request_: dict[str, object], words: str
) -> None:
    with pytest.raises(OperatorError, match=words.replace("(", r"\(")):
        await daemon.operators.carry_out(
            "ada", {"command": "add_window", "name": "x", "kind": "maintenance", **request_}
        )
    assert daemon.store.contents.windows == {}


async def test_two_windows_of_one_name_cannot_be_and_those_of_the_configuration_are_ended_there(make: Make) -> None:
    daemon = make(WindowKind.FREEZE, 2)
    await maintain(daemon)
    with pytest.raises(OperatorError, match="there is a window patching already, added by ada"):
        await maintain(daemon)
    with pytest.raises(OperatorError, match=r"window year-end already, of exmedic\.toml"):
        await order(daemon, "add_window", kind="freeze", hours=1, name="year-end")
    with pytest.raises(OperatorError, match="take it out there"):
        await daemon.operators.carry_out("ada", {"command": "end_window", "name": "year-end"})
    with pytest.raises(OperatorError, match="added by command: patching"):
        await daemon.operators.carry_out("ada", {"command": "end_window", "name": "other"})
    daemon.clock.advance(7200)
    await maintain(daemon)
