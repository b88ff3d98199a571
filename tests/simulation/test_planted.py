"""The simulation finds what it is for: each bug that is planted into the daemon breaks a rule on one of 200 nights."""

from collections.abc import Iterator
from itertools import islice

import pytest

from daemon.simulation.campaign import hush
from daemon.simulation.generate import story_of
from daemon.simulation.run import Outcome, play
from daemon.simulation.shrink import shrink
from statemachines.loader import load_runbooks, shipped_directory
from tests.simulation.planted import BUGS, retry_what_was_lost

RUNBOOKS = load_runbooks(shipped_directory())
pytestmark = pytest.mark.timeout(600)  # some bugs need a hundred nights, and the machine may be busy
NIGHTS = 200


def broken() -> Iterator[Outcome]:
    hush()
    nights = (play(story_of(seed), RUNBOOKS) for seed in range(1, NIGHTS + 1))
    return (outcome for outcome in nights if outcome.violations)


@pytest.mark.parametrize("bug", BUGS)
def test_it_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[bug](monkeypatch)
    assert next(broken(), None) is not None, f"{NIGHTS} nights, and nobody noticed: {bug}"


def test_a_failing_night_is_told_as_a_short_story_that_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    retry_what_was_lost(monkeypatch)
    whole = list(islice(broken(), 3))
    short = [shrink(each, RUNBOOKS) for each in whole]
    assert [each.violations[0].rule for each in short] == [each.violations[0].rule for each in whole]
    assert all(len(after.story) < len(before.story) for after, before in zip(short, whole, strict=True))
    shortest = min(short, key=lambda each: len(each.story))
    assert len(shortest.story) <= 5, "a sick server, its alert, a lost answer and hardly more"
    assert any("BROKEN" in line for line in shortest.told)
    assert play(shortest.story, RUNBOOKS).digest == shortest.digest
