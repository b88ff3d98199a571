"""The lab's own record of what was done to it: the independent witness that the audit trail is compared with."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

EffectKind = Literal[
    "restart", "stop_activation", "allow_activation", "reboot", "protocol_log_on", "protocol_log_off", "violation"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEffect:
    """One thing that changed a server, or a rule that was broken.

    `at` is lab time in ISO 8601, `server` the one acted on, `executor` the one whose endpoint was used.
    """

    at: str
    server: str
    executor: str
    effect: EffectKind
    step: str
    detail: str


class Record:
    """Effects in memory and, if there is a file, as lines of JSON in it. Reads are counted by (executor, script)."""

    def __init__(self, path: Path | None, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._effects: list[RecordedEffect] = []
        self._reads: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[str] = Counter()

    def effect(self, effect: EffectKind, server: str, *, executor: str, step: str, detail: str) -> None:
        """Write an effect down; on disk when this returns, so that killing the lab loses none."""
        entry = RecordedEffect(
            at=self._now().isoformat(), server=server, executor=executor, effect=effect, step=step, detail=detail
        )
        with self._lock:
            self._effects.append(entry)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(entry)) + "\n")

    def read(self, executor: str, script: str) -> None:
        """Count a read."""
        with self._lock:
            self._reads[executor, script] += 1

    def refused(self, server: str) -> None:
        """Count a logon that a server refused."""
        with self._lock:
            self._refused[server] += 1

    def refusals(self) -> dict[str, int]:
        """How many logons each server refused: so many count towards a lockout of the account."""
        with self._lock:
            return dict(self._refused)

    def effects(self) -> tuple[RecordedEffect, ...]:
        """Everything recorded since the lab was started, oldest first."""
        with self._lock:
            return tuple(self._effects)

    def reads(self) -> dict[tuple[str, str], int]:
        """How often each script that only reads ran on each server."""
        with self._lock:
            return dict(self._reads)
