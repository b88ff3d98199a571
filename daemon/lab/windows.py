"""The Windows side of a lab server: services that stop and start, reboots that take minutes, faults."""

import itertools
from collections.abc import Callable
from datetime import datetime

from daemon.errors import OperatorError
from daemon.lab.databases import ActiveManager
from daemon.lab.faults import SICKNESS, Fault, Injected
from daemon.lab.health import HealthManager
from daemon.lab.organisation import (
    HEALTH_MANAGER,
    INFORMATION_STORE,
    REPLICATION,
    Machine,
    Organisation,
    Power,
    Service,
)
from daemon.lab.timeline import Timeline

_STOP = 3.0  #: seconds a service takes to stop
_START = 4.0  #: seconds a service takes to start
_SHUTDOWN = 25.0  #: seconds a server still answers after a reboot was accepted
_OFF = 60.0  #: seconds until Windows boots again
_BOOT = 30.0  #: seconds from boot until WinRM answers
_NEXT_SERVICE = 15.0  #: seconds between one service's start and the next, after a boot


class Windows:
    """What Windows does, planned on the timeline. Call with the model's lock held.

    `on_power` is called whenever a server begins or ceases to answer.
    """

    def __init__(
        self, organisation: Organisation, timeline: Timeline, health: HealthManager, databases: ActiveManager
    ) -> None:
        self._organisation = organisation
        self._timeline = timeline
        self._health = health
        self._databases = databases
        self._pids = itertools.count(5000, 4)
        self.on_power: list[Callable[[Machine], None]] = []

    def stop_service(self, machine: Machine, service: Service) -> None:
        """Ask a service to stop; it stops some seconds later, or hangs."""
        service.status = "StopPending"
        hangs = machine.faults.get(Fault.SERVICE_HANGS)
        if not (hangs and hangs.service == service.name):
            self._timeline.after(_STOP, lambda: self._stopped(machine, service))
        self._health.assess(machine)

    def start_service(self, machine: Machine, service: Service) -> None:
        """Ask a stopped service to start; it runs some seconds later, as a new process, which cures what that cures."""
        service.status = "StartPending"
        booted = machine.boot_time

        def started() -> None:
            if machine.boot_time == booted and machine.answering and service.status == "StartPending":
                self._started(machine, service)

        self._timeline.after(_START, started)

    def reboot(self, machine: Machine) -> None:
        """Begin a reboot of a server that is up: still answering, then gone, then back unless it never comes back."""
        machine.power = Power.GOING_DOWN
        machine.restart_requested_at = self._timeline.now()
        self._timeline.after(_SHUTDOWN, lambda: self._switch_off(machine))

    def inject(self, machine: Machine, fault: Injected) -> None:
        """Break a server."""
        _fill_in(self._organisation, machine, fault)
        machine.faults[fault.fault] = fault
        if fault.fault is Fault.HEALS_ITSELF:
            self._timeline.after(fault.minutes * 60, lambda: self._heal(machine, fault))
        self._health.assess(machine)

    def clear(self, machine: Machine, fault: Fault) -> None:
        """Take a fault away; a server that would not have come back boots, a hung service runs again."""
        taken = machine.faults.pop(fault, None)
        if fault is Fault.NEVER_BACK and machine.power is Power.OFF:
            self._boot(machine)
        if fault is Fault.SERVICE_HANGS and taken is not None:
            service = machine.services[taken.service]
            if service.status == "StopPending":
                self._stopped(machine, service)
                self.start_service(machine, service)
        self._health.assess(machine)

    def _heal(self, machine: Machine, fault: Injected) -> None:
        if machine.faults.get(fault.fault) is fault:
            self.clear(machine, fault.fault)

    def _stopped(self, machine: Machine, service: Service) -> None:
        if service.status == "StopPending":
            service.status, service.pid, service.started_at = "Stopped", 0, None
            self._health.assess(machine)

    def _started(self, machine: Machine, service: Service) -> None:
        service.status = "Running"
        service.pid = next(self._pids)
        service.started_at = self._timeline.now()
        cured = machine.faults.get(Fault.RESTART_CURES)
        if cured is not None and cured.service == service.name:
            del machine.faults[Fault.RESTART_CURES]
        if service.name == HEALTH_MANAGER:
            self._health.started(machine)
        else:
            self._health.assess(machine)
        if service.name in (INFORMATION_STORE, REPLICATION) and machine.runs(INFORMATION_STORE, REPLICATION):
            self._databases.came_back(machine)

    def _switch_off(self, machine: Machine) -> None:
        machine.power = Power.OFF
        for service in machine.services.values():
            service.status, service.pid, service.started_at = "Stopped", 0, None
        self._databases.dropped(machine)
        self._tell(machine)
        self._timeline.after(_OFF, lambda: self._come_back(machine))

    def _come_back(self, machine: Machine) -> None:
        if Fault.NEVER_BACK not in machine.faults:
            self._boot(machine)

    def _boot(self, machine: Machine) -> None:
        machine.power = Power.STARTING
        machine.boot_time = self._timeline.now()
        machine.restart_requested_at = None
        machine.faults.pop(Fault.REBOOT_CURES, None)
        self._timeline.after(_BOOT, lambda: self._up(machine))

    def _up(self, machine: Machine) -> None:
        machine.power = Power.UP
        self._tell(machine)
        booted = machine.boot_time
        for number, service in enumerate(machine.services.values(), start=1):
            if service.start_type == "Automatic":
                self._timeline.after(_NEXT_SERVICE * number, self._starter(machine, service, booted))

    def _starter(self, machine: Machine, service: Service, booted: datetime) -> Callable[[], None]:
        def start() -> None:
            if machine.boot_time == booted and machine.power is Power.UP and service.status == "Stopped":
                self.start_service(machine, service)

        return start

    def _tell(self, machine: Machine) -> None:
        for tell in self.on_power:
            tell(machine)


def _fill_in(organisation: Organisation, machine: Machine, fault: Injected) -> None:
    """Choose the service or database a fault strikes, and refuse one that the server does not have.

    Raises:
        OperatorError: the server has no such service or no such active database.
    """
    if fault.fault in SICKNESS or fault.fault is Fault.SERVICE_HANGS:
        fault.service = fault.service or machine.pop_service
        if fault.service not in machine.services:
            raise OperatorError(f"{machine.name} has no service {fault.service}: {', '.join(machine.services)}.")
    if fault.fault is Fault.DATABASE_STUCK:
        active = [database.name for database in organisation.active_on(machine)]
        if not active:
            raise OperatorError(f"{machine.name} holds no active database now that could be stuck.")
        fault.database = fault.database or active[0]
        if fault.database not in active:
            raise OperatorError(f"{fault.database} is not active on {machine.name}; active are {', '.join(active)}.")
