"""Fixtures that several tests of the runner share."""

import pytest

from daemon.domain import inventory
from daemon.domain.inventory import Server
from tests.remediation.world import ALONE


@pytest.fixture
def alone_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of no DAG is asked before all others."""

    def distance(_server: Server, other: Server) -> tuple[bool, bool, bool]:
        return other.name != ALONE, False, False

    monkeypatch.setattr(inventory, "_distance", distance)
