"""What is said of a server that gave no usable answer: once which script and which server, then why."""

from datetime import UTC, datetime

import pytest

from daemon.domain.ports import Reply, ReplyKind
from daemon.exchange.answers import StepRunning
from daemon.exchange.client import Asker, Unheard, understand
from daemon.exchange.launch import load
from daemon.exchange.opening import OPENING
from daemon.testing.clock import ManualClock
from tests.remediation.world import MBX1, World, inventory


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


@pytest.mark.parametrize(("script", "seconds"), [("invoke_probe", 330.0), ("server_health", 120.0)])
async def test_a_probe_has_a_deadline_of_its_own(script: str, seconds: float) -> None:
    server = inventory().find(MBX1)
    world = World(ManualClock())
    assert server is not None
    ask = Asker(shell=world, clock=world.clock, inventory=inventory(), timeout=120.0, probe_timeout=330.0)
    args = {"server": MBX1, "health_set": "POP.Protocol", "probe": "PopDeepTestProbe", "health_sets": ["POP.Protocol"]}
    await ask.about(server, script, args, StepRunning, "i1-01")
    assert {call.timeout for call in world.calls} == {seconds}


def test_an_answer_of_another_shape_names_the_field() -> None:
    reply = Reply(kind=ReplyKind.OK, result={"running": True}, clock=datetime(2026, 1, 1, tzinfo=UTC))
    heard = understand(reply, "mbx1", "step_running", StepRunning, 0.0)
    assert isinstance(heard, Unheard)
    assert heard.detail == "step_running on mbx1: answer not understood: looked_at: Field required"


@pytest.mark.parametrize(
    ("error", "detail", "kind"),
    [
        ("broken", "no", ReplyKind.UNKNOWN),
        ("no_session", "no", ReplyKind.UNKNOWN),
        ("second_hop", "no", ReplyKind.UNKNOWN),
        ("denied", f"{OPENING}: Access is denied.", ReplyKind.UNKNOWN),
        ("denied", "Get-ServerHealth: Access is denied.", ReplyKind.FAILED),
        ("not_found", "no", ReplyKind.FAILED),
    ],
)
def test_an_error_on_the_way_to_exchange_is_no_answer_about_the_server(
    error: str, detail: str, kind: ReplyKind
) -> None:
    reply = Reply(kind=ReplyKind.FAILED, result={}, error=error, detail=detail)
    heard = understand(reply, "mbx1", "step_running", StepRunning, 0.0)
    assert isinstance(heard, Unheard)
    assert (heard.kind, heard.outcome) == (kind, "unknown")


def test_the_prelude_begins_the_message_of_a_session_that_does_not_open_as_we_know_it_by() -> None:
    assert f"'{OPENING}: '" in load("server_health").text
