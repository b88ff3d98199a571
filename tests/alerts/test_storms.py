"""Whether there is room for another incident, and which joins are worth a row."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.alerts.storms import MINUTE, going_on, in_turn, on_record, reached, rooms
from daemon.config.guardrails import Storms
from daemon.domain.commits import Aside, Deferred
from daemon.domain.incidents import Key
from daemon.testing.memory_store import MemoryStore
from tests.adapters.sqlite import samples
from tests.adapters.sqlite.samples import work
from tests.remediation.world import ALONE, DAG, MBX1, inventory

NOW = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)


def test_a_server_of_a_dag_has_three_ceilings_and_a_standalone_one_two() -> None:
    servers = inventory()
    member, alone = servers.find(MBX1), servers.find(ALONE)
    assert member is not None
    assert alone is not None
    fleet, site, dag = rooms(member, servers, Storms(), NOW)
    assert [(room.what, room.most) for room in (fleet, site, dag)] == [
        ("in the fleet", 30),
        ("in site Lyon", 15),
        ("in DAG1", 10),
    ]
    assert set(dag.servers) == set(DAG)
    assert (fleet.since, fleet.until) == (NOW - MINUTE, NOW)
    assert len(rooms(alone, servers, Storms(), NOW)) == 2


def test_the_figure_that_decided_is_in_the_reason() -> None:
    servers = inventory()
    member = servers.find(MBX1)
    assert member is not None
    room = rooms(member, servers, Storms(), NOW)[0]
    assert reached(room, 29) == ""
    reason = reached(room, 30)
    assert reason == "the cap of 30 incidents a minute in the fleet is reached: this would be number 31"


@pytest.mark.parametrize(("why", "storm"), [(Aside.STORM, True), (Aside.MAINTENANCE, False)])
@pytest.mark.parametrize("words", ["the cap of 30 incidents a minute is reached", "maintenance patching", "reworded"])
async def test_what_waits_is_of_a_storm_by_why_it_was_set_aside_and_not_by_the_words(
    why: Aside, words: str, *, storm: bool
) -> None:
    store = MemoryStore()
    await store.open()
    await store.commit(work(defer=(samples.deferred(why=why, reason=words),)))
    assert await going_on(store) is storm


@pytest.mark.parametrize(("number", "worth"), [(1, True), (10, True), (11, False), (20, False), (99, False)])
def test_the_first_ten_joins_are_on_record(number: int, *, worth: bool) -> None:
    assert on_record(number) is worth


def test_ten_thousand_joins_are_thirteen_rows() -> None:
    assert sum(on_record(number) for number in range(1, 10_001)) == 13


_waiting = st.lists(
    st.builds(
        lambda server, number, seconds: replace(
            samples.deferred(server), key=Key(server, "pop", f"m{number}"), since=NOW + timedelta(seconds=seconds)
        ),
        st.sampled_from(["a", "b", "c", "d"]),
        st.integers(0, 50),
        st.integers(0, 500),
    ),
    unique_by=lambda each: each.key,
    max_size=40,
)


@given(_waiting, st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 5)))
def test_no_server_has_another_turn_while_one_with_fewer_waits(waiting: list[Deferred], had: dict[str, int]) -> None:
    order = in_turn(waiting, had)
    assert sorted(order, key=str) == sorted(waiting, key=str)
    turns = Counter(had)
    for place, each in enumerate(order):
        assert all(turns[each.key.server] <= turns[later.key.server] for later in order[place:])
        turns[each.key.server] += 1
    for server in "abcd":
        own = [each.since for each in order if each.key.server == server]
        assert own == sorted(own), "what waits longest comes first"
