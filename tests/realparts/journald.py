"""A real systemd-journald, as a namespace instance of its own, read back with journalctl."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

from tests.realparts.process import RealProcess
from tests.realparts.waiting import HANG

_DAEMON = Path("/lib/systemd/systemd-journald")
_LOGS = (Path("/var/log/journal"), Path("/run/log/journal"))


class Journald(RealProcess):
    """One journald in a namespace nobody else has. Needs root: it writes below /run/systemd and /var/log/journal.

    Killed, its socket stays behind and refuses; frozen, its socket takes datagrams until it is full.
    """

    def __init__(self) -> None:
        assert _DAEMON.exists(), f"{_DAEMON} is not installed, and these tests need the real one: make system-test"
        assert shutil.which("journalctl"), "journalctl is not installed, and these tests need it: make system-test"
        assert os.geteuid() == 0, "a real journald runs only as root: run these tests as root, in a container for one"
        self.namespace = f"exmedic-{uuid.uuid4().hex[:12]}"
        self.socket_path = Path(f"/run/systemd/journal.{self.namespace}/socket")
        self.restart()

    def restart(self) -> None:
        """Start it, also after `kill`; returns when it has opened its journal and its socket."""
        self.stop()
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            address = f"{directory}/notify"
            ready.bind(address)
            ready.settimeout(HANG)
            self._process = subprocess.Popen(
                [_DAEMON, self.namespace],
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": address},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            while b"READY=1" not in ready.recv(4096):
                pass

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """What is in the journal, oldest first, as `journalctl -o json` has it. `matches` are like `PRIORITY=3`."""
        if self._process:
            subprocess.run(["journalctl", f"--namespace={self.namespace}", "--sync"], check=True, timeout=HANG)
        answer = subprocess.run(
            ["journalctl", f"--namespace={self.namespace}", "-o", "json", "--all", "--no-pager", "-q", *matches],
            check=True,
            capture_output=True,
            timeout=HANG,
        )
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def open_to_all(self) -> None:
        """Let every user read it, as members of the group systemd-journal may on a machine."""
        self.entries()  # written
        for each in (each for logs in _LOGS for each in logs.glob(f"*.{self.namespace}")):
            each.chmod(0o755)
            for file in each.iterdir():
                file.chmod(0o644)

    def remove(self) -> None:
        """Stop it and delete all it wrote."""
        self.stop()
        shutil.rmtree(self.socket_path.parent, ignore_errors=True)
        for logs in _LOGS:
            for directory in logs.glob(f"*.{self.namespace}"):
                shutil.rmtree(directory)
