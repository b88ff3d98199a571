from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab
from tests.acceptance.site import Site
from tests.realparts.mosquitto import Mosquitto

SPEED = 120.0  #: how many times faster than real ones the lab's seconds pass


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab at the speed of these tests."""
    with Lab(tmp_path / "site", LabClock.starting_now(SPEED)) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, lab: Lab, mosquitto: Mosquitto) -> Iterator[Site]:
    """A lab and a broker, and a daemon to be started."""
    site = Site(tmp_path / "site", lab, mosquitto)
    yield site
    site.close()


@pytest.fixture
def at_speed(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Callable[[float], Site]]:
    """`site` at another speed."""
    sites: list[Site] = []

    def make(speed: float) -> Site:
        lab = Lab(tmp_path / "site", LabClock.starting_now(speed))
        lab.start()
        sites.append(Site(tmp_path / "site", lab, mosquitto))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
        site.lab.stop()
