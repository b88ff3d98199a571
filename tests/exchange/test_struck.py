"""Passwords that a server's answer tells are struck out before anybody sees the answer."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.exchange.struck import MASK, struck_out
from tests.exchange.test_envelope import NO, line, read

SECRET = "hunter2;x,y=z:w"


@pytest.mark.parametrize(
    "text",
    [
        f"Password: {SECRET}",
        f"password : {SECRET}",
        f"PASSWORD={SECRET}",
        f"Pwd={SECRET}",
        f"User: HealthMailbox1\r\nPassword:{SECRET}\r\nServer: mbx1",
        f"Password:\r\n  {SECRET}",
        f"Password\r\n:\r\n\r\n{SECRET}",
        f"Bad password for Monitoring Account: {SECRET}",
        f"client secret = {SECRET}",
        f"ClientSecret={SECRET}",
        f"MonitoringPassword_1 = {SECRET}",
        f"{{'password': '{SECRET} and more'}}",
        f'{{"user":"u","password":"{SECRET}","x":1}}',
        f'{{"PassWord" : "a b {SECRET}"}}',
        f'{{\\"password\\":\\"{SECRET} \\\\\\"{SECRET}\\",\\"x\\":1}}',
        f'Pwd="one two\r\nthree {SECRET}" after',
        f"pwd='{SECRET}",
        f'password="a""{SECRET}" next',
        f'Password: "aB"{SECRET}',
        f"Password: first {SECRET} last",
        f"passwd={SECRET}",
        f"passphrase: {SECRET}",
        f"<Password>{SECRET}</Password>",
        f"Password -> {SECRET}",
        f"Password: x Password: {SECRET} pwd={SECRET}",
        f"Password: *** {SECRET}".replace("*** ", "***"),
    ],
)
def test_what_follows_password_pwd_or_secret_and_a_sign_is_struck_out(text: str) -> None:
    clean = struck_out(text)
    assert "hunter2" not in clean
    assert MASK in clean
    assert "hunter2" not in struck_out(clean)


def test_a_value_that_is_broken_over_lines_does_not_come_back_when_they_are_joined() -> None:
    assert struck_out("Password: hun\r\nter2\r\nUser: HealthMailbox1") == "Password: *** User: HealthMailbox1"


def test_what_comes_before_and_after_stays() -> None:
    text = 'no connection to mbx1\r\nPassword: x y\r\n{"pwd": "a b", "at": 3}\n\n  it took 3 s\n'
    assert struck_out(text) == f'no connection to mbx1 Password: {MASK} {{"pwd": {MASK}, "at": 3}} it took 3 s'


@pytest.mark.parametrize(
    "text",
    [
        "Logon failure: unknown user name or bad password.",
        "The user name or password is incorrect. Error: 1326",
        "C:\\Program Files\\Microsoft\\Exchange Server\\V15\\Logging\\Pop3",
        'R=ok;Msg="Proxy:mbx2.contoso.lab:1995:SSL"',
        "Secretary of the password, who is: nobody",
        "two  spaces stay",
        "",
    ],
)
def test_what_names_no_value_stays_letter_for_letter(text: str) -> None:
    assert struck_out(text) == text


def test_every_text_of_an_answer_is_struck_however_deep_and_under_whatever_name() -> None:
    answer = {
        "objects": [{"error": f"Password: {SECRET}", "more": [[f"pwd={SECRET}"], {"state": f"secret: {SECRET}"}]}],
        "Password": SECRET,
        "credentials": {"pwd": [SECRET, {"a": SECRET}]},
        f"Password: {SECRET}": 1,
        "count": 3,
        "none": None,
    }
    clean = struck_out(answer)
    assert "hunter2" not in json.dumps(clean)
    assert (clean["count"], clean["none"]) == (3, None)


@pytest.mark.parametrize("field", ["error", "exception", "failure_context", "execution_context", "state_attribute2"])
@pytest.mark.parametrize("text", ["Password: hunter2", "x\r\n Pwd =\r\nhunter2\r\ny", '{"secret":"hunter2 a"}'])
def test_no_reply_has_a_password_whatever_field_it_stands_in(field: str, text: str) -> None:
    probe = {"server": "mbx1", "result_type": "Failed", field: text}
    reply = read(line(result={"objects": [probe], "warnings": [text]}))
    assert "hunter2" not in repr(reply)
    assert reply.result["objects"][0]["result_type"] == "Failed"


@pytest.mark.parametrize(
    ("stdout", "stderr", "exit_code"),
    [
        (line(**NO | {"error": {"kind": "denied", "message": "Password: hunter2\r\nno"}}), b"", 0),
        (b"", b"oh dear\r\nPassword:\r\nhunter2\r\n", 0),
        (b"", b"Set-X : Password : hun\r\nter2 hunter2 said so\r\n", 3),
        (line(script="Password: hunter2"), b"", 0),
        (line(step="pwd=hunter2"), b"", 0),
        (line(host="secret=hunter2"), b"", 0),
    ],
)
def test_no_detail_has_a_password_wherever_its_words_come_from(stdout: bytes, stderr: bytes, exit_code: int) -> None:
    assert "hunter2" not in repr(read(stdout, stderr=stderr, exit_code=exit_code))


_PIECES = st.sampled_from(["password", "Pwd", "secret", ":", "=", " ", "\r\n", "\n", '"', "'", "\\", ",", "x", MASK])
_NOISE = st.lists(_PIECES, max_size=30).map("".join)


@given(_NOISE, st.sampled_from(["", '"', "'", '\\"']), st.sampled_from(["", " ", "\r\n", "\n\t "]), _NOISE)
def test_no_words_around_a_value_save_it(before: str, quote: str, blank: str, after: str) -> None:
    assert "hunter2" not in struck_out(f"{before}pwd{quote}{blank}={blank}{quote}hunter2{quote}{after}")


@given(_NOISE)
def test_striking_twice_is_striking_once_and_no_line_end_is_left(text: str) -> None:
    clean = struck_out(text)
    assert struck_out(clean) == clean
    assert len(clean.splitlines()) <= 1


@pytest.mark.parametrize(
    "piece",
    [
        "password",
        "password ",
        "password:",
        "password='",
        'pwd="\\',
        "secret = x\n",
        "pwd\n",
        '\\\\"',
        'pwd="a"b',
        "x\n",
    ],
)
def test_striking_costs_in_proportion_to_the_text(piece: str) -> None:
    def work(length: int) -> int:
        text = piece * (length // len(piece))
        took = []
        for _ in range(3):
            began = time.thread_time_ns()
            struck_out(text)
            took.append(time.thread_time_ns() - began)
        return min(took)

    assert work(160_000) < 16 * work(20_000), "eight times the text: linear is 8, quadratic 64"
