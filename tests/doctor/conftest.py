import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from daemon.adapters.clock import FastClock
from daemon.adapters.tcp import reach
from daemon.adapters.winrm.shell import WinrmShell
from daemon.app.offline import runbooks
from daemon.cli import app
from daemon.config.inventory import load_inventory
from daemon.config.settings import Credential, Settings, load_settings, read_secret
from daemon.doctor.examination import Examination, Examiner
from daemon.domain.inventory import Inventory
from daemon.exchange.logons import Logons
from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab
from tests.realparts.waiting import HANG

SPEED = 10  #: of the lab's clock: with it, a slow call makes the clocks of two servers seem to differ


@dataclass(frozen=True)
class Site:
    """A lab with the files of a site, and the doctor's command on it."""

    lab: Lab
    config: Path

    def doctor(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["doctor", "--config", str(self.config), *arguments])

    @property
    def settings(self) -> Settings:
        return load_settings(self.config)

    @property
    def inventory(self) -> Inventory:
        return load_inventory(self.settings.inventory, self.settings)

    def change(self, file: str, change: Callable[[str], str]) -> None:
        path = self.config.parent / file
        path.write_text(change(path.read_text("utf-8")), "utf-8")

    def examine(self, name: str, credential: Credential | None = None) -> Examination:
        """An examination as the command makes it, or with another credential."""
        settings, inventory = self.settings, self.inventory
        server = inventory.find(name)
        assert server is not None
        credentials = settings.credentials if credential is None else {"lab": credential}

        async def examine() -> Examination:
            logons = Logons(self.lab.clock.now)
            shell = WinrmShell(inventory, settings.winrm, credentials, read_secret, logons)
            examiner = Examiner(
                shell=shell,
                clock=FastClock(self.lab.clock.epoch, SPEED),
                inventory=inventory,
                definitions=runbooks(settings),
                timeout=settings.winrm.call_timeout,
                reach=lambda endpoint: reach(endpoint, HANG),
                depends=settings.dependencies,
            )
            try:
                return await examiner.examine(server)
            finally:
                await shell.close()

        return asyncio.run(examine())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Lab(tmp_path / "lab", LabClock.starting_now(SPEED)) as lab:
        config = lab.write_site(tmp_path / "site", broker_port=1)
        config.write_text(config.read_text("utf-8") + "\n[winrm]\ncall_timeout = 600\n", "utf-8")
        yield Site(lab, config)


@pytest.fixture(scope="module")
def examinations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Examination]:
    """Of a healthy lab; tests change what they want to see judged."""
    directory = tmp_path_factory.mktemp("healthy")
    with Lab(directory / "lab", LabClock.starting_now(SPEED)) as lab:
        healthy = Site(lab, lab.write_site(directory / "site", broker_port=1))
        return {name: healthy.examine(name) for name in ("mbx1", "cas1")}
