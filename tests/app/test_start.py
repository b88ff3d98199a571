"""What keeps a daemon from starting, and the operators' socket of one that runs."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.adapters.pause_file import PauseFile
from daemon.adapters.sqlite.store import SqliteStore
from daemon.app.offline import journal_namespace
from daemon.app.service import run_daemon
from daemon.config.inventory import load_inventory
from daemon.config.settings import load_settings
from daemon.config.whereabouts import DATABASE
from daemon.domain.audit import AuditKind
from daemon.domain.errors import ConfigError, OperatorError, StoreError
from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab
from daemon.operators.client import ask
from daemon.operators.commands import Operators
from daemon.operators.socket import DEPTH_LIMIT, LINE_LIMIT, SOCKET_MODE, TOO_DEEP, ControlSocket
from daemon.runtime.unix_socket import socket_address
from daemon.testing.clock import ManualClock
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore
from tests.realparts.waiting import HANG


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with Lab(tmp_path / "lab", LabClock.starting_now(1)) as lab:
        return lab.write_site(tmp_path / "site", 1)


def change(config: Path, old: str, new: str) -> None:
    text = config.read_text("utf-8")
    assert old in text
    config.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("exmedic.toml", 'transport = "ntlm"', 'transport = "telnet"'),
        ("inventory.toml", 'roles = ["mailbox"]', 'roles = ["postbox"]'),
        ("exmedic.toml", 'inventory = "inventory.toml"', 'inventory = "elsewhere.toml"'),
        ("exmedic.toml", "[safety]", 'runbooks = "no-such-directory"\n[safety]'),
        ("exmedic.toml", 'auto_tags = ["lab"]', 'auto_tags = ["lab", "lba"]'),
    ],
)
async def test_a_wrong_configuration_is_refused_before_anything_is_made(
    config: Path, file: str, old: str, new: str
) -> None:
    change(config.parent / file, old, new)
    before = set(config.parent.iterdir())
    with pytest.raises(ConfigError) as raised:
        await run_daemon(config)
    assert raised.value.mistakes
    assert set(config.parent.iterdir()) == before


async def test_a_wrong_runbook_of_the_site_is_refused_before_anything_is_made(config: Path) -> None:
    directory = config.parent / "runbooks"
    directory.mkdir()
    (directory / "bad.yaml").write_text("runbook: bad\nstates: {verify: {do: verfy, then: {healthy: resolved}}}\n")
    change(config, 'data = "data"', 'data = "data"\nrunbooks = "runbooks"')
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        await run_daemon(config)
    assert not (config.parent / "data").exists()


async def test_beside_another_daemon_on_the_same_store_it_refuses_and_leaves_its_socket_alone(config: Path) -> None:
    settings = load_settings(config)
    settings.data.mkdir()
    settings.socket.write_text("the other's")
    other = SqliteStore(settings.data / DATABASE)
    await other.open()
    try:
        with pytest.raises(StoreError, match="in use by another exmedic"):
            await run_daemon(config)
    finally:
        await other.close()
    assert settings.socket.read_text() == "the other's"


async def test_a_socket_that_cannot_be_made_is_named_and_the_store_is_closed_again(config: Path) -> None:
    change(config, 'socket = "control.sock"', 'socket = "missing/control.sock"')
    with pytest.raises(OperatorError, match=r"the control socket .*missing/control\.sock cannot be made"):
        await run_daemon(config)
    store = SqliteStore(config.parent / "data" / DATABASE)
    await store.open()  # refused if it were still locked
    await store.close()


async def test_a_data_directory_that_cannot_be_made_is_named(config: Path) -> None:
    (config.parent / "data").write_text("a file")
    with pytest.raises(OperatorError, match=r"the data directory .*/data cannot be made"):
        await run_daemon(config)


@pytest.mark.parametrize(
    ("path", "namespace"),
    [
        ("/run/systemd/journal/socket", None),
        ("/run/systemd/journal.exmedic-1/socket", "exmedic-1"),
        ("none", None),
    ],
)
def test_the_namespace_of_a_journal_is_in_the_path_of_its_socket(path: str, namespace: str | None) -> None:
    assert journal_namespace(Path(path)) == namespace


# The operators' socket


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    opened = MemoryStore()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def path(config: Path, store: MemoryStore) -> AsyncIterator[Path]:
    """The socket of operators who are served."""
    settings = load_settings(config)
    operators = Operators(
        store=store,
        bus=MemoryBus(),
        clock=ManualClock(),
        inventory=load_inventory(settings.inventory, settings),
        pause_file=PauseFile(config.parent / "pause", load_inventory(settings.inventory, settings)),
        wake=lambda: None,
    )
    async with ControlSocket(settings.socket, operators, None).serving():
        yield settings.socket
    assert not settings.socket.exists()


async def talk(path: Path, line: bytes) -> bytes:
    """Send raw bytes, and read until the daemon hangs up."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        with socket_address(path) as address:
            client.connect(address)
        reader, writer = await asyncio.open_unix_connection(sock=client)
        try:
            writer.write(line)
            return await asyncio.wait_for(reader.read(), HANG)
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_only_the_owner_and_the_group_may_use_the_socket(path: Path) -> None:
    assert mode(path) == SOCKET_MODE == 0o660


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_who_asked_is_what_the_kernel_says_and_goes_on_record(path: Path, store: MemoryStore) -> None:
    request = {"command": "pause", "reason": "backup", "user": "somebody else"}
    answer = await asyncio.to_thread(ask, path, request)
    assert answer == {"paused": "by root: backup", "scope": ""}
    assert (await asyncio.to_thread(ask, path, {"command": "resume"}))["paused"] is None
    rows = [(row.entry.kind, row.entry.fields["user"]) for row in await store.audit_after(0, 10)]
    assert rows == [(AuditKind.PAUSED, "root"), (AuditKind.RESUMED, "root")]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{\n",
        b"[]\n",
        b"7\n",
        b'{"command": 7}\n',
        b'{"command": "reboot", "server": "mbx1"}\n',
        b'{"command": ["pause"]}\n',
        b'{"command": "release", "server": {"a": 1}}\n',
        b'{"command": "close", "incident": null}\n',
        b"\xff\xfe\n",
        b"[" * 20_000 + b"\n",
        b"x" * (2 * LINE_LIMIT) + b"\n",
        b'{"command": "pau',
    ],
    ids=lambda line: repr(line[:24]),
)
async def test_nonsense_changes_nothing_and_the_next_operator_is_served(
    path: Path, store: MemoryStore, line: bytes
) -> None:
    answer = await talk(path, line) if line.endswith(b"\n") else await half_a_line(path, line)
    assert not answer or "error" in json.loads(answer)
    assert await store.audit_after(0, 10) == []
    assert (await asyncio.to_thread(ask, path, {"command": "status"}))["paused"] is None


