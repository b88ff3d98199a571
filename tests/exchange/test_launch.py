"""How a call travels: the command line is the same but for the marker, and everything else is data on stdin."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.exchange import launch as scripts

STEP = st.from_regex(r"[0-9a-z][0-9a-z.-]{0,63}", fullmatch=True)
JSON_ARGS = st.dictionaries(st.text(max_size=20), st.none() | st.booleans() | st.integers() | st.text(max_size=60))


def decoded(sent: bytes) -> dict[str, object]:
    found = json.loads(base64.b64decode(sent.splitlines()[0], validate=True))
    assert isinstance(found, dict)
    return found


@given(STEP, JSON_ARGS)
def test_arguments_arrive_as_they_were_and_never_touch_the_command_line(step: str, args: dict[str, object]) -> None:
    launch = scripts.launch("server_state", step, args)
    assert decoded(launch.stdin)["args"] == args
    assert launch.arguments == scripts.arguments(step)
    assert len(launch.executable + " ".join(launch.arguments)) < 8191


@given(STEP)
def test_the_command_line_carries_the_marker_and_is_otherwise_fixed(step: str) -> None:
    line = " ".join(scripts.arguments(step))
    assert line.count(f"'exmedic-{step}'") == 1
    assert line.replace(f"exmedic-{step}", "exmedic-x") == " ".join(scripts.arguments("x"))
    assert line.count('"') == 2


@given(st.text(max_size=80))
def test_a_step_id_that_could_be_more_than_a_word_is_refused(step: str) -> None:
    if re.fullmatch(r"[0-9a-z][0-9a-z.-]{0,63}", step):
        return
    with pytest.raises(ValueError, match="not a step id"):
        scripts.arguments(step)


@pytest.mark.parametrize("step", ["", "-a", "a'b", "a b", "A", "a\n", "a" * 65, "x;y", 'x"', "$x"])
def test_these_step_ids_are_refused(step: str) -> None:
    with pytest.raises(ValueError, match="not a step id"):
        scripts.launch("reboot", step, {})


def test_the_script_travels_whole_and_its_hash_covers_the_prelude() -> None:
    sent = decoded(scripts.stdin("reboot", "i1.1", {}))
    text = base64.b64decode(str(sent["script"]))
    assert text.decode() == scripts.load("reboot").text
    assert hashlib.sha256(text).hexdigest() == scripts.load("reboot").sha256
    assert (sent["name"], sent["step"]) == ("reboot", "i1.1")
    assert "username" not in sent
    assert len(scripts.stdin("reboot", "i1.1", {}).splitlines()) == 1


def test_a_password_travels_as_a_line_of_its_own_outside_the_json_and_shows_in_no_repr() -> None:
    logon = scripts.Logon("CONTOSO\\exmedic", "s3cret-pass")
    launch = scripts.launch("reboot", "i1.1", {}, logon)
    _, second = launch.stdin.split(b"\n")
    assert base64.b64decode(second, validate=True)[scripts.SALT :] == b"s3cret-pass"
    sent = decoded(launch.stdin)
    assert sent["username"] == "CONTOSO\\exmedic"
    assert "s3cret-pass" not in json.dumps({**sent, "script": base64.b64decode(str(sent["script"])).decode()})
    assert "s3cret-pass" not in repr(launch) + repr(logon) + " ".join(launch.arguments)
    assert base64.b64encode(b"s3cret-pass").decode() not in repr(launch)


def test_the_first_line_tells_the_hash_of_the_second_from_which_nobody_can_guess_the_password() -> None:
    """The first line is given to a cmdlet, so that event 4103 may hold it."""
    sent = [scripts.stdin("reboot", "i1.1", {}, scripts.Logon("exmedic", "s3cret-pass")) for _ in range(2)]
    for each in sent:
        _, second = each.split(b"\n")
        assert decoded(each)["secret_sha256"] == hashlib.sha256(second).hexdigest()
        assert len(base64.b64decode(second)) == 16 + len("s3cret-pass")
    assert len({str(decoded(each)["secret_sha256"]) for each in sent}) == 2


@pytest.mark.parametrize("name", scripts.NAMES)
def test_a_password_is_sent_to_scripts_that_log_on_and_to_no_others(name: str) -> None:
    sent = scripts.stdin(name, "i1.1", {}, scripts.Logon("exmedic", "s3cret-pass"))
    alone = name in scripts.ON_THEIR_OWN
    assert len(sent.splitlines()) == (1 if alone else 2)
    assert ("username" in decoded(sent)) is not alone


def test_there_is_no_script_but_the_shipped_ones() -> None:
    with pytest.raises(KeyError):
        scripts.load("../secrets")
    assert len({scripts.load(name).sha256 for name in scripts.NAMES}) == len(scripts.NAMES)


def test_which_scripts_log_on_to_exchange_is_said_of_each() -> None:
    """Those that do offer a password there, if they are given one."""
    opens = re.compile(r"\b(Open-Exchange|Invoke-Exchange|Get-One|Get-MailboxServerOf)\b")
    folder = Path(scripts.__file__).parent / "scripts"
    alone = {name for name in scripts.NAMES if not opens.search((folder / f"{name}.ps1").read_text("utf-8"))}
    assert alone == scripts.ON_THEIR_OWN
