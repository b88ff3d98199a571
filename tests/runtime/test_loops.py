"""The staged stop, and what happens when a loop dies."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.adapters.clock import SystemClock
from daemon.domain.errors import StoreError
from daemon.runtime.loops import Daemon, Loop, stop_on_signal
from daemon.runtime.progress import STUCK, Progress
from daemon.testing.clock import ManualClock
from tests.realparts.waiting import HANG, eventually

Beat = Callable[[], None]
LOOPS = ("bus", "intake", "remote pause", "dispatch", "runner", "outbox", "audit")


@dataclass(slots=True)
class Site:
    """Loops that write down how they end, and the service manager that is told about it."""

    events: list[str] = field(default_factory=list)
    dying: dict[str, BaseException | None] = field(default_factory=dict)  #: None: ends by itself
    die: asyncio.Event = field(default_factory=asyncio.Event)
    acting: asyncio.Event = field(default_factory=asyncio.Event)  #: set: no action is running
    connected: bool = True
    watchdog_interval: float | None = 0.01

    def ready(self) -> None:
        self.events.append("READY")

    def status(self, text: str) -> None:
        if self.events[-1:] != [text]:
            self.events.append(text)

    def stopping(self) -> None:
        self.events.append("STOPPING")

    def feed_watchdog(self) -> None:
        if self.events[-1:] != ["fed"]:
            self.events.append("fed")

    async def starting(self) -> None:
        self.events.append("starting")

    async def stopped(self) -> None:
        self.events.append("stop recorded")

    def taking(self, name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            try:
                await self.lives_until(name, asyncio.Event())
            finally:
                self.events.append(f"{name} ended")

        return run

    def loop(self, name: str) -> Loop:
        async def run(beat: Beat, stopping: asyncio.Event) -> None:
            beat()
            try:
                await self.lives_until(name, stopping)
                if name == "runner":
                    await self.acting.wait()
            finally:
                self.events.append(f"{name} ended")

        return run

    async def lives_until(self, name: str, told: asyncio.Event) -> None:
        assert "starting" in self.events, "a loop runs before the start is done"
        if name not in self.dying:
            await told.wait()
            return
        await self.die.wait()
        if (error := self.dying[name]) is not None:
            raise error

    def daemon(self, progress: Progress | None = None) -> Daemon:
        return Daemon(
            taking=tuple((name, self.taking(name)) for name in ("bus", "intake", "remote pause")),
            working=(("dispatch", self.loop("dispatch")), ("runner", self.loop("runner"))),
            flushing=(("outbox", self.loop("outbox")), ("audit", self.loop("audit"))),
            wake=(),
            progress=progress or Progress(SystemClock()),
            service=self,
            ready=lambda: self.connected,
            starting=self.starting,
            stopped=self.stopped,
        )

    def about_loops(self) -> list[str]:
        return [event for event in self.events if "ended" in event or event in {"STOPPING", "stop recorded"}]


@pytest.mark.parametrize("wanted", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_ends_intake_then_work_then_the_flush_and_the_bus_last(wanted: signal.Signals) -> None:
    site = Site()
    running = asyncio.create_task(site.daemon().run(stop_on_signal()))
    await eventually(lambda: "fed" in site.events, "the daemon runs")
    os.kill(os.getpid(), wanted)
    await eventually(lambda: "dispatch ended" in site.events, "the stop has begun")
    assert site.about_loops() == ["STOPPING", "intake ended", "dispatch ended"], "an action still runs, so nothing more"
    site.acting.set()
    await running
    assert site.about_loops()[3:6] == ["runner ended", "remote pause ended", "stop recorded"], "somebody may pause it"
    assert set(site.about_loops()[6:8]) == {"outbox ended", "audit ended"}
    assert site.about_loops()[8:] == ["bus ended"], "what is flushed needs the bus"


async def test_a_second_signal_changes_nothing_about_the_stop() -> None:
    site = Site()
    running = asyncio.create_task(site.daemon().run(stop_on_signal()))
    await eventually(lambda: "fed" in site.events, "the daemon runs")
    os.kill(os.getpid(), signal.SIGTERM)
    await eventually(lambda: "dispatch ended" in site.events, "the stop has begun")
    os.kill(os.getpid(), signal.SIGTERM)
    site.acting.set()
    await running
    assert site.about_loops()[-1] == "bus ended"


@pytest.mark.parametrize("name", LOOPS)
async def test_a_loop_that_dies_takes_all_down_with_its_error(name: str) -> None:
    site = Site(dying={name: StoreError("the disk is gone")})
    running = asyncio.create_task(site.daemon().run(stop_on_signal()))
    await eventually(lambda: "fed" in site.events, "the daemon runs")
    site.die.set()
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(running, HANG)
    assert raised.value.subgroup(StoreError) is not None
    assert {event for event in site.events if event.endswith("ended")} == {f"{each} ended" for each in LOOPS}


@pytest.mark.parametrize("name", LOOPS)
async def test_a_loop_that_ends_by_itself_is_an_error_and_named(name: str) -> None:
    site = Site(dying={name: None})
    site.acting.set()
    running = asyncio.create_task(site.daemon().run(stop_on_signal()))
    await eventually(lambda: "fed" in site.events, "the daemon runs")
    site.die.set()
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(running, HANG)
    assert [str(error) for error in raised.value.exceptions] == [f"the loop {name} ended by itself"]


async def test_a_loop_without_a_sign_of_life_starves_the_watchdog_and_is_named() -> None:
    clock, site = ManualClock(), Site()
    running = asyncio.create_task(site.daemon(Progress(clock)).run(stop_on_signal()))
    await eventually(lambda: "fed" in site.events, "the daemon runs")
    clock.advance(STUCK + 1)
    await eventually(lambda: any(event.startswith("stuck: ") for event in site.events), "it is seen")
    stuck = next(event for event in site.events if event.startswith("stuck: "))
    assert stuck == "stuck: dispatch, runner, outbox, audit"
    assert "fed" not in site.events[site.events.index(stuck) :]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_is_ready_only_once_the_bus_is() -> None:
    site = Site(connected=False)
    running = asyncio.create_task(site.daemon().run(stop_on_signal()))
    await eventually(lambda: "waiting for the bus" in site.events, "it waits")
    assert "READY" not in site.events
    site.connected = True
    await eventually(lambda: "READY" in site.events, "it is ready")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
