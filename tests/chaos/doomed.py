"""The real daemon in a process that kills itself at one point: `python -m tests.chaos.doomed`.

It reads orders from standard input, one JSON object a line, and answers each with two lines: the process id of the
daemon, and how it ended. All imports are done once, and the daemon is a fork: that saves a second of CPU at each start.

The product has no hook for this. What it does is seen from outside: by the verbs of its ports, and for the moments
within a call by what pywinrm is asked to do.
"""

import json
import os
import random
import select
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from winrm.protocol import Protocol

import daemon.cli
from daemon.adapters.console import ConsoleSink
from daemon.adapters.mqtt.bus import MqttBus
from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.winrm.attempt import Attempt, End
from daemon.adapters.winrm.shell import WinrmShell
from daemon.domain.alerts import Received, StoredAlert
from daemon.domain.audit import AuditRow
from daemon.domain.commits import Commit
from daemon.domain.incidents import Incident, IncidentStatus, Step, StepStatus
from daemon.domain.ports import Call, Permit, Reply
from statemachines.actions import Effect
from tests.acceptance.driven import CLOCK, Driven, around, put_forward, watch_the_turns
from tests.chaos.clock import Forward
from tests.chaos.points import Point, extended

TRACE = "trace.jsonl"  #: in the directory of a run

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


def kind_of(server: str) -> str:
    """The kind of a lab's server, by its name: `mbx4.contoso.lab` is a `mbx`."""
    return server.partition(".")[0].rstrip("0123456789")


@dataclass
class Passing:
    """Tells points as they are passed, and kills the process at the one that was ordered."""

    trace: Path
    deadly: str  #: the name of a point, empty for none
    ways: dict[str, list[str]] = field(default_factory=dict)  #: by incident
    states: dict[str, str] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    ways_of_steps: dict[str, str] = field(default_factory=dict)

    def at(self, side: str, what: str, way: str = "", step: str = "") -> None:
        """The process is at a point. From any thread."""
        point = Point(side=side, what=what, way=way, step=step)
        with self.trace.open("a") as file:  # one write, so that a kill leaves whole lines
            file.write(point.line() + "\n")
        if point.name == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def way(self, incident: Incident) -> str:
        """Whose way, and how far it has come."""
        child = " child" if incident.parent else ""
        head = f"{incident.runbook or 'nothing'}{child} on {kind_of(incident.server)}"
        return f"{head}: {', '.join(self.ways.get(incident.id, []))}"

    def what(self, commit: Commit, incident: Incident) -> str:
        """What a commit is about."""
        step = commit.progress.step
        if step is None:
            if incident.version == 0:
                return "opened"
            if commit.alerts.routing is not None:
                return "joined"
            if incident.status is not IncidentStatus.OPEN and self.states.get(incident.id) == incident.state:
                return "watched"
            return f"held {incident.held_by}" if self.states.get(incident.id) == incident.state else "moved"
        if step.status is StepStatus.OPEN:
            if step.id in self.steps:
                return f"{step.state} polled ({', '.join(sorted(step.memo))})"
            return f"{step.state} begun" if step.effect is Effect.READ else f"{step.state} intended"
        return (
            f"{step.state} withdrawn" if step.status is StepStatus.WITHDRAWN else f"outcome {step.state} {step.outcome}"
        )

    def committed(self, commit: Commit, incident: Incident, what: str, way: str) -> None:
        """Remember it for the points that come."""
        if commit.progress.step is not None:
            self.steps[commit.progress.step.id] = commit.progress.step
            self.ways_of_steps[commit.progress.step.id] = way
        if what.startswith("outcome ") or what.endswith(" withdrawn") or what == "moved":
            told = what.removeprefix("outcome ") if what != "moved" else f"to {incident.state}"
            self.ways[incident.id] = extended(self.ways.get(incident.id, []), told)
        self.states[incident.id] = incident.state


