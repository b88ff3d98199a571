"""The demo publishes its alerts only to a daemon that has subscribed: a broker keeps nothing for an unknown session."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.cli.demo import await_subscription
from daemon.domain.errors import OperatorError
from daemon.runtime.unix_socket import socket_address
from tests.realparts.waiting import HANG


@contextmanager
def daemon_that_says(path: Path, *states: str) -> Iterator[list[str]]:
    """Answers one command after the other with these states of the bus; yields those it has not said yet."""
    left = list(states)
    with socket.socket(socket.AF_UNIX) as listener:
        with socket_address(path) as address:
            listener.bind(address)
        listener.listen()

        def serve() -> None:
            while left:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(json.dumps({"bus": left.pop(0)}).encode() + b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield left
        thread.join()


def test_it_waits_until_the_daemon_has_subscribed(tmp_path: Path) -> None:
    with daemon_that_says(tmp_path / "s", "not connected", "not connected", "connected") as left:
        await_subscription(tmp_path / "s", HANG)
        assert left == []


def test_it_gives_up_on_a_daemon_that_does_not_reach_the_broker(tmp_path: Path) -> None:
    states = daemon_that_says(tmp_path / "s", "not connected")
    with states, pytest.raises(OperatorError, match="did not reach the broker"):
        await_subscription(tmp_path / "s", -1.0)
