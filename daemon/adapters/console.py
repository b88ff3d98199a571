"""Audit rows on the standard output: JSON, one a line, or coloured lines on a terminal. For where there is no journald.

A reader who stops reading stops the daemon: in production prefer the journal.
"""

import json
from typing import TextIO

from rich.console import Console
from rich.text import Text

from daemon.audit.journal_fields import LABELS
from daemon.domain.audit import AuditKind, AuditRow
from daemon.domain.errors import SinkDown
from daemon.domain.values import canonical, timestamp

_STYLES = {"2": "bold white on red", "3": "bold red", "4": "yellow", "5": "cyan", "6": "dim"}
_ENDINGS = {AuditKind.RESOLVED: "bold green"}


def audit_json(row: AuditRow) -> str:
    """An audit row as one line of JSON."""
    entry = row.entry
    ours = {
        "time": timestamp(entry.at),
        "kind": entry.kind.value,
        "message": entry.message,
        "incident_id": entry.incident_id,
        "server": entry.server,
        "health_set": entry.health_set,
        "monitor": entry.monitor,
        "fields": entry.fields,
        "audit_seq": row.seq,
        "audit_hash": row.hash,
    }
    return json.dumps({name: value for name, value in ours.items() if value not in ("", {})})


def audit_text(row: AuditRow) -> Text:
    """An audit row for human eyes. Alerts come from outside: what a terminal would obey is not passed on."""
    entry = row.entry
    style = _ENDINGS.get(entry.kind) or _STYLES[LABELS[entry.kind].priority]
    about = f"{entry.monitor or entry.health_set} on {entry.server}" if entry.server else ""
    line = Text(f"{entry.at:%H:%M:%S} ", style="dim")
    line.append(f"{entry.kind.value:<18}", style=style)
    line.append(f" {_printable(about)}" if about else "", style="bold")
    line.append(f" {_printable(entry.message)}")
    facts = " ".join(f"{name}={_printable(canonical(value))}" for name, value in entry.fields.items())
    return line.append(f" {facts}" if facts else "", style="dim")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class ConsoleSink:
    """`ports.AuditSink` onto a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(file=stream, soft_wrap=True, highlight=False) if stream.isatty() else None

    async def emit(self, row: AuditRow) -> None:
        """Write a row.

        Raises:
            SinkDown: nobody reads the stream any more.
        """
        try:
            if self._console:
                self._console.print(audit_text(row))
            else:
                self._stream.write(audit_json(row) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            raise SinkDown(f"the standard output takes nothing: {error}") from error
