"""The whole model in one object: what the scripts act on and what an operator of the lab breaks."""

from collections.abc import Callable, Mapping
from datetime import datetime

from daemon.domain.errors import OperatorError
from daemon.lab.breakage import Breakage
from daemon.lab.clock import LabClock
from daemon.lab.databases import ActiveManager
from daemon.lab.faults import Fault, Injected, fault_named, injected
from daemon.lab.health import HealthManager
from daemon.lab.operating_system import Windows
from daemon.lab.organisation import Machine, contoso
from daemon.lab.record import Record
from daemon.lab.timeline import Timeline


class Simulation:
    """The organisation, what makes it move, and the record. Hold `timeline.up_to_date()` while looking inside."""

    def __init__(self, make_record: Callable[[Callable[[], datetime]], Record], clock: LabClock) -> None:
        self.clock = clock
        self.timeline = Timeline(clock.now)
        self.record = make_record(self.timeline.now)
        self.organisation = contoso(clock.now())
        self.marks: set[tuple[str, str]] = set()  #: executor and step: on whose disk which step left its mark
        self.health = HealthManager(self.organisation, self.timeline)
        self.databases = ActiveManager(self.organisation, self.timeline, self.record)
        self.windows = Windows(self.timeline, self.health, self.databases)
        self.breakage = Breakage(self.organisation, self.windows, self.health, self.databases)

    def machine(self, name: str) -> Machine:
        """The server of that name.

        Raises:
            OperatorError: the lab has no such server.
        """
        found = self.organisation.find(name)
        if found is None:
            raise OperatorError(f"The lab has no server {name!r}. It has: {', '.join(self.organisation.machines)}.")
        return found

    def inject(self, name: str, fault: Fault | str, options: Mapping[str, object]) -> Injected:
        """Break a server.

        Raises:
            OperatorError: no such server, fault or option.
        """
        with self.timeline.up_to_date():
            new = injected(fault, options, self.timeline.now())
            self.breakage.inject(self.machine(name), new)
            return new

    def clear(self, name: str, fault: Fault | str | None) -> None:
        """Take a fault away from a server; all of them if None.

        Raises:
            OperatorError: no such server or fault.
        """
        with self.timeline.up_to_date():
            machine = self.machine(name)
            wanted = list(machine.faults) if fault is None else [fault_named(fault)]
            for each in wanted:
                self.breakage.clear(machine, each)

    def strike(self, fault: Fault, *machines: Machine | None, script: str = "", request: str = "") -> Injected | None:
        """The first of these servers' faults of that kind that applies now, counted as one strike."""
        with self.timeline.changed:
            for machine in machines:
                found = machine.faults.get(fault) if machine is not None else None
                if found is not None and found.strikes(script=script, request=request):
                    return found
        return None
