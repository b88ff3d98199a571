"""What an incident keeps is stored as it always was: a row of before reads, and is written back to the letter."""

import json
import sqlite3
from datetime import UTC
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters.sqlite import rows
from daemon.domain.incidents import Incident
from daemon.domain.values import canonical, timestamp
from tests.adapters.sqlite import samples

words = st.text(max_size=5)
moments = st.datetimes(timezones=st.just(UTC)).map(timestamp)
states = st.sampled_from(["verify", "restart", "reboot.move", "é"])
values = st.dictionaries(words, st.none() | st.booleans() | st.integers() | words | st.lists(words, max_size=2))
recommendations = st.fixed_dictionaries(
    {
        "action": words,
        "class": st.sampled_from(["", "restart", "move", "reboot"]),
        "what": words,
        "service": words,
        "mode": st.sampled_from(["observe", "approve"]),
        "first": moments,
        "baseline": values,
    },
    optional={"approval": st.fixed_dictionaries({"step": words, "by": words, "at": moments})},
)
looks = st.fixed_dictionaries(
    {"at": moments},
    optional={
        "boot_time": moments,
        "services": st.dictionaries(words, st.none() | moments),
        "active": st.lists(words, max_size=2),
    },
)
approvals = st.fixed_dictionaries(
    {
        "approved": st.booleans(),
        "state": states,
        "what": words,
        "by": words,
        "why": words,
        "at": moments,
        "expires": moments,
    }
)
stored = st.builds(
    lambda produced, kept: {**produced, **kept},
    st.dictionaries(states, values),
    st.fixed_dictionaries(
        {},
        optional={
            ".asked": st.fixed_dictionaries({"state": states, "what": words, "since": moments}),
            ".approval": approvals,
            ".would": st.dictionaries(states, recommendations, min_size=1),
            ".look": looks,
            ".watched": st.just({}) | values,
            ".joined": st.fixed_dictionaries({"count": st.integers(min_value=1)}),
            "ordered undo": st.fixed_dictionaries({"latched": st.booleans()}),
        },
    ),
)


def read(text: str) -> Incident:
    row = rows.incident_row(samples.incident()) | {"facts": text}
    return rows.incident(cast("sqlite3.Row", row))


@given(facts=stored)
def test_a_row_of_before_is_read_and_written_back_unchanged(facts: dict[str, Any]) -> None:
    text = canonical(facts)
    assert rows.incident_row(read(text))["facts"] == text


def test_a_state_is_never_taken_for_what_the_incident_keeps_beside_it() -> None:
    asked = {"state": "restart", "what": "restart it", "since": timestamp(samples.NOW)}
    incident = read(json.dumps({"asked": {"state": "x"}, "look": {}, ".asked": asked}))
    assert dict(incident.produced) == {"asked": {"state": "x"}, "look": {}}
    assert incident.question is not None
    assert incident.last_look is None


def test_a_look_that_decided_is_not_the_same_as_no_look_yet() -> None:
    assert read('{".watched":{}}').watched == {}
    assert read("{}").watched is None
