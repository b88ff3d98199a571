"""Talking to systemd through its notification socket."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.adapters.systemd.service_manager import ServiceManager
from tests.realparts.waiting import HANG


@pytest.fixture(params=["path", "abstract"])
def notify(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket as systemd makes it, and NOTIFY_SOCKET's value for it."""
    name = f"@exmedic-{uuid.uuid4().hex}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.settimeout(HANG)
        yield name, listening


def test_systemd_hears_of_start_status_progress_and_stop(notify: tuple[str, socket.socket]) -> None:
    name, listening = notify
    systemd = ServiceManager({"NOTIFY_SOCKET": name})
    systemd.ready()
    systemd.status("3 incidents open\nREADY=0")
    systemd.feed_watchdog()
    systemd.stopping()
    heard = [listening.recv(4096).decode() for _ in range(4)]
    assert heard == ["READY=1", "STATUS=3 incidents open READY=0", "WATCHDOG=1", "STOPPING=1"]


def test_without_systemd_nothing_happens() -> None:
    with capture_logs() as logs:
        systemd = ServiceManager({})
        systemd.ready()
        systemd.stopping()
    assert logs == []
    assert systemd.watchdog_interval is None


def test_a_systemd_that_is_away_or_stuck_stops_nobody(tmp_path: Path) -> None:
    with capture_logs() as logs:
        ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
            full.bind(str(tmp_path / "full"))
            stuck = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "full")})
            for _ in range(2000):
                stuck.feed_watchdog()
    assert {entry["event"] for entry in logs} == {"systemd_not_told"}
    assert len(logs) > 1000


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "120000000"}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(environment: dict[str, str], interval: float | None) -> None:
    assert ServiceManager(environment).watchdog_interval == interval
