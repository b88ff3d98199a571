"""Where the daemon's own log goes, as opposed to the audit trail: journal, JSON or a terminal. structlog in front.

The standard library's logging is the way there, so that what libraries log takes the same form.
"""

import logging
import re
from pathlib import Path
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from daemon.adapters.systemd.journal import SOCKET, JournalHandler

_SECRET = re.compile(r"password|passphrase|secret|token|credential", re.IGNORECASE)


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Nothing passes a secret here on purpose; this is for the day somebody does.
    return {name: "(hidden)" if _SECRET.search(name) else value for name, value in event.items()}


def configure_logging(stream: TextIO, *, journal: bool, journal_socket: Path = SOCKET) -> None:
    """Send all logging to the journal, or to `stream`: in colour if it is a terminal, as JSON lines if not."""
    on_terminal = not journal and stream.isatty()
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if on_terminal else "iso", utc=True, key="time"),
        _hide_secrets,
    ]
    plain: list[Processor] = [structlog.processors.format_exc_info] if not on_terminal else []
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler: logging.Handler = JournalHandler(journal_socket) if journal else logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *plain,
                _renderer(journal=journal, on_terminal=on_terminal),
            ],
        ),
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # It tells each move of each machine, which the audit trail tells better.
    logging.getLogger("transitions").setLevel(logging.WARNING)


def _renderer(*, journal: bool, on_terminal: bool) -> Processor:
    if on_terminal:
        # The renderer's own choice where rich is installed shows local variables, and a password may be among them.
        plain = structlog.dev.plain_traceback
        return structlog.dev.ConsoleRenderer(colors=True, timestamp_key="time", exception_formatter=plain)
    if journal:
        return _in_a_line
    return structlog.processors.JSONRenderer()


def _in_a_line(_logger: object, _name: str, event: EventDict) -> str:
    """What `journalctl` shows in a line: what happened, then the facts, but for those that it shows itself."""
    what = str(event.pop("event", ""))
    facts = {name: value for name, value in sorted(event.items()) if name not in {"level", "logger", "time"}}
    trace = facts.pop("exception", None)
    line = " ".join([what, *(f"{name}={value}" for name, value in facts.items())])
    return line if trace is None else f"{line}\n{trace}"
