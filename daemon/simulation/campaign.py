"""Plays many seeds, on all cores, and counts; what was played before is not played again."""

import gc
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import structlog

from daemon.simulation.generate import story_of
from daemon.simulation.kept import Kept
from daemon.simulation.run import Outcome, play
from statemachines.model import Definition

_QUIET = 50  #: the level of a log from which on the daemon is heard
_BATCH = 8  #: seeds that a process takes at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What is kept of a seed."""

    seed: int
    digest: str
    incidents: int
    effects: int
    mishaps: int
    lives: int
    violations: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Figures:
    """The sums over all seeds."""

    seeds: int = 0
    incidents: int = 0
    effects: int = 0
    mishaps: int = 0
    restarts: int = 0
    violations: int = 0

    def add(self, played: Played) -> None:
        """Count one seed."""
        self.seeds += 1
        self.incidents += played.incidents
        self.effects += played.effects
        self.mishaps += played.mishaps
        self.restarts += played.lives - 1
        self.violations += len(played.violations)

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds, {self.incidents} incidents, {self.effects} effects on servers, "
            f"{self.mishaps} faults injected, {self.restarts} restarts, {self.violations} violations"
        )


def play_seed(seed: int, definitions: tuple[Definition, ...]) -> Played:
    """Play one seed."""
    outcome = play(story_of(seed), definitions)
    gc.collect(1)  # the generations that a story fills; the whole is not worth its time
    return _kept(outcome)


def campaign(
    seeds: Sequence[int], definitions: tuple[Definition, ...], processes: int, kept: Kept | None = None
) -> Iterator[Played]:
    """Play seeds in so many processes; in their order, those first that were played before and are `kept`."""
    kept = Kept(None, "") if kept is None else kept
    before = {seed: found for seed in seeds if (found := kept.get(seed)) is not None}
    yield from (Played(**{**found, "violations": tuple(found["violations"])}) for found in before.values())
    for one in _fresh([seed for seed in seeds if seed not in before], definitions, processes):
        kept.add(one.seed, asdict(one))
        yield one


def _fresh(seeds: Sequence[int], definitions: tuple[Definition, ...], processes: int) -> Iterator[Played]:
    if processes == 1 or not seeds:
        hush()
        yield from map(partial(play_seed, definitions=definitions), seeds)
        return
    # Spawned: a fork would take over the threads and loops of whoever asks.
    with multiprocessing.get_context("spawn").Pool(processes, initializer=hush) as pool:
        yield from pool.imap(partial(play_seed, definitions=definitions), seeds, chunksize=_BATCH)


def hush() -> None:
    """Let the daemon say nothing of its thousands of lives, and leave the collecting of garbage to `play_seed`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_QUIET))
    gc.disable()


def _kept(outcome: Outcome) -> Played:
    return Played(
        seed=outcome.story.seed,
        digest=outcome.digest,
        incidents=outcome.incidents,
        effects=outcome.effects,
        mishaps=outcome.mishaps,
        lives=outcome.lives,
        violations=tuple(str(violation) for violation in outcome.violations),
    )


def totals(played: Iterable[Played], each: Callable[[Played], None] = lambda _: None) -> Figures:
    """The sums over what was played; `each` is told of every seed."""
    figures = Figures()
    for one in played:
        figures.add(one)
        each(one)
    return figures
