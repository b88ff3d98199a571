"""The lab as one object: start it, break servers, read what was done to them.

It runs in threads, not on asyncio, so that it can live beside an event loop as well as in a process of its own.
"""

import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from daemon.domain.errors import OperatorError
from daemon.lab.clock import LabClock
from daemon.lab.commands import obey
from daemon.lab.endpoint import Endpoint
from daemon.lab.faults import FAULTS, Fault, fault_named
from daemon.lab.model import Simulation
from daemon.lab.organisation import Machine
from daemon.lab.pwsh.of_the_lab import IN_THE_WORLD, OUTSIDE_IT
from daemon.lab.pwsh.playing import Powershell
from daemon.lab.pwsh.shell import Shell
from daemon.lab.record import Record, RecordedEffect
from daemon.lab.security import Account, publish
from daemon.lab.site import SitePlan, write_site
from daemon.lab.socket import ControlSocket

_LONGEST_WAIT = timedelta(hours=1)  # of lab time; nothing planned: look again then


class Lab:
    """A simulated Exchange organisation behind a WinRM endpoint per server on 127.0.0.1.

    Args:
        directory: where `effects.jsonl` and the control socket `lab.sock` go.
        clock: lab time; None: from now on, at the speed of real time.
        host: where the endpoints listen, on free ports.
        shell: a real PowerShell that runs the shipped scripts in the endpoints, on this machine's clock, which `clock`
            must be then; None: their twins in Python answer.
    """

    def __init__(
        self, directory: Path, clock: LabClock | None = None, *, host: str = "127.0.0.1", shell: Shell | None = None
    ) -> None:
        self.directory = directory
        self.clock = clock or LabClock.starting_now(1.0)
        self.account = Account()
        self._real = shell is not None
        self.stopped = threading.Event()  #: set when somebody asked over the control socket to stop
        directory.mkdir(parents=True, exist_ok=True)
        self.simulation = Simulation(partial(Record, directory / "effects.jsonl"), self.clock)
        self._endpoints = {
            machine.name: Endpoint(
                self.simulation, machine, self.account, host, 0, powershell=self._powershell(shell, machine)
            )
            for machine in self.simulation.organisation.machines.values()
        }
        self._control = ControlSocket(directory, lambda command: obey(self, command))
        self._stopping = False
        self._ticker = threading.Thread(target=self._tick, name="lab-clock")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def username(self) -> str:
        """The account to log on to every server with."""
        return self.account.username

    @property
    def password(self) -> str:
        """Its password."""
        return self.account.password

    @property
    def endpoints(self) -> dict[str, str]:
        """The URL of each server's endpoint, by FQDN."""
        return {name: endpoint.url for name, endpoint in self._endpoints.items()}

    def start(self) -> None:
        """Open the endpoints and the control socket.

        Raises:
            OperatorError: another lab runs in this directory.
        """
        try:
            self._control.open()
            publish(self.account)
            self.simulation.windows.on_power.append(self._power_changed)
            self._ticker.start()
            for endpoint in self._endpoints.values():
                endpoint.open()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close everything; every thread has ended when this returns. Safe to call twice, or without a start."""
        self._control.close()
        with self.simulation.timeline.changed:
            self._stopping = True
            self.simulation.timeline.changed.notify_all()
        if self._ticker.is_alive():
            self._ticker.join()
        for endpoint in self._endpoints.values():
            endpoint.close()
        self.stopped.set()

    def break_server(self, name: str, fault: Fault | str, **options: object) -> None:
        """Inject a fault; `daemon.lab.faults.FAULTS` has what each does and which options it takes.

        Raises:
            OperatorError: no such server, fault or option; or it would not show in what a real PowerShell runs in.
        """
        if self._real and fault_named(fault) not in IN_THE_WORLD | OUTSIDE_IT:
            raise OperatorError(f"The fault {fault} cannot be played by a real PowerShell yet: leave --pwsh out.")
        self.simulation.inject(name, fault, options)

    def cure(self, name: str, fault: Fault | str | None = None) -> None:
        """Take a fault away; every fault of the server when None.

        Raises:
            OperatorError: no such server or fault.
        """
        self.simulation.clear(name, fault)

    def effects(self) -> tuple[RecordedEffect, ...]:
        """The lab's own record of effects and violations, oldest first."""
        return self.simulation.record.effects()

    def reads(self) -> dict[tuple[str, str], int]:
        """How often each reading script ran, by (server, script)."""
        return self.simulation.record.reads()

    def refused_logons(self) -> int:
        """How many logons all servers together refused, those to Exchange included."""
        return sum(self.simulation.record.refusals().values())

    def open_shells(self, name: str) -> int:
        """How many shells are open on a server now.

        Raises:
            OperatorError: no such server.
        """
        return self._endpoints[self.simulation.machine(name).name].service.open_shells

    def servers(self) -> dict[str, dict[str, object]]:
        """How every server stands: power, faults, active databases, unhealthy monitors."""
        with self.simulation.timeline.up_to_date():
            return {name: self._standing(machine) for name, machine in self.simulation.organisation.machines.items()}

    def write_site(self, directory: Path, broker_port: int) -> Path:
        """Write exmedic.toml, inventory.toml and the password file for a daemon that heals this lab.

        Returns the path of exmedic.toml.
        """
        machines = list(self.simulation.organisation.machines.values())
        plan = SitePlan(machines, self.endpoints, self.account, self.clock, broker_port)
        return write_site(directory, plan)

    def request_stop(self) -> None:
        """Ask whoever runs the lab, and waits for `stopped`, to stop it."""
        self.stopped.set()

    def _powershell(self, shell: Shell | None, machine: Machine) -> Powershell | None:
        if shell is None:
            return None
        machine.skew = timedelta()  # it has this machine's clock
        return Powershell(shell, self.directory / "calls", self.account)

    def _standing(self, machine: Machine) -> dict[str, object]:
        active = self.simulation.organisation.active_on(machine)
        return {
            "endpoint": self._endpoints[machine.name].url,
            "power": machine.power.value,
            "faults": {fault.value: FAULTS[fault].description for fault in machine.faults},
            "active_databases": [database.name for database in active],
            "activation_blocked": machine.activation_blocked,
            "unhealthy": sorted(monitor.name for monitor in machine.monitors if monitor.value != "Healthy"),
        }

    def _power_changed(self, machine: Machine) -> None:
        endpoint = self._endpoints[machine.name]
        if machine.answering:
            endpoint.open()
        else:
            endpoint.cut()

    def _tick(self) -> None:
        """Make what is due happen although nobody looks: connections break off when a server goes down."""
        timeline = self.simulation.timeline
        with timeline.changed:
            while not self._stopping:
                timeline.run_due()
                due = timeline.next_due()
                wait = _LONGEST_WAIT if due is None else due - timeline.now()
                timeline.changed.wait(max(0.0, self.clock.real_seconds(wait)))
