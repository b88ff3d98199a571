"""Sockets whose paths are longer than the kernel takes."""

import os
import socket
from pathlib import Path

import pytest

from daemon.lab.socket import ControlSocket, lab_command
from daemon.runtime.unix_socket import socket_address

KERNEL_TAKES = 107  # bytes of a path, unix(7)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    return directory


def test_a_socket_below_a_long_path_can_be_bound_and_connected_to(deep: Path) -> None:
    path = deep / "control.sock"
    assert len(os.fsencode(path)) > KERNEL_TAKES
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with socket_address(path) as address:
            listener.bind(address)
        listener.listen()
        assert path.is_socket()
        with socket_address(path) as address:
            client.connect(address)
        accepted, _ = listener.accept()
        accepted.close()


def test_no_descriptor_is_left_open(deep: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with socket_address(deep / "x"):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_directory_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), socket_address(tmp_path / "missing" / "x"):
        pass


def test_a_lab_in_a_directory_of_a_long_name_obeys(deep: Path) -> None:
    control = ControlSocket(deep, lambda command: {"heard": command["command"]})
    control.open()
    try:
        assert lab_command(deep, {"command": "servers"}) == {"heard": "servers"}
    finally:
        control.close()
