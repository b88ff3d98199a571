"""What operators may ask: a model for each command, and a sentence for what is wrong."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.errors import OperatorError
from daemon.operators.commands import Operators
from daemon.operators.requests import Close, Order, Pause, understood


def test_each_command_has_a_model_and_each_model_a_command() -> None:
    told = [get_args(model.model_fields["command"].annotation)[0] for model in get_args(Order)]
    assert told == list(Operators.COMMANDS)


@pytest.mark.parametrize("nothing", [{}, {"server": None, "dag": None, "reason": None}, {"user": "somebody else"}])
def test_what_is_null_or_left_out_is_empty_and_what_no_command_has_is_ignored(nothing: dict[str, object]) -> None:
    assert understood({"command": "pause", **nothing}) == Pause(command="pause", server="", dag="", reason="")


def test_an_id_that_came_as_a_number_is_that_id() -> None:
    assert understood({"command": "close", "incident": 12345678}) == Close(command="close", incident="12345678")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"command": "close", "incident": {"a": 1}}, "incident must be text"),
        ({"command": "release", "server": ["mbx1", "mbx2"]}, "server must be text"),
        ({"command": "add_window", "name": "x", "hours": 1}, "nothing is no kind of window; known: maintenance, "),
        ({"command": "add_window", "kind": "freeze", "hours": 1}, "a window needs a name of at most 64 characters, "),
        ({"command": "add_window", "name": "x", "kind": "freeze", "from": "noon"}, "from must be a date and time "),
        ({"command": "add_window", "name": "x", "kind": "freeze", "until": "", "hours": "nan"}, "say when it ends: "),
    ],
)
def test_what_is_wrong_with_a_request_is_told_in_one_sentence(request_: dict[str, object], told: str) -> None:
    with pytest.raises(OperatorError) as error:
        understood(request_)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reason", [5, {"why": "patching"}, ["patching"], None])
def test_no_pause_fails_by_the_form_of_its_reason(reason: object) -> None:
    order = understood({"command": "pause", "reason": reason})
    assert isinstance(order, Pause)
    assert order.reason == str(reason or "")


def test_a_reason_of_any_bytes_can_be_stored() -> None:
    """As the command line of a terminal that is not UTF-8 gives it."""
    order = understood({"command": "pause", "reason": b"gr\xfcn".decode(errors="surrogateescape")})
    assert isinstance(order, Pause)
    assert order.reason.encode() == b"gr\\udcfcn"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = sorted({
    field.alias or name for model in get_args(Order) for name, field in model.model_fields.items() if name != "command"
})  # fmt: skip


@given(
    command=st.sampled_from(list(Operators.COMMANDS)),
    fields=st.dictionaries(st.sampled_from(FIELDS), ANYTHING),
)
def test_whatever_json_a_known_command_comes_with_is_understood_or_refused_in_words(
    command: str, fields: dict[str, object]
) -> None:
    try:
        order = understood(json.loads(json.dumps({**fields, "command": command})))
    except OperatorError as error:
        said = str(error)
        assert said, "and nothing else is raised"
    else:
        assert order.command == command