@pytest.mark.parametrize("depth", [DEPTH_LIMIT, 400, 950, 20_000])
@pytest.mark.parametrize("form", ['{"command": "pause", "reason": %s}', '{"command": "add_window", "servers": %s}'])
async def test_a_command_that_is_nested_deeply_is_answered_and_refused(path: Path, depth: int, form: str) -> None:
    line = form % ("[" * depth + "]" * depth)
    assert json.loads(await talk(path, line.encode() + b"\n")) == {"error": TOO_DEEP}


async def half_a_line(path: Path, line: bytes) -> bytes:
    """Send and hang up."""
    with socket.socket(socket.AF_UNIX) as client:
        with socket_address(path) as address:
            client.connect(address)
        client.sendall(line)
    return b""


async def test_a_socket_file_left_by_a_killed_daemon_is_replaced(config: Path, store: MemoryStore) -> None:
    settings = load_settings(config)
    with socket.socket(socket.AF_UNIX) as dead, socket_address(settings.socket) as address:
        dead.bind(address)
    with pytest.raises(ConnectionRefusedError):
        ask(settings.socket, {"command": "status"})
    operators = Operators(
        store=store,
        bus=MemoryBus(),
        clock=ManualClock(),
        inventory=load_inventory(settings.inventory, settings),
        pause_file=PauseFile(config.parent / "pause", load_inventory(settings.inventory, settings)),
        wake=lambda: None,
    )
    async with ControlSocket(settings.socket, operators, None).serving():
        assert "bus" in await asyncio.to_thread(ask, settings.socket, {"command": "status"})
