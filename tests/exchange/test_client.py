"""What is said of a server that gave no usable answer: once which script and which server, then why."""

from datetime import UTC, datetime

import pytest

from daemon.domain.ports import Reply, ReplyKind
from daemon.exchange.answers import StepRunning
from daemon.exchange.client import Unheard, understand


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("step_running on mbx1: connection refused", "step_running on mbx1: connection refused"),
        ("step_running on mbx1 wrote no answer", "step_running on mbx1 wrote no answer"),
        ("access is denied", "step_running on mbx1: access is denied"),
        ("server_state on mbx1: no", "step_running on mbx1: server_state on mbx1: no"),
        ("", "step_running on mbx1: unknown"),
    ],
)
def test_a_detail_names_the_call_once(detail: str, expected: str) -> None:
    reply = Reply(kind=ReplyKind.UNKNOWN, result={}, detail=detail)
    heard = understand(reply, "mbx1", "step_running", StepRunning, 0.0)
    assert isinstance(heard, Unheard)
    assert heard.detail == expected


def test_an_answer_of_another_shape_names_the_field() -> None:
    reply = Reply(kind=ReplyKind.OK, result={"running": True}, clock=datetime(2026, 1, 1, tzinfo=UTC))
    heard = understand(reply, "mbx1", "step_running", StepRunning, 0.0)
    assert isinstance(heard, Unheard)
    assert heard.detail == "step_running on mbx1: answer not understood: looked_at: Field required"


def test_an_error_of_a_scripts_own_is_no_answer_about_the_server() -> None:
    for error, kind in (("broken", ReplyKind.UNKNOWN), ("not_found", ReplyKind.FAILED)):
        reply = Reply(kind=ReplyKind.FAILED, result={}, error=error, detail="no")
        heard = understand(reply, "mbx1", "step_running", StepRunning, 0.0)
        assert isinstance(heard, Unheard)
        assert (heard.kind, heard.outcome) == (kind, "unknown")
