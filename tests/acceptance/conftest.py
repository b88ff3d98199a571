from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab
from tests.acceptance.site import Site
from tests.realparts.mosquitto import Mosquitto

SPEED = 100.0  #: unless a module has its own


@pytest.fixture
def speed() -> float:
    """How many times faster than real ones the lab's seconds pass."""
    return SPEED


@pytest.fixture
def lab(tmp_path: Path, speed: float) -> Iterator[Lab]:
    """A lab at the speed of these tests."""
    with Lab(tmp_path / "site", LabClock.starting_now(speed)) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, lab: Lab, mosquitto: Mosquitto) -> Iterator[Site]:
    """A lab and a broker, and a daemon to be started."""
    site = Site(tmp_path / "site", lab, mosquitto)
    yield site
    site.close()
