"""What a script wrote becomes a reply; whatever is not exactly one fitting answer is unknown, never a yes or a no."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.ports import Call, Reply, ReplyKind
from daemon.exchange.client import raw
from daemon.exchange.envelope import read_answer

HOST = "mbx1.contoso.lab"
CALL = Call(executor="mbx1", script="server_state", args={}, step_id="i1.1", timeout=1, read_only=True)
GOOD: dict[str, object] = {
    "exmedic": 1,
    "script": "server_state",
    "step": "i1.1",
    "host": HOST,
    "clock": "2026-11-02T12:00:00.123456Z",
    "ok": True,
    "result": {"services": []},
    "error": None,
}
NO = {"ok": False, "result": None, "error": {"kind": "hung", "message": "it is StopPending"}}


def line(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode() + b"\r\n"


def read(stdout: bytes, *, exit_code: int = 0, stderr: bytes = b"") -> Reply:
    return read_answer(CALL, host=HOST, stdout=stdout, stderr=stderr, exit_code=exit_code)


@pytest.mark.parametrize("host", [HOST, "MBX1.Contoso.Lab", "MBX1", "mbx1"])
def test_an_answer_of_the_called_host_is_ok_by_full_or_short_name(host: str) -> None:
    reply = read(line(host=host))
    assert (reply.kind, reply.result) == (ReplyKind.OK, {"services": []})


def test_an_error_of_the_contract_is_failed() -> None:
    reply = read(line(**NO))
    assert (reply.kind, reply.error, reply.detail) == (ReplyKind.FAILED, "hung", "it is StopPending")


@pytest.mark.parametrize("answer", [{}, NO])
@pytest.mark.parametrize(
    ("said", "read_as"),
    [("5.1.17763.1", "5.1.17763.1"), ("3.0", "3.0"), ("", ""), ("Password: hunter2", ""), ("5", ""), ("5.1\n", "")],
)
def test_an_answer_tells_the_version_of_powershell_and_no_other_text(
    answer: dict[str, object], said: str, read_as: str
) -> None:
    assert read(line(**answer, powershell=said)).powershell == read_as


def test_an_answer_need_not_tell_the_version_of_powershell() -> None:
    assert read(line()).powershell == ""


def test_a_byte_order_mark_noise_before_and_progress_on_stderr_do_not_matter() -> None:
    reply = read(b"\xef\xbb\xbfActive code page: 65001\r\n\r\n" + line(), stderr=b"#< CLIXML\r\n<Objs></Objs>")
    assert reply.kind is ReplyKind.OK


@pytest.mark.parametrize(
    ("stdout", "why"),
    [
        (b"", "no answer"),
        (b"\r\n \r\n", "no answer"),
        (line() + line(), "more than one answer"),
        (line() + b"done\r\n", "not an answer"),
        (line()[:-20], "not an answer"),
        (b"\xff\xfe" + line(), "not an answer"),
        (line(script="reboot"), "'reboot' had been called"),
        (line(step="i1.2"), "step 'i1.2'"),
        (line(host="mbx2.contoso.lab"), "check the endpoint of mbx1.contoso.lab"),
        (line(host="mbx1.evil.lab"), "mbx1.evil.lab"),
        (line(exmedic=2), "wrong: exmedic"),
        (line(clock="2026-11-02T12:00:00"), "wrong: clock"),
        (line(result=None), "contradicts itself"),
        (line(error={"kind": "failed", "message": "x"}), "contradicts itself"),
        (line(ok=False), "contradicts itself"),
        (line(ok=False, result=None, error={"kind": "surprise", "message": "x"}), "wrong: error.kind"),
        (line(result=[]), "wrong: result"),
    ],
)
def test_what_is_not_one_fitting_answer_is_unknown_and_says_why(stdout: bytes, why: str) -> None:
    reply = read(stdout)
    assert reply.kind is ReplyKind.UNKNOWN
    assert why in reply.detail
    assert "server_state on mbx1" in reply.detail


def test_a_script_that_did_not_end_well_is_unknown_even_with_an_answer() -> None:
    stderr = b"#< CLIXML\r\n<Objs>noise</Objs>\r\nSet-MailboxServer: the session broke off\r\n"
    reply = read(line(), exit_code=3, stderr=stderr)
    assert reply.kind is ReplyKind.UNKNOWN
    assert reply.detail.endswith("exit code 3 and no answer: Set-MailboxServer: the session broke off")


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_an_answer_by_accident(noise: bytes) -> None:
    assert read(noise).kind is ReplyKind.UNKNOWN


@given(st.integers(min_value=0, max_value=len(line()) - 4))
def test_an_answer_cut_off_anywhere_is_unknown(length: int) -> None:
    assert read(line()[:length]).kind is ReplyKind.UNKNOWN


def test_what_a_script_was_warned_of_is_kept_without_passwords() -> None:
    reply = read(line(warnings=["The object is inconsistent.", "Password: Wint3r-of-99"]))
    assert reply.warnings[0] == "The object is inconsistent."
    assert "Wint3r-of-99" not in repr(reply)
    assert raw("server_state", "mbx1", reply)["warnings"] == list(reply.warnings)


def test_an_answer_without_a_warning_is_on_record_as_it_is() -> None:
    assert set(raw("server_state", "mbx1", read(line()))) == {"script", "executor", "answer"}
