"""Plays systemd: kills a service whose watchdog is not fed, and starts it again."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

from daemon.runtime.tasks import cancel
from tests.acceptance.driven import DaemonProcess
from tests.acceptance.site import Site

WATCHDOG = 3.0  #: seconds without WATCHDOG=1 after which the service counts as hung
_LOOK = 0.05


class Supervisor:
    """WatchdogSec= and Restart=on-failure of systemd.service(5), for one daemon."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.restarts = 0
        self.daemon: DaemonProcess | None = None

    async def run(self) -> None:
        """Keep the daemon running until cancelled."""
        while True:
            self.daemon = await self._site.daemon()
            await self._until_hung(self.daemon)
            # systemd sends SIGABRT first, which a stopped process does not get either, and this when it did not help.
            self.daemon.kill()
            self.restarts += 1

    async def _until_hung(self, daemon: DaemonProcess) -> None:
        fed, since = 0, time.monotonic()
        while time.monotonic() - since < WATCHDOG:
            await asyncio.sleep(_LOOK)
            assert daemon.process.poll() is None, f"it ended by itself:\n{daemon.words()}"
            if daemon.heard().count("WATCHDOG=1") > fed:
                fed, since = daemon.heard().count("WATCHDOG=1"), time.monotonic()


@contextlib.asynccontextmanager
async def supervised(site: Site) -> AsyncIterator[Supervisor]:
    """A daemon that is running and supervised when this enters."""
    site.environment["WATCHDOG_USEC"] = str(int(WATCHDOG * 1_000_000))
    supervisor = Supervisor(site)
    running = asyncio.create_task(supervisor.run())
    try:
        while supervisor.daemon is None or "READY=1" not in supervisor.daemon.heard():
            assert not running.done(), running
            await asyncio.sleep(_LOOK)
        yield supervisor
    finally:
        await cancel(running)


def freeze(daemon: DaemonProcess) -> None:
    """Stop the process as a hang of the whole machine would."""
    daemon.process.send_signal(signal.SIGSTOP)


def thaw(daemon: DaemonProcess) -> None:
    """Let it go on."""
    daemon.process.send_signal(signal.SIGCONT)
