"""Who may give which command, on a real socket and by the kernel's word for who is there."""

import asyncio
import json
import os
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.adapters.pause_file import PauseFile
from daemon.config.roles import OperatorRole, Roles
from daemon.domain.errors import OperatorError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import Terms
from daemon.operators.authorisation import Peer, doubts, refusal
from daemon.operators.commands import Operators
from daemon.operators.socket import ControlSocket
from daemon.testing.clock import ManualClock
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore
from tests.docs.markdown import ROOT

NOBODY = 65534
STRANGER = Peer("nobody", NOBODY)  # in the group nogroup, and in no other
OTHERS = ("daemon", "bin")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter, unlike the test's own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
async def operators(place: Path) -> AsyncIterator[Operators]:
    store = MemoryStore()
    await store.open()
    yield Operators(
        store=store,
        bus=MemoryBus(),
        clock=ManualClock(),
        inventory=Inventory(()),
        pause_file=PauseFile(place / "pause", Inventory(())),
        wake=lambda: None,
    )
    await store.close()


def connected_as_nobody(path: Path) -> socket.socket:
    path.chmod(0o666)
    client = socket.socket(socket.AF_UNIX)
    os.seteuid(NOBODY)  # the kernel notes who connects
    try:
        client.connect(str(path))
    finally:
        os.seteuid(0)
    return client


async def asked_by_nobody(path: Path, command: str) -> Mapping[str, Any]:
    """What the daemon answers to the user nobody."""
    reader, writer = await asyncio.open_unix_connection(sock=connected_as_nobody(path))
    try:
        writer.write(b'{"command": "%s"}\n' % command.encode())
        answer: Mapping[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("role", [None, *OperatorRole])
async def test_each_command_is_refused_below_its_role_and_only_there(
    role: OperatorRole | None, operators: Operators, place: Path
) -> None:
    given: dict[str, tuple[str, ...]] = {each.title: OTHERS for each in OperatorRole}
    if role is not None:
        given[role.title] = (*OTHERS, "nogroup")
    path = place / "control.sock"
    async with ControlSocket(path, operators, Roles.model_validate(given)).serving():
        for name, command in Operators.COMMANDS.items():
            await operators.pause_file.engage("of somebody else")
            answer = await asked_by_nobody(path, name)
            refused = "needs the role" in str(answer.get("error"))
            assert refused == (command.role is not None and (role is None or command.role > role)), (name, answer)


async def test_a_refusal_says_which_role_and_which_groups_and_nothing_is_done(
    operators: Operators, place: Path
) -> None:
    path = place / "control.sock"
    operators.pause_file.path.write_text("by hand")
    async with ControlSocket(path, operators, Roles(operator=("nogroup",), admin=("daemon", "bin"))).serving():
        answer = await asked_by_nobody(path, "resume")
    assert answer["error"].startswith("resume needs the role admin, which nobody does not have")
    assert "ask a member of daemon or bin" in answer["error"]
    assert operators.pause_file.reason() == "by hand"


async def test_without_roles_whoever_may_open_the_socket_may_give_every_command(
    operators: Operators, place: Path
) -> None:
    path = place / "control.sock"
    async with ControlSocket(path, operators, None).serving():
        assert "paused" in await asked_by_nobody(path, "pause")
        assert (await asked_by_nobody(path, "resume"))["paused"] is None


def test_root_and_the_daemons_own_user_may_do_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    roles = Roles(viewer=("nogroup",))
    assert refusal(roles, Peer("root", 0), "resume", OperatorRole.ADMIN) == ""
    assert "no group has it: ask root" in refusal(roles, STRANGER, "resume", OperatorRole.ADMIN)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    assert refusal(roles, STRANGER, "resume", OperatorRole.ADMIN) == ""


def test_a_group_that_this_machine_does_not_know_gives_nobody_a_role_and_is_told() -> None:
    roles = Roles(admin=("no-such-group",), viewer=("nogroup",))
    assert refusal(roles, STRANGER, "resume", OperatorRole.ADMIN)
    assert [doubt for doubt in doubts(roles) if "no-such-group" in doubt] == list(doubts(roles))
    assert any("whoever may open the control socket" in doubt for doubt in doubts(None))


def test_a_user_id_without_a_user_has_no_role() -> None:
    assert refusal(Roles(viewer=("nogroup",)), Peer("uid 4711", 4711), "status", OperatorRole.VIEWER)


def test_a_table_of_roles_without_any_group_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="names no group"):
        Roles()


def test_the_reference_says_of_every_command_who_may_give_it() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    section = re.split(r"^#+ ", text.partition("\n## `[roles]`\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    documented = dict(re.findall(r"^\| `([^|]+)` \| (\w+) \| .+ \|$", section, re.MULTILINE))
    names = {
        "resume_scope": "resume --server` or `--dag",
        "drop_deferred": "incidents drop",
        "add_window": "window add",
        "end_window": "window end",
    }
    assert documented == {
        names.get(name, name): command.role.title if command.role else "none"
        for name, command in Operators.COMMANDS.items()
    }


async def test_who_has_paused_may_end_it_without_any_role_and_nobody_elses(operators: Operators, place: Path) -> None:
    path, roles = place / "control.sock", Roles(admin=("daemon",))
    async with ControlSocket(path, operators, roles).serving():
        await asked_by_nobody(path, "pause")
        assert "error" not in await asked_by_nobody(path, "resume")
        await asked_by_nobody(path, "pause")
        await operators.pause_file.engage("of root", terms=Terms(id="00c0ffee", uid=0))
        assert "needs the role" in (await asked_by_nobody(path, "resume"))["error"]
        assert {each.terms.uid for each in operators.pause_file.orders()} == {0, NOBODY}


async def test_nobody_changes_the_end_of_what_another_has_ordered(operators: Operators) -> None:
    """By the id of that order, which everybody may read."""
    await operators.pause_file.engage("of root", terms=Terms(id="00c0ffee", uid=0))
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    order = {"command": "pause", "order": "00c0ffee", "until": until, "uid": NOBODY}
    await operators.carry_out("nobody", order)
    ends = {each.terms.uid: each.terms.until for each in operators.pause_file.orders()}
    assert ends[0] is None
    assert ends[NOBODY] is not None
    await operators.carry_out("root", {**order, "uid": 0})
    ends = {each.terms.uid: each.terms.until for each in operators.pause_file.orders()}
    assert ends[0] is not None, "their own they may"


async def test_a_pause_that_would_be_over_is_refused(operators: Operators) -> None:
    with pytest.raises(OperatorError, match="must be in the future, so nothing was paused"):
        await operators.carry_out("root", {"command": "pause", "until": "2020-01-01T00:00+00:00"})
    assert operators.pause_file.reason() is None
