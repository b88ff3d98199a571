"""The loops of the daemon and their staged stop: nothing new is taken in, what runs ends, all is flushed."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from daemon.runtime.progress import Progress, feed_watchdog
from daemon.runtime.tasks import cancel

STATUS_EVERY = 10.0  #: real seconds between status lines for systemd, and between feedings without a watchdog

_log = structlog.get_logger("exmedic.loops")

Loop = Callable[[Callable[[], None], asyncio.Event], Coroutine[Any, Any, None]]


class Service(Protocol):
    """Who started us, and wants to know how we stand."""

    watchdog_interval: float | None

    def ready(self) -> None:
        """The daemon has started."""
        ...

    def status(self, text: str) -> None:
        """How it stands, in a line."""
        ...

    def stopping(self) -> None:
        """It has begun to stop."""
        ...

    def feed_watchdog(self) -> None:
        """It makes progress."""
        ...


def stop_on_signal() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, in the running loop."""
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    return stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The loops, by the stage of stopping in which they end. A loop that returns before it is told to is an error."""

    taking: tuple[tuple[str, Callable[[], Coroutine[Any, Any, None]]], ...]
    working: tuple[tuple[str, Loop], ...]
    flushing: tuple[tuple[str, Loop], ...]
    wake: tuple[Callable[[], None], ...]
    progress: Progress
    service: Service
    ready: Callable[[], bool]
    starting: Callable[[], Coroutine[Any, Any, object]]  #: done before anything is taken in
    stopped: Callable[[], Coroutine[Any, Any, object]]  #: recorded once nothing runs any more, before the flush

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop; then: take nothing new in, let running actions end, flush, and go."""
        await self.starting()
        async with asyncio.TaskGroup() as tasks:
            taking = {name: tasks.create_task(run(), name=name) for name, run in self.taking}
            working, stop_working = self._start(tasks, self.working)
            flushing, stop_flushing = self._start(tasks, self.flushing)
            service = tasks.create_task(self._serve(), name="service manager")
            await self._until(stop, [*taking.values(), *working, *flushing])
            self.service.stopping()
            _log.info(
                "stopping", what="no new alerts are taken in; running actions reach their outcome or their deadline"
            )
            await cancel(taking["intake"])
            await self._end(working, stop_working)
            # Until here somebody may still have to pause.
            await cancel(taking["remote pause"])
            await self.stopped()
            _log.info("stopping", what="flushing")
            await self._end(flushing, stop_flushing)
            await cancel(taking["bus"], service)

    def _start(
        self, tasks: asyncio.TaskGroup, loops: tuple[tuple[str, Loop], ...]
    ) -> tuple[list[asyncio.Task[None]], asyncio.Event]:
        stopping = asyncio.Event()
        return [tasks.create_task(run(self.progress.of(name), stopping), name=name) for name, run in loops], stopping

    async def _until(self, stop: asyncio.Event, loops: list[asyncio.Task[None]]) -> None:
        waiting = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait([waiting, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        for task in done - {waiting}:
            await task
            raise RuntimeError(f"the loop {task.get_name()} ended by itself")

    async def _end(self, loops: list[asyncio.Task[None]], stopping: asyncio.Event) -> None:
        stopping.set()
        for wake in self.wake:
            wake()
        await asyncio.wait(loops)

    async def _serve(self) -> None:
        """Tell systemd when we are ready, how we stand, and that we make progress."""
        while not self.ready():
            self.service.status("waiting for the bus")
            await asyncio.sleep(0.1)
        self.service.ready()
        await feed_watchdog(self.progress, self._feed, self.service.watchdog_interval or STATUS_EVERY)

    def _feed(self, stuck: list[str]) -> None:
        if stuck:
            # Not fed: systemd restarts us, and every incident goes on where it was.
            _log.error("loops_stuck", loops=stuck)
            self.service.status(f"stuck: {', '.join(stuck)}")
            return
        self.service.status("bus connected" if self.ready() else "bus not connected; alerts wait at the broker")
        self.service.feed_watchdog()
