"""The Windows side of a lab server: services that stop and start, reboots that take minutes, faults."""

import itertools
from collections.abc import Callable
from datetime import datetime

from daemon.lab.databases import ActiveManager
from daemon.lab.faults import Fault
from daemon.lab.health import HealthManager
from daemon.lab.organisation import (
    FRONT_END,
    HEALTH_MANAGER,
    INFORMATION_STORE,
    REPLICATION,
    Machine,
    Power,
    Service,
)
from daemon.lab.timeline import Timeline

_STOP = 3.0  #: seconds a service takes to stop
_START = 4.0  #: seconds a service takes to start
_BY_DESIGN = 5.0  #: seconds until the POP front end stops again while its component is Inactive
_DIES = 0.5  #: seconds that a service lives which ends by itself
_SHUTDOWN = 25.0  #: seconds a server still answers after a reboot was accepted
_OFF = 60.0  #: seconds until Windows boots again
_BOOT = 30.0  #: seconds from boot until WinRM answers
_NEXT_SERVICE = 15.0  #: seconds between one service's start and the next, after a boot


class Windows:
    """What Windows does, planned on the timeline. Call with the model's lock held.

    `on_power` is called whenever a server begins or ceases to answer.
    """

    def __init__(self, timeline: Timeline, health: HealthManager, databases: ActiveManager) -> None:
        self.timeline = timeline
        self._health = health
        self._databases = databases
        self._pids = itertools.count(5000, 4)
        self.on_power: list[Callable[[Machine], None]] = []

    def stop_service(self, machine: Machine, service: Service) -> None:
        """Ask a service to stop; it stops some seconds later, or hangs."""
        service.status = "StopPending"
        hangs = machine.faults.get(Fault.SERVICE_HANGS)
        if not (hangs and hangs.service == service.name and hangs.how == "stopping"):
            self.timeline.after(_STOP, lambda: self.finish_stop(machine, service))
        self._health.assess(machine)

    def start_service(self, machine: Machine, service: Service) -> None:
        """Ask a stopped service to start; it runs some seconds later, as a new process, which cures what that cures."""
        service.status = "StartPending"
        hangs = machine.faults.get(Fault.SERVICE_HANGS)
        if hangs is not None and hangs.service == service.name and hangs.how == "starting":
            return
        booted = machine.boot_time

        def started() -> None:
            if machine.boot_time == booted and machine.answering and service.status == "StartPending":
                self._started(machine, service)

        self.timeline.after(_START, started)

    def reboot(self, machine: Machine, comment: str = "") -> None:
        """Begin a reboot of a server that is up: still answering, then gone, then back unless it never comes back."""
        machine.power = Power.GOING_DOWN
        machine.restart_requested_at, machine.restart_comment = self.timeline.now(), comment
        self.timeline.after(_SHUTDOWN, lambda: self._switch_off(machine))

    def crash(self, machine: Machine) -> None:
        """Lose a server at once, by nobody's request. It stays away until somebody boots it."""
        if machine.power is not Power.OFF:
            self._go_dark(machine, rebooted=False)

    def boot(self, machine: Machine) -> None:
        """Switch on a server that is off: it answers after a while, and then its services start one by one."""
        machine.power = Power.STARTING
        machine.boot_time = self.timeline.now()
        machine.restart_requested_at = machine.restart_comment = None
        machine.faults.pop(Fault.REBOOT_CURES, None)
        booted = machine.boot_time
        self.timeline.after(_BOOT, lambda: self._up(machine, booted))

    def finish_stop(self, machine: Machine, service: Service) -> None:
        """A service that was asked to stop has stopped."""
        if service.status == "StopPending":
            self._ended(machine, service)
            self._health.assess(machine)

    def _ended(self, machine: Machine, service: Service) -> None:
        service.status, service.pid, service.started_at = "Stopped", 0, None
        machine.pop_log.service_stopped(service.name, self.timeline.now())

    def _started(self, machine: Machine, service: Service) -> None:
        service.status = "Running"
        service.pid = next(self._pids)
        service.started_at = self.timeline.now()
        dies = machine.faults.get(Fault.SERVICE_DIES)
        if dies is not None and dies.service == service.name:
            self.timeline.after(_DIES, lambda: self._die(machine, service))
        machine.pop_log.service_started(service.name, self.timeline.now())
        if service.name == FRONT_END and Fault.POPPROXY_INACTIVE in machine.faults:
            self.timeline.after(_BY_DESIGN, lambda: self._stop_by_design(machine, service))
        cured = machine.faults.get(Fault.RESTART_CURES)
        if cured is not None and cured.service == service.name:
            cured.restarts -= 1
            if cured.restarts <= 0:
                del machine.faults[Fault.RESTART_CURES]
        hung = machine.faults.get(Fault.HANGING)
        if hung is not None and hung.service == service.name:
            del machine.faults[Fault.HANGING]
        if service.name == HEALTH_MANAGER:
            self._health.started(machine)
        else:
            self._health.assess(machine)
        if service.name in (INFORMATION_STORE, REPLICATION) and machine.runs(INFORMATION_STORE, REPLICATION):
            self._databases.came_back(machine)

    def _switch_off(self, machine: Machine) -> None:
        if machine.power is Power.GOING_DOWN:
            self._go_dark(machine, rebooted=True)
            self.timeline.after(_OFF, lambda: self._come_back(machine))

    def _stop_by_design(self, machine: Machine, service: Service) -> None:
        if service.running and Fault.POPPROXY_INACTIVE in machine.faults:
            self.stop_service(machine, service)

    def _die(self, machine: Machine, service: Service) -> None:
        if service.running and Fault.SERVICE_DIES in machine.faults:
            self._ended(machine, service)
            self._health.assess(machine)

    def _go_dark(self, machine: Machine, *, rebooted: bool) -> None:
        machine.power = Power.OFF
        for service in machine.services.values():
            self._ended(machine, service)
        self._databases.dropped(machine, rebooted=rebooted)
        self._health.assess(machine)
        self._tell(machine)

    def _come_back(self, machine: Machine) -> None:
        if machine.power is Power.OFF and not machine.faults.keys() & {Fault.NEVER_BACK, Fault.MEMBER_DOWN}:
            self.boot(machine)

    def _up(self, machine: Machine, booted: datetime) -> None:
        if machine.power is not Power.STARTING or machine.boot_time != booted:
            return  # lost again meanwhile
        machine.power = Power.UP
        self._tell(machine)
        for number, service in enumerate(machine.services.values(), start=1):
            if service.start_type == "Automatic":
                self.timeline.after(_NEXT_SERVICE * number, self._starter(machine, service, booted))

    def _starter(self, machine: Machine, service: Service, booted: datetime) -> Callable[[], None]:
        def start() -> None:
            if machine.boot_time == booted and machine.power is Power.UP and service.status == "Stopped":
                self.start_service(machine, service)

        return start

    def _tell(self, machine: Machine) -> None:
        for tell in self.on_power:
            tell(machine)
