"""`exmedic demo`, as a user runs it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from daemon.adapters.winrm import WinrmShell
from daemon.config import load_settings, read_secret
from daemon.inventory import load_inventory
from daemon.ports import Call, ReplyKind
from tests.acceptance.site import command
from tests.realparts.waiting import eventually_sync

SPEED = "90"


def test_it_heals_two_servers_escalates_one_and_shows_that_lab_and_audit_trail_agree(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    code, text = command("demo", "--directory", str(directory), "--speed", SPEED)
    words = " ".join(text.split())
    assert code == 0, text
    assert words.count("as it must be") == 3
    assert "the lab's own record and the audit trail agree: " in words
    assert "audit trail: good" in words
    assert str(directory) in "".join(text.split()), "it says where it keeps its data"
    config = ("--config", str(directory / "exmedic.toml"))
    for look in (("incidents",), ("audit", "verify")):
        code, text = command(*look, *config)
        assert code == 0, text
    code, text = command("demo", "--directory", str(directory))
    assert code == 1
    assert "holds a demo already" in " ".join(text.split())
    assert "Traceback" not in text


def test_its_comparison_fails_on_an_effect_that_the_audit_trail_lacks(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with subprocess.Popen(
        [sys.executable, "-m", "daemon", "demo", "--directory", str(directory), "--speed", SPEED],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
        text=True,
    ) as demo:
        try:
            eventually_sync((directory / "daemon.log").exists, "the daemon is started", 30)
            asyncio.run(restart_by_a_stranger(directory / "exmedic.toml"))
            text, _ = demo.communicate(timeout=80)
        finally:
            demo.terminate()  # not killed: it has children to stop
    assert demo.returncode == 1, text
    assert "in the lab's record only: restart on cas1.contoso.lab, step stranger-01" in " ".join(text.split())
    assert " ".join(text.split()).count("as it must be") == 3


async def restart_by_a_stranger(config: Path) -> None:
    """Do something to a server of the lab that the daemon knows nothing of."""
    settings = load_settings(config)
    inventory = load_inventory(settings.inventory, settings)
    shell = WinrmShell(inventory, settings.winrm, settings.credentials, read_secret)
    call = Call(
        executor="cas1.contoso.lab",
        script="restart_service",
        args={"service": "MSExchangePOP3", "stop_timeout": 90, "not_after": "2100-01-01T00:00:00Z"},
        step_id="stranger-01",
        timeout=20.0,
        read_only=False,
    )
    try:
        reply = await shell.run(call)
    finally:
        await shell.close()
    assert reply.kind is ReplyKind.OK, reply.detail
