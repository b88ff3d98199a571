"""A ladder of a shipped runbook that is healed by the real scripts, and what that rests on."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from daemon.lab.faults import Fault

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ladder:
    """What is broken, the alert that tells of it, and what the lab's record must have of the server, in order.

    `broken_before`: another server that is broken as well, and its fault.
    """

    runbook: str
    name: str
    server: str
    health_set: str
    monitor: str
    effects: tuple[str, ...]
    fault: Fault = Fault.RESTART_CURES
    options: tuple[tuple[str, object], ...] = ()
    broken_before: tuple[str, Fault] | None = None

    @property
    def id(self) -> str:
        """How it is called."""
        return f"{self.runbook}: {self.name}"

    @property
    def key(self) -> str:
        """The same while neither the ladder nor anything that it goes through has changed."""
        return hashlib.sha256(f"{self!r}\n{_everything()}".encode()).hexdigest()


@cache
def _everything() -> str:
    """A ladder goes through all of the daemon, so the hash of all that is installed."""
    files = sorted(
        path
        for room in ("daemon", "statemachines")
        for path in (ROOT / room).rglob("*")
        if path.suffix in {".py", ".yaml", ".ps1", ".cs", ".sql"}
    )
    return hashlib.sha256(b"\n".join(path.read_bytes() for path in files)).hexdigest()
