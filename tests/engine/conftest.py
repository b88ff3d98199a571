"""A daemon on a small world."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.engine.world import Daemon, World


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon in mode auto on a healthy world."""
    store = MemoryStore()
    await store.open()
    yield Daemon(World(ManualClock()), store, tmp_path)
    await store.close()
