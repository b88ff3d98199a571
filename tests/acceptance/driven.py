"""The daemon of these tests: the real one, on a clock that the test drives, so that the machine's pace cannot matter.

The clock runs slowly, so that a busy machine has time for what it does. Whenever the daemon has nothing to do before
some moment, and the test has looked and only waits, the test puts the clock forward to that moment. Where a test has
taken care that no answer comes, it says when the deadline of a call passes, which otherwise only a hang reaches.

It is forked with everything imported, which saves a second of CPU at each start.
"""

import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import daemon.cli
from daemon.adapters.clock import FastClock
from daemon.adapters.sqlite import file
from daemon.adapters.sqlite.store import SqliteStore
from daemon.adapters.winrm import conversation
from daemon.adapters.winrm.attempt import Attempt, End
from daemon.domain.errors import StoreError
from daemon.domain.incidents import IncidentStatus
from daemon.remediation.runner.turn import Turn
from daemon.runtime.loops import Daemon
from tests.chaos.clock import LOOK, Forward
from tests.realparts.waiting import HANG, eventually

BUSY = "EXMEDIC_TEST_BUSY_TIMEOUT"  #: in the environment: milliseconds that the store waits for another program's lock
CLOCK, SILENT = "clock", "silent"  #: files of a site: its clock, and the servers that say nothing, one a line
TERMINAL = {"COLUMNS": "80", "NO_COLOR": "1"}  #: of commands; rich reads it when it is imported
_FAR = datetime.max.replace(tzinfo=UTC)
_LOOKS = 5  #: of the clock, for one at the store, from which an alert may have come without a turn
_NEVER = 0.05  #: real seconds to wait for a server that says nothing: however long, nothing is sent to it

P = ParamSpec("P")


