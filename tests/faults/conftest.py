"""The parts of the acceptance tests, and a network that can be cut."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab
from tests.acceptance.conftest import driven_lab, site
from tests.faults.network import Network

__all__ = ["driven_lab", "site"]

SPEED = 100.0  #: unless a module has its own


@pytest.fixture
def speed() -> float:
    """How many times faster than real ones the lab's seconds pass, in a campaign."""
    return SPEED


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, speed: float) -> Iterator[Lab]:
    """A lab on a clock that the test drives; for a campaign, which is about real deadlines, one that only runs fast."""
    if request.node.get_closest_marker("chaos") is None:
        yield request.getfixturevalue("driven_lab")
        return
    with Lab(tmp_path / "site", LabClock.starting_now(speed)) as running:
        yield running


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """A network that is gone when the test ends."""
    between = Network()
    yield between
    await between.close()
