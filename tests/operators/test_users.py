"""The user database may hang: the kill switch does not wait for it."""

import json
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config.roles import Roles
from daemon.operators import socket as control
from daemon.operators import users
from daemon.operators.commands import Operators
from daemon.operators.socket import ControlSocket
from daemon.operators.users import name_of, user_name
from tests.operators.test_authorisation import NOBODY, asked_by_nobody, operators, place

__all__ = ["operators", "place"]  # fixtures


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user database that answers nobody until the test is over."""
    over = threading.Event()

    def looked_up(_uid: int) -> pwd.struct_passwd:
        over.wait()
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", looked_up)
    monkeypatch.setattr(users, "NAMED_WITHIN", 0.01)
    monkeypatch.setattr(control, "LOOKED_UP_WITHIN", 0.01)
    yield
    over.set()


@pytest.mark.usefixtures("hanging")
async def test_a_pause_is_on_record_by_number_while_the_user_database_hangs(operators: Operators, place: Path) -> None:
    roles = Roles(admin=("daemon",))
    async with ControlSocket(place / "control.sock", operators, roles).serving():
        answer = await asked_by_nobody(place / "control.sock", "pause")
        assert answer["paused"] == f"by uid {NOBODY}: no reason given"
        refused = await asked_by_nobody(place / "control.sock", "release")
    assert "could not be found out" in refused["error"], json.dumps(refused)
    assert operators.pause_file.reason() is not None


@pytest.mark.usefixtures("hanging")
async def test_a_name_is_not_waited_for_beside_a_loop_or_without_one() -> None:
    assert await name_of(7) == user_name(7) == "uid 7"


async def test_a_user_is_called_by_its_name() -> None:
    assert await name_of(0) == user_name(0) == "root"
    assert await name_of(4_000_000_000) == user_name(4_000_000_000) == "uid 4000000000"
