"""Calls that the lab answers by a real PowerShell: run over the stubs, and what they do is done to the model.

The model stays the one truth. A call sees it as it was when the call began, but for the services of its server, which
it sees as they are; what it does shows in the stubs' journal and is carried into the model while the call still runs,
so that neither a kill nor a cut can lose it.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.exchange import launch
from daemon.lab.handlers import HANDLERS
from daemon.lab.organisation import Machine, Power, Service
from daemon.lab.process import Process, ProcessKilled
from daemon.lab.pwsh.lab_windows import services
from daemon.lab.pwsh.of_the_lab import MARKS, world_of_call
from daemon.lab.pwsh.shell import Ended, Shell, journal, tell
from daemon.lab.script_call import Refusal, ScriptCall, run_through
from daemon.lab.security import Account

Json = dict[str, Any]
Line = Mapping[str, str | None]

_LIMIT = 600.0  #: seconds of one call: the daemon gives up long before


class Powershell:
    """The real PowerShell of a lab server. `shell` runs the calls, in folders below `directory`."""

    def __init__(self, shell: Shell, directory: Path, account: Account) -> None:
        self._shell = shell
        self._directory = directory
        self._account = account
        self._alive: list[Process] = []  #: whose PowerShell has not ended, killed or not; guarded by the model's lock

    def run(self, script: str, call: ScriptCall) -> Ended:
        """How a call ended, once all that it did is in the model and in the record.

        Raises:
            ProcessKilled: it was terminated; what it had done until then is in the model and in the record.
        """
        timeline, process = call.simulation.timeline, call.process
        self._directory.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._directory, prefix=f"{call.step}-"))
        try:
            with timeline.up_to_date() as since:
                if script == "invoke_probe":
                    # What a probe does on its server, and how long it takes, is the model's. Its answer is not taken.
                    with contextlib.suppress(Refusal):
                        run_through(HANDLERS[script](call))
                made = world_of_call(script, call, self._account, since)
                made["hosts"][call.executor.name]["processes"] += self._dying(call)
                self._alive.append(process)
            watched = _Watched(call, made, folder)
            sent = launch.Launch(launch.EXECUTABLE, launch.arguments(call.step), bytes(process.stdin))
            try:
                ended = self._shell.run(sent, made, folder, watched.goes_on, _LIMIT)
            finally:
                with timeline.up_to_date():
                    self._alive.remove(process)
                    watched.carry()
        finally:
            shutil.rmtree(folder)
        if process.killed:
            raise ProcessKilled
        return ended

    def _dying(self, call: ScriptCall) -> list[Json]:
        """The PowerShells that were told to end and have not: they may still act."""
        dying = [process for process in self._alive if not process.running]
        rows = enumerate(process.command_line for process in dying)
        now = {"$date": call.simulation.timeline.now().isoformat()}
        return [
            {"ProcessId": 50000 + number, "Name": "powershell.exe", "CommandLine": line, "CreationDate": now}
            for number, line in rows
        ]


@dataclass
class _Watched:
    """A call that runs: what it does goes into the model, and what becomes of the services into its world."""

    call: ScriptCall
    world: Json
    folder: Path
    carried: int = 0  #: lines of the journal
    restarted: set[str] = field(default_factory=set)

    def goes_on(self) -> bool:
        """Look at it once; False when it was terminated."""
        with self.call.simulation.timeline.up_to_date():
            self.carry()
            host, now = self.world["hosts"][self.call.executor.name], services(self.call.executor)
            if host["services"] != now:
                host["services"] = now
                tell(self.world, self.folder)
            return not self.call.process.killed

    def carry(self) -> None:
        """Do to the model what it has done since, its mark before the effect that it is for."""
        for mark in (self.folder / MARKS).glob("*.begun"):
            self.call.simulation.marks.add((self.call.executor.name, mark.stem))
        lines = journal(self.folder)
        for line in lines[self.carried :]:
            self.carried += 1
            self._take(line)

    def _take(self, line: Line) -> None:
        if line.get("note") == "exchange session" and self._refused(line):
            self.call.simulation.record.refused(self.call.executor.name)
        if "effect" in line:
            taken = {"stop": self._service, "start": self._service, "set": self._set, "reboot": self._reboot}
            taken.get(str(line["effect"]), self._unknown)(line)

    def _refused(self, line: Line) -> bool:
        """Whether a password was offered, and refused."""
        try:
            self.call.open_session()
        except Refusal as refusal:
            return refusal.kind == "logon" and line.get("user") is not None
        return False

    def _record(self, effect: Any, machine: Machine, detail: str) -> None:  # noqa: ANN401 - a literal of the record's
        record = self.call.simulation.record
        record.effect(effect, machine.name, executor=self.call.executor.name, step=self.call.step, detail=detail)

    def _service(self, line: Line) -> None:
        """A service was told to stop or to start: one restart for the record, however it goes on."""
        machine, windows = self.call.executor, self.call.simulation.windows
        service: Service = machine.services[str(line["service"])]
        if not machine.answering:
            return  # the server went down before Windows had the order
        if service.name not in self.restarted:
            self.restarted.add(service.name)
            self._record("restart", machine, service.name)
        if "code" in line:
            return  # it was given the order, and did not answer
        if line["effect"] == "stop" and service.running:
            windows.stop_service(machine, service)
        elif line["effect"] == "start" and service.status == "Stopped":
            windows.start_service(machine, service)

    def _set(self, line: Line) -> None:
        machine, value = self.call.simulation.machine(str(line["server"])), line["value"] == "True"
        what = str(line["property"])
        if what == "DatabaseCopyActivationDisabledAndMoveNow":
            before = machine.activation_blocked
            self.call.simulation.databases.set_blocked(machine, value)
            self._record("stop_activation" if value else "allow_activation", machine, f"{what} {before} -> {value}")
        elif what == "ProtocolLogEnabled":
            before, machine.pop_log.enabled = machine.pop_log.enabled, value
            self._record("protocol_log_on" if value else "protocol_log_off", machine, f"{what} {before} -> {value}")
        else:
            self._unknown(line)

    def _reboot(self, line: Line) -> None:
        simulation, machine = self.call.simulation, self.call.simulation.machine(str(line["server"]))
        if machine.power is not Power.UP:
            return  # it went down before the order came
        active = [database.name for database in simulation.organisation.active_on(machine)]
        simulation.windows.reboot(machine, str(line.get("comment") or ""))
        self._record("reboot", machine, f"active here: {', '.join(active) or 'nothing'}")

    def _unknown(self, line: Line) -> None:
        """No script of ours has such an effect."""
        self._record("violation", self.call.executor, f"a script did what the lab does not know: {dict(line)}")
