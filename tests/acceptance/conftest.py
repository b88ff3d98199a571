from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.lab.lab import Lab
from tests.acceptance.driven import CLOCK
from tests.acceptance.site import SPEED, Site
from tests.chaos.clock import Forward, ForwardLabClock
from tests.realparts.mosquitto import Mosquitto


@pytest.fixture
def driven_lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab on a clock that the test drives."""
    directory = tmp_path / "site"
    directory.mkdir()
    with Lab(directory, ForwardLabClock(SPEED, Forward(directory / CLOCK))) as running:
        yield running


@pytest.fixture
def lab(driven_lab: Lab) -> Lab:
    """The lab of a test."""
    return driven_lab


@pytest.fixture
def site(tmp_path: Path, lab: Lab, mosquitto: Mosquitto) -> Iterator[Site]:
    """A lab and a broker, and a daemon to be started."""
    site = Site(tmp_path / "site", lab, mosquitto)
    yield site
    site.close()
