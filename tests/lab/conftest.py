from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.lab.lab import Lab
from tests.lab.hand_clock import EagerClock, HandClock
from tests.lab.winrm_client import Client


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab in which nobody waits for long."""
    clock = EagerClock()
    lab = Lab(tmp_path, clock)
    clock.timeline = lab.simulation.timeline
    with lab:
        yield lab


@pytest.fixture
def client(lab: Lab) -> Client:
    return Client(lab)


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()


@pytest.fixture
def still_lab(tmp_path: Path, hand_clock: HandClock) -> Iterator[Lab]:
    """A lab whose clock moves only when the test moves it."""
    with Lab(tmp_path, hand_clock) as lab:
        yield lab