def around(owner: type[Any], name: str, new: Callable[Concatenate[Callable[..., Any], P], Any]) -> None:
    """Replace a method by `new`, whose first argument is the original."""
    original = getattr(owner, name)

    @wraps(original)
    def replaced(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - any method
        return new(original, *args, **kwargs)

    setattr(owner, name, replaced)


@dataclass
class Driven:
    """The daemon's side: it tells when it is idle, and follows the clock at once."""

    forward: Forward
    store: SqliteStore | None = None
    clock: FastClock | None = None
    turns: int = 0
    told: bool = False
    moved: asyncio.Event = field(
        default_factory=asyncio.Event
    )  #: the clock was put forward; then another takes its place

    async def run(self) -> None:
        """Until cancelled."""
        seen, looks = self.forward.seconds, 0
        while True:
            await asyncio.sleep(LOOK)
            looks += 1
            if self.forward.seconds != seen:
                seen = self.forward.seconds
                self.busy()
                moved, self.moved = self.moved, asyncio.Event()
                moved.set()
            elif not self.turns and not self.told and looks >= _LOOKS:
                looks = 0
                await self._tell()

    def busy(self) -> None:
        """What was told is no longer so."""
        self.told = False
        self.forward.tell_busy()

    async def _tell(self) -> None:
        if self.store is None or self.clock is None:
            return
        with contextlib.suppress(StoreError):
            due = [each.due_at for each in await self.store.incidents(IncidentStatus.OPEN) if each.due_at]
            due += [each.not_before for each in await self.store.deferred(_FAR, 1)]
            if due and not self.turns and min(due) > self.clock.now():
                self.told = True
                self.forward.tell_idle(min(due))


def put_forward(driven: Driven) -> None:
    """Let the lab's clock be one that can be put forward, also under those who sleep by it."""

    def made(original: Callable[..., None], clock: FastClock, epoch: datetime, speed: float) -> None:
        original(clock, epoch, speed)
        driven.clock = clock

    def now(original: Callable[[FastClock], datetime], clock: FastClock) -> datetime:
        return original(clock) + timedelta(seconds=driven.forward.seconds)

    async def sleep(original: Callable[..., Awaitable[None]], clock: FastClock, seconds: float) -> None:
        until = clock.now() + timedelta(seconds=seconds)
        await asyncio.sleep(0)
        while (left := (until - clock.now()).total_seconds()) > 0:
            passing = [asyncio.ensure_future(original(clock, left)), asyncio.ensure_future(driven.moved.wait())]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in passing:
                    each.cancel()

    around(FastClock, "__init__", made)
    around(FastClock, "now", now)
    around(FastClock, "sleep", sleep)


def watch_the_turns(driven: Driven) -> None:
    """So that the clock is put forward only while no incident is on its way."""

    async def take(original: Callable[[Turn], Awaitable[None]], turn: Turn) -> None:
        driven.turns += 1
        driven.busy()
        try:
            await original(turn)
        finally:
            driven.turns -= 1

    async def opened(original: Callable[[SqliteStore], Awaitable[None]], store: SqliteStore) -> None:
        await original(store)
        driven.store = store

    async def run(original: Callable[..., Awaitable[None]], loops: Daemon, stop: asyncio.Event) -> None:
        watching = asyncio.create_task(driven.run())
        try:
            await original(loops, stop)
        finally:
            watching.cancel()

    around(Turn, "take", take)
    around(SqliteStore, "open", opened)
    around(Daemon, "run", run)


def pass_deadlines(driven: Driven, silent: Path) -> None:
    """Let a deadline pass when the test says so, and at once for a server that says nothing; else only for a hang."""
    conversation.OPERATION_TIMEOUT = 1.0  # how often a late answer is asked for
    conversation.ANSWER_SLACK = 60.0  # of a lab on a busy machine

    def says_nothing(server: str) -> bool:
        return silent.exists() and server in silent.read_text().split()

    async def wait(original: Callable[[Attempt], Awaitable[End]], attempt: Attempt) -> End:
        told = driven.forward.given_up
        if says_nothing(attempt.call.executor):
            driven.forward.add(attempt.call.timeout)
            attempt.until = min(attempt.until, time.monotonic() + _NEVER)
        ending = asyncio.ensure_future(original(attempt))
        try:
            while not ending.done() and driven.forward.given_up == told:
                await asyncio.wait([ending], timeout=LOOK)
            if not ending.done():
                attempt.until = time.monotonic()
                attempt.cut()
                return attempt.late()
            return ending.result()
        finally:
            ending.cancel()

    around(Attempt, "wait", wait)


def become(arguments: Sequence[str], directory: Path, output: Path, environment: Mapping[str, str]) -> None:
    """Be `exmedic` in this process, for the site in that directory."""
    os.environ.update(environment)
    with output.open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    random.seed()  # or each fork would have the same jitter
    if BUSY in environment:
        file.BUSY_TIMEOUT = int(environment[BUSY])
    driven = Driven(Forward(directory / CLOCK))
    put_forward(driven)
    watch_the_turns(driven)
    pass_deadlines(driven, directory / SILENT)
    sys.argv = ["exmedic", *arguments]
    daemon.cli.main()


class Exmedic:
    """A fork of it, as `subprocess.Popen` has a process. To be used from one thread."""

    def __init__(self, arguments: Sequence[str], directory: Path, output: Path, environment: Mapping[str, str]) -> None:
        given = (list(arguments), directory, output, dict(environment))
        self._process: ForkServerProcess = _nursery().Process(target=become, args=given)
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See `returncode`."""
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended."""
        self._process.join(timeout)
        assert self.returncode is not None, f"process {self.pid} has not ended within {timeout:g} s"
        return self.returncode

    def send_signal(self, wanted: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, wanted)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


@cache
def _nursery() -> ForkServerContext:
    """Where they are forked; it is started with the first."""
    nursery = multiprocessing.get_context("forkserver")
    nursery.set_forkserver_preload([__name__])
    with _environment(TERMINAL):
        forkserver.ensure_running()
    return nursery


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class DaemonProcess:
    """`exmedic run` in a process of its own, with a notification socket as systemd would give it."""

    def __init__(
        self,
        config: Path,
        log: Path,
        environment: Mapping[str, str],
        user: Sequence[str] = (),
        *,
        driven: bool,
    ) -> None:
        self.log = log
        self.told: list[str] = []  #: what it told its service manager, in order
        # An abstract address: the path of a test's directory may be too long for a socket.
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.setblocking(False)
        address = f"exmedic-test-{uuid.uuid4().hex}"
        self._notify.bind(f"\0{address}")
        self.process: Exmedic | subprocess.Popen[bytes]
        environment = {"NOTIFY_SOCKET": f"@{address}", **environment}
        if driven:
            self.process = Exmedic(["run", "-c", str(config)], config.parent, log, environment)
            return
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*user, sys.executable, "-m", "daemon", "run", "-c", str(config)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )

    def heard(self) -> list[str]:
        """What it has told its service manager until now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told.append(self._notify.recv(4096).decode())
        return self.told

    async def ready(self) -> None:
        """Return when it says that it is ready."""

        def said() -> bool:
            assert self.process.poll() is None, f"the daemon ended early:\n{self.words()}"
            return "READY=1" in self.heard()

        await eventually(said, f"the daemon is ready; its log: {self.log}")

    def kill(self) -> None:
        """Kill it as a power cut would; it is gone when this returns."""
        self.process.kill()
        self.process.wait(HANG)

    def terminate(self) -> None:
        """Ask it to stop, as systemd does."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        await eventually(lambda: self.process.poll() is not None, f"the daemon ends; its log: {self.log}")
        return self.process.wait(HANG)

    async def stop(self) -> int:
        """Stop it orderly; its exit code."""
        self.terminate()
        return await self.ended()

    def words(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        """End it if it still runs, and give everything back."""
        if self.process.poll() is None:
            self.kill()
        self._notify.close()