def watch_the_store(passing: Passing) -> None:
    """Points before and after what is committed."""

    async def commit(
        original: Callable[[SqliteStore, Commit], Awaitable[Incident | None]], store: SqliteStore, work: Commit
    ) -> Incident | None:
        incident = work.progress.incident
        if incident is None:
            return await original(store, work)
        what, way = passing.what(work, incident), passing.way(incident)
        step = work.progress.step.id if work.progress.step else ""
        passing.at("before", what, way, step)
        stored = await original(store, work)
        passing.at("after", what, way, step)
        passing.committed(work, incident, what, way)
        return stored

    async def ingest(
        original: Callable[[SqliteStore, Sequence[Received]], Awaitable[list[StoredAlert]]],
        store: SqliteStore,
        batch: Sequence[Received],
    ) -> list[StoredAlert]:
        passing.at("before", "ingested")
        stored = await original(store, batch)
        passing.at("after", "ingested")
        return stored

    around(SqliteStore, "commit", commit)
    around(SqliteStore, "ingest", ingest)


def watch_the_ways_out(passing: Passing) -> None:
    """Points before and after a message is published, or an audit row emitted."""

    async def publish(
        original: Callable[..., Awaitable[None]], bus: MqttBus, topic: str, payload: bytes, *, retain: bool = False
    ) -> None:
        body = json.loads(payload) if payload.startswith(b"{") else {}
        what = f"published {topic.split('/')[1]} {body.get('status', '')}".strip()
        passing.at("before", what)
        await original(bus, topic, payload, retain=retain)
        passing.at("after", what)

    async def emit(original: Callable[..., Awaitable[None]], sink: ConsoleSink, row: AuditRow) -> None:
        what = f"emitted {row.entry.kind}"
        passing.at("before", what)
        await original(sink, row)
        passing.at("after", what)

    around(MqttBus, "publish", publish)
    around(ConsoleSink, "emit", emit)


def watch_the_calls(passing: Passing) -> None:
    """Points within and after the sending of an effect."""
    sender = threading.local()

    def at(side: str, call: Call | None) -> None:
        step = passing.steps.get(call.step_id) if call is not None and not call.read_only else None
        if step is not None:
            passing.at(side, f"{step.state} sent", passing.ways_of_steps[step.id], step.id)

    async def run(
        original: Callable[..., Awaitable[Reply]], shell: WinrmShell, call: Call, permit: Permit | None = None
    ) -> Reply:
        reply = await original(shell, call, permit)
        at("answered", call)
        return reply

    @contextmanager
    def sending(original: Callable[[Attempt], Any], attempt: Attempt) -> Iterator[None]:
        with original(attempt):
            sender.call = attempt.call
            try:
                yield
            finally:
                sender.call = None

    def run_command(original: Callable[..., str], /, *args: object, **kwargs: object) -> str:
        command = original(*args, **kwargs)
        at("commanded", getattr(sender, "call", None))
        return command

    def send_command_input(original: Callable[..., None], /, *args: object, **kwargs: object) -> None:
        original(*args, **kwargs)
        if kwargs.get("end"):
            at("sent", getattr(sender, "call", None))

    def deliver(original: Callable[[Attempt, End], None], attempt: Attempt, end: End) -> None:
        at("carried out", attempt.call)
        original(attempt, end)

    around(WinrmShell, "run", run)
    around(Attempt, "sending", sending)
    around(Attempt, "deliver", deliver)
    around(Protocol, "run_command", run_command)
    around(Protocol, "send_command_input", send_command_input)


def become(directory: Path, deadly: str, config: str) -> None:
    """Run the daemon in this process; returns when it was stopped."""
    random.seed()  # or each fork would have the same jitter
    passing, driven = Passing(directory / TRACE, deadly), Driven(Forward(directory / CLOCK))
    put_forward(driven)
    watch_the_store(passing)
    watch_the_ways_out(passing)
    watch_the_calls(passing)
    watch_the_turns(driven)
    sys.argv = ["exmedic", "run", "--config", config]
    daemon.cli.main()


def start(order: dict[str, str]) -> int:
    """Fork the daemon; its process id. Its words go to the file `log`."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        become(Path(order["directory"]), order["deadly"], order["config"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - it must not go on as a second copy of the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        child = start(json.loads(line))
        print(child, flush=True)  # noqa: T201 - the answer
        # Orders come one by one: what is readable meanwhile is the end of them, and then nobody would end the daemon.
        ending = os.pidfd_open(child)
        readable, _, _ = select.select([ending, sys.stdin], [], [])
        os.close(ending)
        if sys.stdin in readable:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
