"""Managed Availability in the lab: monitors that turn Unhealthy and Healthy again, and probes."""

from daemon.lab.faults import Fault
from daemon.lab.organisation import HEALTH_MANAGER, Machine, Monitor, Organisation, recovery_seconds
from daemon.lab.timeline import Timeline

#: How long a service may be away before its monitors notice, in seconds: they need several failed probes.
_PATIENCE = 120.0
#: How long after its start the Health Manager shows what it knew before, marked stale, in seconds.
_STALE = 60.0


class HealthManager:
    """Plans the changes of the monitors' values. Call with the model's lock held."""

    def __init__(self, organisation: Organisation, timeline: Timeline) -> None:
        self._organisation = organisation
        self._timeline = timeline

    def assess(self, machine: Machine) -> None:
        """Let the monitors of a server, and of those whose front end needs it, see that something has changed."""
        self._assess(machine)
        for other in self._organisation.machines.values():
            if other is not machine and other.backend is machine and Fault.BACKEND_SICK in other.faults:
                self._assess(other)

    def _assess(self, machine: Machine) -> None:
        for monitor in machine.monitors:
            sick = machine.sick(monitor)
            if sick == monitor.sick and not (sick and machine.ailing(monitor)):
                continue
            monitor.sick = sick
            if not sick:
                self._plan(machine, monitor, recovery_seconds(machine, monitor))
            elif machine.ailing(monitor) and machine.runs(HEALTH_MANAGER):
                self._turn(monitor)
            else:
                self._plan(machine, monitor, _PATIENCE)

    def started(self, machine: Machine) -> None:
        """The Health Manager of a server has started: what it shows is stale until it has looked."""
        for monitor in machine.monitors:
            monitor.stale = True
            monitor.sick = machine.sick(monitor)
            recovering = not monitor.sick and monitor.value != "Healthy"
            self._timeline.after(_STALE, lambda monitor=monitor: _fresh(monitor))  # type: ignore[misc]  # not inferred
            self._plan(machine, monitor, recovery_seconds(machine, monitor) if recovering else _STALE)

    def runs_probe(self, machine: Machine, monitor: Monitor) -> bool:
        """Whether this server's Health Manager can run that monitor's probe."""
        return bool(monitor.probe) and Fault.PROBE_CANNOT_RUN not in machine.faults

    def _plan(self, machine: Machine, monitor: Monitor, seconds: float) -> None:
        monitor.turn += 1
        planned = monitor.turn

        def due() -> None:
            if monitor.turn == planned and machine.runs(HEALTH_MANAGER):
                self._turn(monitor)

        self._timeline.after(seconds, due)

    def _turn(self, monitor: Monitor) -> None:
        monitor.turn += 1
        value = "Unhealthy" if monitor.sick else "Healthy"
        if value != monitor.value:
            monitor.value = value
            monitor.last_transition = self._timeline.now()


def _fresh(monitor: Monitor) -> None:
    monitor.stale = False
