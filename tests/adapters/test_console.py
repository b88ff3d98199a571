"""Audit rows and logs where there is no journald."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from daemon.adapters.console import ConsoleSink, audit_text
from daemon.adapters.systemd.logs import configure_logging
from daemon.domain.audit import AuditKind
from daemon.domain.errors import SinkDown
from tests.audit.rows import entry, rows


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_a_row_is_one_line_of_json_with_its_hash() -> None:
    stream = io.StringIO()
    first, second = rows(entry("two\nlines", {"outcome": "done"}), entry("next", kind=AuditKind.ESCALATED))
    sink = ConsoleSink(stream)
    await sink.emit(first)
    await sink.emit(second)
    one, two = (json.loads(line) for line in stream.getvalue().splitlines())
    assert one == {
        "time": "2026-11-02T03:04:05.678901+00:00",
        "kind": "outcome",
        "message": "two\nlines",
        "incident_id": "i-1",
        "server": "mbx1.contoso.com",
        "health_set": "POP.Protocol",
        "monitor": "PopSelfTestMonitor",
        "fields": {"outcome": "done"},
        "audit_seq": 1,
        "audit_hash": first.hash,
    }
    assert (two["kind"], two["audit_seq"]) == ("escalated", 2)


async def test_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    await ConsoleSink(stream).emit(rows(entry("needs a human", kind=AuditKind.ESCALATED))[0])
    shown = stream.getvalue()
    assert "needs a human" in shown
    assert "\x1b[" in shown


def test_what_an_alert_says_cannot_drive_the_terminal() -> None:
    (row,) = rows(entry("\x1b[2J\x1b]0;owned\x07 [bold]text[/bold]", {"summary": "\x1b[31m\u202e"}))
    shown = audit_text(row).plain
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "[bold]text[/bold]" in shown


async def test_a_closed_stream_is_a_sink_that_is_down() -> None:
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    stream.close()
    with pytest.raises(SinkDown):
        await sink.emit(rows(entry())[0])


def test_logs_are_json_lines_without_secrets_also_those_of_libraries() -> None:
    stream = io.StringIO()
    configure_logging(stream, journal=False)
    structlog.get_logger("exmedic.x").info("bus_up", broker="b:1883", bus_password="hunter2")
    logging.getLogger("some.library").warning("it %s", "broke")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").debug("noise")
    structlog.get_logger("exmedic.x").error("failed", exc_info=ValueError("why"))
    ours, library, _chatter, error = (json.loads(line) for line in stream.getvalue().splitlines())
    assert ours["event"] == "bus_up"
    assert ours["broker"] == "b:1883"
    assert ours["level"] == "info"
    assert ours["bus_password"] == "(hidden)"
    assert library["event"] == "it broke"
    assert library["logger"] == "some.library"
    assert "ValueError: why" in error["exception"]


def test_logs_on_a_terminal_are_lines_to_read() -> None:
    stream = Terminal()
    configure_logging(stream, journal=False)
    structlog.get_logger("exmedic.x").info("bus_up", broker="b:1883")
    assert "bus_up" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_configuring_twice_does_not_log_twice() -> None:
    stream = io.StringIO()
    configure_logging(stream, journal=False)
    configure_logging(stream, journal=False)
    structlog.get_logger("exmedic.x").info("once")
    assert len(stream.getvalue().splitlines()) == 1


def log_on_with(password: str) -> None:
    """Something that goes wrong with a secret among its local variables."""
    quoted = f"PASS {password}"
    raise ValueError(len(quoted))


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "terminal"])
def test_a_traceback_shows_no_local_variables_for_a_secret_may_be_among_them(stream: io.StringIO) -> None:
    configure_logging(stream, journal=False)
    canary = "hunter2-" + str(id(stream))
    try:
        log_on_with(canary)
    except ValueError:
        structlog.get_logger("exmedic.x").exception("it broke")
        logging.getLogger("some.library").exception("it broke too")
    assert stream.getvalue().count("ValueError") >= 2
    assert stream.getvalue().count("in log_on_with") == 2
    assert canary not in stream.getvalue()
    assert "PASS" not in stream.getvalue().replace('quoted = f"PASS {password}"', "")


def test_the_moves_of_each_state_machine_are_told_by_the_audit_trail_and_not_by_the_log() -> None:
    stream = io.StringIO()
    configure_logging(stream, journal=False)
    logging.getLogger("transitions.core").info("Finished processing state verify exit callbacks.")
    logging.getLogger("transitions.core").warning("something is odd")
    (line,) = stream.getvalue().splitlines()
    assert "something is odd" in line
