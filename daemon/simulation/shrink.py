"""Makes a failing story short: takes out what the failure does not need, and plays again what is left."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from daemon.simulation.run import Outcome, play
from daemon.simulation.story import Story
from statemachines.model import Definition

T = TypeVar("T")

_MOST = 150  #: stories played at most: each takes a while, and a short story is a help, not a proof


def shrink(failed: Outcome, definitions: tuple[Definition, ...]) -> Outcome:
    """The shortest story found that breaks the same rule. `failed` itself if all of it is needed."""
    rule, best, played, chunk = failed.violations[0].rule, failed, 0, max(1, len(failed.story) // 2)
    while chunk:
        shorter = False
        for start in range(0, len(best.story), chunk):
            if played >= _MOST:
                return best
            outcome = play(_without(best.story, start, chunk), definitions)
            played += 1
            if outcome.violations and outcome.violations[0].rule == rule:
                best, shorter = outcome, True
                break
        if not shorter:
            chunk //= 2
    return best


def _without(story: Story, start: int, count: int) -> Story:
    """The story without some of its parts, events first."""
    parts = [*story.events, *story.mishaps]
    kept = {id(part) for part in (*parts[:start], *parts[start + count :])}
    return replace(
        story,
        events=_kept(story.events, kept),
        mishaps=_kept(story.mishaps, kept),
    )


def _kept(parts: Sequence[T], kept: set[int]) -> tuple[T, ...]:
    return tuple(part for part in parts if id(part) in kept)
