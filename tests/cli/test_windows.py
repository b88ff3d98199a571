"""`exmedic window`: what is listed without a daemon, and what is asked of one."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from daemon.adapters.sqlite.store import SqliteStore
from daemon.app.offline import clock_of
from daemon.config.settings import load_settings
from daemon.config.whereabouts import DATABASE
from daemon.domain.commits import Commit, GuardChanges
from daemon.domain.windows import Span, Window, WindowKind
from daemon.runtime.unix_socket import socket_address
from tests.cli.conftest import Exmedic

OFFICE = """
[[windows]]
kind = "business_hours"
name = "office"
days = ["monday", "friday"]
from = "08:00"
until = "18:00"
timezone = "Europe/Paris"
sites = ["Lyon"]
"""


@contextmanager
def asked(path: Path, answer: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Something at the daemon's socket that keeps the one command it gets, and answers it."""
    heard: list[dict[str, Any]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        with socket_address(path) as address:
            listener.bind(address)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(json.loads(connection.recv(65536)))
                connection.sendall(json.dumps(answer).encode() + b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield heard
        thread.join()
    path.unlink()


def add(config: Path, *windows: Window) -> None:
    async def put() -> None:
        store = SqliteStore(load_settings(config).data / DATABASE)
        await store.open()
        for window in windows:
            await store.commit(Commit(at=clock_of(load_settings(config)).now(), guards=GuardChanges(window=window)))
        await store.close()

    asyncio.run(put())


def test_without_any_it_says_so(exmedic: Exmedic, config: Path) -> None:
    assert exmedic("window", "list", "--config", str(config)).said == "no windows"


def test_the_list_has_those_of_the_configuration_and_of_the_store_but_none_that_is_over(
    exmedic: Exmedic, config: Path
) -> None:
    site = "Lyon" if "Lyon" in (config.parent / "inventory.toml").read_text() else "Site1"
    text = config.read_text("utf-8").replace("[lab]", OFFICE.replace("Lyon", site) + "\n[lab]")
    config.write_text(text, "utf-8")
    now = clock_of(load_settings(config)).now()
    hour = timedelta(hours=1)
    window = Window(
        kind=WindowKind.MAINTENANCE,
        name="[/]patching",
        when=Span(now, now + hour),
        added_at=now,
        added_by="ada",
        reason="[/] CHG1",
    )
    add(
        config,
        window,
        Window(
            kind=WindowKind.FREEZE,
            name="tomorrow",
            when=Span(now + 24 * hour, now + 25 * hour),
            added_at=now,
            added_by="bob",
        ),
        Window(kind=WindowKind.FREEZE, name="yesterday", when=Span(now - 2 * hour, now - hour), added_at=now),
    )
    result = exmedic("window", "list", "--config", str(config))
    shown = [line.strip() for line in result.out.splitlines()]
    assert shown[0].startswith(f"office business hours for site {site}, of exmedic.toml: ")
    assert shown[1:] == [
        "mon fri 08:00-18:00 Europe/Paris",
        f"[/]patching maintenance for all servers, added by ada: holds until {now + hour:%Y-%m-%d %H:%M:%S} UTC",
        f"{now:%Y-%m-%d %H:%M:%S} to {now + hour:%Y-%m-%d %H:%M:%S} UTC: [/] CHG1",
        f"tomorrow freeze for all servers, added by bob: begins {now + 24 * hour:%Y-%m-%d %H:%M:%S} UTC",
        f"{now + 24 * hour:%Y-%m-%d %H:%M:%S} to {now + 25 * hour:%Y-%m-%d %H:%M:%S} UTC",
    ]


def test_what_is_added_and_ended_is_asked_of_the_daemon(exmedic: Exmedic, config: Path) -> None:
    arguments = ("--kind", "freeze", "--server", "mbx1", "--server", "mbx2", "--site", "Lyon", "--hours", "2.5")
    with asked(config.parent / "control.sock", {"window": "freeze [/]x for mbx1"}) as heard:
        result = exmedic("window", "add", "x", *arguments, "--reason", "CHG1", "--config", str(config))
    assert (result.code, result.said) == (0, "added freeze [/]x for mbx1")
    assert heard == [
        {
            "command": "add_window",
            "name": "x",
            "kind": "freeze",
            "from": "",
            "until": "",
            "servers": ["mbx1", "mbx2"],
            "dags": [],
            "sites": ["Lyon"],
            "hours": 2.5,
            "reason": "CHG1",
        }
    ]
    with asked(config.parent / "control.sock", {"ended": "freeze x"}) as heard:
        result = exmedic("window", "end", "x", "--config", str(config))
    assert (result.code, result.said, heard) == (0, "ended freeze x", [{"command": "end_window", "name": "x"}])


def test_without_a_daemon_nothing_is_added(exmedic: Exmedic, config: Path) -> None:
    result = exmedic("window", "add", "x", "--hours", "1", "--config", str(config))
    assert result.code == 1
    assert "is it running?" in result.said
