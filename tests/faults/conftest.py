"""The parts of the acceptance tests, and a network that can be cut."""

from collections.abc import AsyncIterator

import pytest

from tests.acceptance.conftest import lab, site, speed
from tests.faults.network import Network

__all__ = ["lab", "site", "speed"]


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """A network that is gone when the test ends."""
    between = Network()
    yield between
    await between.close()
