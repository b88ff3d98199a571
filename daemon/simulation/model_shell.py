"""The Shell port on the lab's model and virtual time: what a script does is what the lab's twin of it does.

The server's side outlives the caller: a command that was sent goes on when the daemon dies or gives up waiting.
"""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from daemon.domain.ports import Call, Permit, Reply, ReplyKind
from daemon.exchange.envelope import read_answer
from daemon.exchange.launch import EXECUTABLE, arguments
from daemon.lab.faults import Fault
from daemon.lab.handlers import CHANGING, carry_out
from daemon.lab.model import Simulation
from daemon.lab.organisation import Machine
from daemon.lab.process import Process, ProcessKilled
from daemon.lab.script_call import Lost, Refusal, Result, ScriptCall

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]

#: Mishaps of the script itself, on the server.
_OWN_ERRORS = {
    "empty": Fault.EMPTY_ANSWER,
    **{fault.value: fault for fault in (Fault.SCRIPT_BROKEN, Fault.SCRIPT_DIES)},
}
_LATE = (20.0, 900.0)  #: seconds until a command that was held up on its way begins


class VirtualProcess(Process):
    """A process of a lab server on virtual time."""

    def __init__(self, simulation: Simulation, command_line: str) -> None:
        super().__init__(simulation, command_line, delegated=True)
        self.over = asyncio.Event()

    def kill(self) -> None:
        """See `Process.kill`."""
        super().kill()
        self.over.set()

    def end(self, exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> None:
        """See `Process.end`."""
        super().end(exit_code, stdout, stderr)
        self.over.set()

    async def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """See `Process.wait`; other tasks run meanwhile."""
        timeline = self._simulation.timeline
        end = timeline.now() + timedelta(seconds=seconds)
        while True:
            timeline.run_due()
            if self.killed:
                raise ProcessKilled
            if until():
                return True
            now = timeline.now()
            if now >= end:
                return False
            due = timeline.next_due()
            await asyncio.sleep(((end if due is None else min(end, due)) - now).total_seconds())


class ModelShell:
    """`ports.Shell` for every daemon of one world. `spawn` runs what outlives a daemon.

    `sent` is told of each effect, and what befalls it, at the moment its command goes out; `asked` at each moment in
    which a server has answered or done something, with the error kind if it is a no.
    """

    def __init__(
        self,
        simulation: Simulation,
        chance: random.Random,
        spawn: Spawn,
        sent: Callable[[Call, str], None],
        asked: Callable[[Call, str], None],
    ) -> None:
        self._simulation = simulation
        self._chance = chance
        self._spawn = spawn
        self._sent = sent
        self._asked = asked
        self._processes: dict[str, list[VirtualProcess]] = {}
        simulation.windows.on_power.append(self._power_changed)

    async def run(self, call: Call, permit: Permit | None = None, mishap: str = "") -> Reply:
        """See `ports.Shell.run`. `mishap` is what befalls this call."""
        until = asyncio.get_running_loop().time() + call.timeout
        await asyncio.sleep(self._chance.uniform(0.01, 0.4))
        self._simulation.timeline.run_due()
        machine = self._simulation.organisation.find(call.executor)
        if mishap == "silent":
            await _sleep_until(until)
        if machine is None or not machine.answering or mishap in ("unreachable", "silent"):
            return Reply(kind=ReplyKind.UNREACHABLE, result={}, detail=f"{call.executor} cannot be reached")
        if permit is not None:
            with permit() as allowed:
                if not allowed:
                    return Reply(kind=ReplyKind.WITHHELD, result={}, detail="withheld at the last moment")
        process = VirtualProcess(self._simulation, " ".join([EXECUTABLE, *arguments(call.step_id)]))
        if mishap != "vanished":
            begins = self._chance.uniform(*_LATE) if mishap == "held_up" else 0.0
            serving = self._serve(process, call, machine, begins, _OWN_ERRORS.get(mishap))
            self._spawn(serving, f"{call.script} on {call.executor}")
        if not call.read_only:
            self._sent(call, mishap)
        return await self._answer(call, process, mishap, until)

    async def close(self) -> None:
        """Nothing of the daemon's own is left open."""

    async def _answer(self, call: Call, process: VirtualProcess, mishap: str, until: float) -> Reply:
        """Wait for the end of the process, at most to the deadline, and read what it wrote."""
        lost = Reply(kind=ReplyKind.UNKNOWN, result={}, detail=f"no answer from {call.executor}")
        if mishap in ("vanished", "held_up"):
            # Nobody knows it of a command that never arrived, so its sender waits for all the time it has.
            await _sleep_until(until)
            return lost
        try:
            async with asyncio.timeout_at(until):
                await process.over.wait()
        except TimeoutError:
            if self._chance.choice((True, False)):  # the request to end it may arrive, or be lost as well
                process.kill()
            return lost
        if process.killed or mishap == "lost":
            return lost
        stdout = process.stdout
        if mishap == "garbage":
            stdout = stdout[: self._chance.randrange(len(stdout) or 1)]
        elif mishap == "late":
            await _sleep_until(until)
            return lost
        exit_code = 1 if process.exit_code is None else process.exit_code
        return read_answer(call, host=call.executor, stdout=stdout, stderr=process.stderr, exit_code=exit_code)

    async def _serve(
        self, process: VirtualProcess, call: Call, machine: Machine, begins: float, error: Fault | None
    ) -> None:
        """The server's side."""
        processes = self._processes.setdefault(machine.name, [])
        if begins:
            await asyncio.sleep(begins)
            self._simulation.timeline.run_due()
            if not machine.answering:
                return
        processes.append(process)
        try:
            await self._carry_out(process, call, machine, error)
        except ProcessKilled:
            pass  # what it had asked Windows to do goes on
        except Lost as lost:
            process.end(3, stderr=str(lost).encode())
        finally:
            processes.remove(process)

    async def _carry_out(self, process: VirtualProcess, call: Call, machine: Machine, error: Fault | None) -> None:
        if call.script not in CHANGING:
            self._simulation.record.read(machine.name, call.script)
        await process.wait(self._chance.uniform(0.05, 1.5))
        result: Result | None = None
        problem = None
        of = ScriptCall(
            simulation=self._simulation,
            process=process,
            script=call.script,
            executor=machine,
            step=call.step_id,
            args=call.args,
            exchange=None,
            siblings=lambda: list(self._processes.get(machine.name, ())),
        )
        try:
            result = await carry_out(call.script, of, error)
        except Refusal as refusal:
            problem = {"kind": refusal.kind, "message": refusal.message}
        self._asked(call, "" if problem is None else problem["kind"])
        clock = self._simulation.timeline.now() + machine.skew
        envelope = {
            "exmedic": 1,
            "script": call.script,
            "step": call.step_id,
            "host": machine.name,
            "clock": clock.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "ok": problem is None,
            "result": result,
            "error": problem,
        }
        process.end(0, json.dumps(envelope).encode())

    def _power_changed(self, machine: Machine) -> None:
        if not machine.answering:
            for process in self._processes.get(machine.name, ()):
                process.kill()


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
