"""The simulation finds what it is for: each bug that is planted into the daemon breaks a rule on one of 200 nights."""

from collections.abc import Iterator

import pytest

from daemon.simulation.campaign import hush
from daemon.simulation.generate import story_of
from daemon.simulation.run import Outcome, play
from daemon.simulation.shrink import shrink
from statemachines.loader import load_runbooks, shipped_directory
from tests.simulation.planted import BUGS, retry_what_was_lost

RUNBOOKS = load_runbooks(shipped_directory())
NIGHTS = 200
#: The first night that notices these bugs is a late one: it is played first, to save playing all before it every time.
LATE = {
    "quarantine nothing": 239,
    "wait for another incident with a claim": 1270,
    "climb because nothing could be read": 148,
    "forget the moment after which it is too late": 1527,
    "take all that is held for told": 116,
    "act under the hands of somebody who is logged on": 98,
    "trust an empty answer": 55,
    "act before a pattern could show": 37,
    "act although many have the same problem": 27,
    "act on what somebody has already": 26,
    "forget that somebody took it meanwhile": 26,
    "act for a probe alone": 19,
    "restart pop whatever it depends on": 18,
    "skip what the journal did not take": 16,
    "spend more than the budget": 12,
}


def broken(first: int = 1) -> Iterator[Outcome]:
    hush()
    seeds = (first, *(seed for seed in range(1, NIGHTS + 1) if seed != first))
    nights = (play(story_of(seed), RUNBOOKS) for seed in seeds)
    return (outcome for outcome in nights if outcome.violations)


@pytest.mark.parametrize("bug", BUGS)
def test_it_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[bug](monkeypatch)
    assert next(broken(LATE.get(bug, 1)), None) is not None, f"{NIGHTS} nights, and nobody noticed: {bug}"


def test_a_failing_night_is_told_as_a_short_story_that_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    retry_what_was_lost(monkeypatch)
    whole = next(broken())
    short = shrink(whole, RUNBOOKS)
    assert short.violations[0].rule == whole.violations[0].rule
    assert len(short.story) < len(whole.story)
    assert len(short.story) <= 5, "a sick server, its alert, a lost answer and hardly more"
    assert any("BROKEN" in line for line in short.told)
    assert play(short.story, RUNBOOKS).digest == short.digest
