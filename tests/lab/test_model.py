"""The model of the organisation, without a network, on a clock moved by hand."""

import tempfile
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.domain.errors import OperatorError
from daemon.lab.faults import SICKNESS, Fault
from daemon.lab.model import Simulation
from daemon.lab.organisation import CLIENT_ACCESS, HEALTH_MANAGER, MAILBOX, Database, Machine, Power, contoso
from daemon.lab.record import Record
from daemon.lab.timeline import Timeline
from tests.lab.hand_clock import START, HandClock

SERVERS = tuple(contoso(START).machines)
MAILBOX_SERVERS = tuple(machine.name for machine in contoso(START).machines.values() if machine.mailbox)


@pytest.fixture
def simulation(tmp_path: Path, hand_clock: HandClock) -> Simulation:
    return Simulation(partial(Record, tmp_path / "effects.jsonl"), hand_clock)


def _reboot(simulation: Simulation, name: str) -> Machine:
    machine = simulation.machine(name)
    with simulation.timeline.up_to_date():
        simulation.windows.reboot(machine)
    return machine


def _block(simulation: Simulation, name: str, blocked: bool) -> None:
    with simulation.timeline.up_to_date():
        simulation.databases.set_blocked(simulation.machine(name), blocked)


def _active(simulation: Simulation, name: str) -> list[Database]:
    return simulation.organisation.active_on(simulation.machine(name))


def test_the_organisation_is_the_one_described() -> None:
    organisation = contoso(START)
    machines = organisation.machines.values()
    assert {machine.site for machine in machines} == {"Lyon", "Nantes"}
    assert [len(list(organisation.members(dag))) for dag in ("DAG1", "DAG2")] == [3, 3]
    only_cas = [machine.site for machine in machines if machine.roles == {CLIENT_ACCESS}]
    assert sorted(only_cas) == ["Lyon", "Lyon", "Nantes"]
    assert len([machine for machine in machines if machine.roles == {CLIENT_ACCESS, MAILBOX}]) == 1
    assert len([machine for machine in machines if machine.roles == {MAILBOX} and machine.dag is None]) == 1
    assert len([machine for machine in machines if machine.skew]) == 2
    copies = {
        len(database.copies): organisation.machines[database.active].dag for database in organisation.databases.values()
    }
    assert copies == {3: "DAG1", 2: "DAG2", 1: None}


def test_events_run_in_order_at_their_own_time_however_late(simulation: Simulation, hand_clock: HandClock) -> None:
    seen = []
    timeline = Timeline(hand_clock.now)
    timeline.after(30, lambda: seen.append(("second", timeline.now())))
    timeline.after(10, lambda: timeline.after(5, lambda: seen.append(("first", timeline.now()))))
    hand_clock.advance(simulation, 3600)
    timeline.run_due()
    assert seen == [("first", START + timedelta(seconds=15)), ("second", START + timedelta(seconds=30))]


