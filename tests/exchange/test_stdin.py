"""Standard input that did not arrive whole, read by a real PowerShell: nothing is run, no session opened."""

import base64
import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest

from daemon.exchange import launch

PWSH = os.environ.get("EXMEDIC_PWSH") or shutil.which("pwsh")
pytestmark = pytest.mark.skipif(PWSH is None, reason="no pwsh: set EXMEDIC_PWSH, or put one on PATH")

SAYS = "param($Call, $Secret) [Console]::Out.WriteLine('ran with ' + $Secret.Length); exit 0"
LOGON = launch.Logon("CONTOSO\\exmedic", "p\u00e4ss\u20acw0rd")


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> bytes:
    real = launch.load
    monkeypatch.setattr(launch, "load", lambda name: replace(real(name), text=SAYS))
    return launch.stdin("reboot", "i1.1", {"server": "mbx1.contoso.lab"}, LOGON)


def run(stdin: bytes) -> tuple[int, bytes]:
    assert PWSH is not None
    bootstrap = launch.arguments("i1.1")[-1].strip('"')
    command = [PWSH, "-NoProfile", "-NonInteractive", "-Command", bootstrap]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    return done.returncode, done.stdout.replace(b"\r", b"")


def test_all_of_it_runs_the_script_with_the_whole_password(whole: bytes) -> None:
    assert run(whole) == (0, b"ran with 9\n")
    assert run(whole + b"\r\n") == (0, b"ran with 9\n")
    assert run(launch.stdin("server_state", "i1.1", {}, LOGON)) == (0, b"ran with 0\n")


def test_cut_anywhere_nothing_runs(whole: bytes) -> None:
    first = whole.index(b"\n")
    cuts = (0, 1, first // 8 * 4, first // 8 * 4 + 1, first - 4, first - 1, first, first + 1, first + 5, len(whole) - 4)
    assert {cut: run(whole[:cut]) for cut in (*cuts, len(whole) - 1)} == dict.fromkeys(
        (*cuts, len(whole) - 1), (launch.INCOMPLETE, b"")
    )


def test_neither_with_another_second_line_nor_without_its_hash(whole: bytes) -> None:
    first, second = whole.split(b"\n")
    unhashed = json.loads(base64.b64decode(first))
    del unhashed["secret_sha256"]
    assert run(first + b"\n" + base64.b64encode(b"x" * 30)) == (launch.INCOMPLETE, b"")
    assert run(base64.b64encode(json.dumps(unhashed).encode()) + b"\n" + second) == (launch.INCOMPLETE, b"")
    assert run(base64.b64encode(b"null")) == (launch.INCOMPLETE, b"")