def test_a_monitor_turns_healthy_one_to_four_minutes_after_the_cure(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    for name in MAILBOX_SERVERS:
        simulation.inject(name, Fault.INCURABLE, {})
        simulation.clear(name, None)
    monitors = [monitor for name in MAILBOX_SERVERS for monitor in simulation.machine(name).back_end_monitors]
    assert {monitor.value for monitor in monitors} == {"Unhealthy"}
    hand_clock.advance(simulation, 59)
    assert {monitor.value for monitor in monitors} == {"Unhealthy"}
    hand_clock.advance(simulation, 4 * 60 - 59)
    assert {monitor.value for monitor in monitors} == {"Healthy"}
    waits = {(monitor.last_transition - START).total_seconds() for monitor in monitors}
    assert len(waits) > 4
    assert min(waits) >= 60
    assert max(waits) <= 240


def test_a_monitor_does_not_turn_healthy_when_it_is_sick_again_in_between(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    simulation.inject("mbx1", Fault.INCURABLE, {})
    simulation.clear("mbx1", None)
    hand_clock.advance(simulation, 30)
    simulation.inject("mbx1", Fault.INCURABLE, {})
    hand_clock.advance(simulation, 3600)
    assert "Unhealthy" in {monitor.value for monitor in simulation.machine("mbx1").monitors}


def test_a_quick_restart_of_a_healthy_service_does_not_alarm_its_monitors(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    machine = simulation.machine("mbx1")
    service = machine.services["MSExchangePOP3BE"]
    with simulation.timeline.up_to_date():
        simulation.windows.stop_service(machine, service)
    hand_clock.advance(simulation, 5)
    with simulation.timeline.up_to_date():
        simulation.windows.start_service(machine, service)
    for _ in range(60):
        hand_clock.advance(simulation, 10)
        assert {monitor.value for monitor in machine.monitors} == {"Healthy"}


def test_databases_move_one_after_the_other_and_are_not_mounted_meanwhile(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    _block(simulation, "mbx1", blocked=True)
    hand_clock.advance(simulation, 16)
    assert [database.state for database in _active(simulation, "mbx1")] == ["Dismounting", "Mounted"]
    hand_clock.advance(simulation, 10)
    assert [database.state for database in _active(simulation, "mbx1")] == ["Mounted"]
    hand_clock.advance(simulation, 60)
    assert _active(simulation, "mbx1") == []
    moved = [simulation.organisation.databases[name] for name in ("MBX1-DB1", "MBX1-DB2")]
    assert {database.state for database in moved} == {"Mounted"}
    hand_clock.advance(simulation, 300)
    assert {database.copies["mbx1.contoso.lab"].status for database in moved} == {"Healthy"}


def test_databases_never_move_to_a_blocked_server_and_not_back_by_themselves(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    _block(simulation, "mbx2", blocked=True)
    hand_clock.advance(simulation, 300)
    _block(simulation, "mbx1", blocked=True)
    hand_clock.advance(simulation, 600)
    assert len(_active(simulation, "mbx3")) == 6
    _block(simulation, "mbx1", blocked=False)
    _block(simulation, "mbx2", blocked=False)
    hand_clock.advance(simulation, 3600)
    assert len(_active(simulation, "mbx3")) == 6


def test_with_no_healthy_copy_elsewhere_nothing_moves(simulation: Simulation, hand_clock: HandClock) -> None:
    _block(simulation, "alone1", blocked=True)
    hand_clock.advance(simulation, 3600)
    assert [database.state for database in _active(simulation, "alone1")] == ["Mounted", "Mounted"]


def test_rebooting_a_server_with_active_copies_drops_them_and_is_recorded(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    _reboot(simulation, "mbx1")
    hand_clock.advance(simulation, 26)
    assert [database.state for database in _active(simulation, "mbx1")] == ["Dismounted", "Dismounted"]
    violations = simulation.record.effects()
    assert [violation.effect for violation in violations] == ["violation", "violation"]
    assert "MBX1-DB1" in violations[0].detail
    hand_clock.advance(simulation, 60)
    assert _active(simulation, "mbx1") == []
    assert {database.state for database in simulation.organisation.databases.values()} == {"Mounted"}


def test_a_standalone_servers_databases_are_mounted_again_only_when_it_is_back(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    machine = _reboot(simulation, "alone1")
    hand_clock.advance(simulation, 115)
    assert machine.power is Power.UP
    assert {database.state for database in _active(simulation, "alone1")} == {"Dismounted"}
    hand_clock.advance(simulation, 120)
    assert {database.state for database in _active(simulation, "alone1")} == {"Mounted"}


def test_after_a_boot_services_come_up_one_by_one_and_copies_catch_up(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    _block(simulation, "mbx1", blocked=True)
    hand_clock.advance(simulation, 600)
    machine = _reboot(simulation, "mbx1")
    copy = simulation.organisation.databases["MBX2-DB1"]
    seen_services, seen_statuses = [], []
    for _ in range(100):
        hand_clock.advance(simulation, 5)
        seen_services.append(sum(service.running for service in machine.services.values()))
        seen_statuses.append(simulation.databases.status(machine, copy))
    assert set(range(len(machine.services) + 1)) <= set(seen_services)
    assert [status for status, _ in groupby(seen_statuses)] == [
        "Healthy",
        "ServiceDown",
        "Initializing",
        "Resynchronizing",
        "Healthy",
    ]
    assert machine.boot_time == START + timedelta(seconds=600 + 25 + 60)
    assert machine.restart_requested_at is None
    assert not simulation.record.effects()


def test_after_a_boot_health_is_stale_until_the_health_manager_has_looked(
    simulation: Simulation, hand_clock: HandClock
) -> None:
    machine = _reboot(simulation, "cas1")
    hand_clock.advance(simulation, 30)
    while not machine.runs(HEALTH_MANAGER):
        hand_clock.advance(simulation, 1)
    assert all(monitor.stale for monitor in machine.monitors)
    hand_clock.advance(simulation, 600)
    assert not any(monitor.stale for monitor in machine.monitors)
    assert {monitor.value for monitor in machine.monitors} == {"Healthy"}


class AnyTreatment(RuleBasedStateMachine):
    """Whatever is done to the organisation, it stays possible, and recovers once it is left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.simulation = Simulation(partial(Record, Path(self.directory.name) / "effects.jsonl"), self.clock)

    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(self.simulation, seconds)

    @rule(name=st.sampled_from(SERVERS))
    def reboot(self, name: str) -> None:
        if self.simulation.machine(name).power is Power.UP:
            _reboot(self.simulation, name)

    @rule(name=st.sampled_from(MAILBOX_SERVERS), blocked=st.booleans())
    def block(self, name: str, blocked: bool) -> None:
        _block(self.simulation, name, blocked)

    @rule(name=st.sampled_from(SERVERS), fault=st.sampled_from([*sorted(SICKNESS), Fault.NEVER_BACK]))
    def break_server(self, name: str, fault: Fault) -> None:
        self.simulation.inject(name, fault, {})

    @rule(name=st.sampled_from(SERVERS), fault=st.sampled_from(sorted(Fault)))
    def break_in_any_way(self, name: str, fault: Fault) -> None:
        with suppress(OperatorError):  # what makes no sense there is refused
            self.simulation.inject(name, fault, {})

    @rule(name=st.sampled_from(SERVERS))
    def cure(self, name: str) -> None:
        self.simulation.clear(name, None)

    @rule(name=st.sampled_from(SERVERS), hangs=st.booleans())
    def stop_service(self, name: str, hangs: bool) -> None:
        machine = self.simulation.machine(name)
        service = machine.services[machine.pop_service]
        if hangs:
            self.simulation.inject(name, Fault.SERVICE_HANGS, {})
        if service.running:
            with self.simulation.timeline.up_to_date():
                self.simulation.windows.stop_service(machine, service)

    @rule(name=st.sampled_from(SERVERS))
    def start_service(self, name: str) -> None:
        machine = self.simulation.machine(name)
        service = machine.services[machine.pop_service]
        if service.status == "Stopped" and machine.answering:
            with self.simulation.timeline.up_to_date():
                self.simulation.windows.start_service(machine, service)

    @invariant()
    def every_database_has_one_active_copy_that_is_mounted_only_where_it_can_be(self) -> None:
        organisation = self.simulation.organisation
        for database in organisation.databases.values():
            assert database.active in database.copies
            holder = organisation.machines[database.active]
            if database.state in ("Mounted", "Mounting", "Dismounting") and holder.power is Power.OFF:
                raise AssertionError(f"{database.name} is {database.state} on {holder.name}, which is off")

    @invariant()
    def what_does_not_run_has_no_process(self) -> None:
        for machine in self.simulation.organisation.machines.values():
            for service in machine.services.values():
                gone = service.status in ("Stopped", "StartPending")
                assert gone == (service.pid == 0) == (service.started_at is None), (machine.name, service)
                assert gone or machine.answering

    @rule()
    def left_alone_everything_recovers(self) -> None:
        for name in SERVERS:
            self.simulation.clear(name, None)
            if name in MAILBOX_SERVERS:
                _block(self.simulation, name, blocked=False)
        self.clock.advance(self.simulation, 400)
        for name in SERVERS:
            self.start_service(name)  # Windows does not start again what somebody stopped
        self.clock.advance(self.simulation, 3600)
        organisation = self.simulation.organisation
        assert {machine.power for machine in organisation.machines.values()} == {Power.UP}
        assert {
            (monitor.value, monitor.stale) for machine in organisation.machines.values() for monitor in machine.monitors
        } == {("Healthy", False)}
        assert {database.state for database in organisation.databases.values()} == {"Mounted"}
        statuses = {copy.status for database in organisation.databases.values() for copy in database.copies.values()}
        assert statuses == {"Healthy"}

    def teardown(self) -> None:
        self.directory.cleanup()


TestAnyTreatment = AnyTreatment.TestCase
TestAnyTreatment.settings = settings(max_examples=100, stateful_step_count=25)
