"""Is the checker right? Every mutant goes through it, and through the simulation: `python -m tests.mutants`.

A mutant is harmful if it breaks a rule on any story on which the shipped ladder breaks none. One that the checker
accepts is played on every story on which it can differ from the shipped ladder; one that it rejects until it does harm,
at most on `REJECTED` of them.
"""

import gc
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from rich.table import Table

from daemon.simulation.campaign import hush
from daemon.simulation.kept import Kept
from daemon.simulation.run import play
from statemachines.checker import prove
from statemachines.checker.findings import Finding
from statemachines.model import Definition
from tests.mutants.edits import Mutant, mutants
from tests.mutants.stories import Played, stories

REJECTED = 6

Checker = Callable[[Definition], tuple[Finding, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a mutant. `rules`: which of the checker's it breaks; `harm`: what it did, and on which story."""

    runbook: str
    kind: str
    mutant: str
    rules: tuple[str, ...]
    harm: str
    played: int

    @property
    def accepted(self) -> bool:
        """Whether the checker has nothing against it."""
        return not self.rules


def judge(mutant: Mutant, nights: Sequence[Played], shipped: Sequence[Definition], checker: Checker = prove) -> Verdict:
    """Check a mutant and play it."""
    rules = tuple(dict.fromkeys(finding.rule for finding in checker(mutant.definition)))
    concerned = [night for night in nights if night.passed & mutant.passes or night.entered & mutant.enters]
    if "" in mutant.enters:
        concerned = list(nights)
    runbooks = tuple(mutant.definition if one.runbook == mutant.definition.runbook else one for one in shipped)
    harm, played = "", 0
    for night in concerned[:REJECTED] if rules else concerned:
        outcome = play(night.story, runbooks)
        gc.collect(1)
        played += 1
        new = [str(violation) for violation in outcome.violations if str(violation) not in night.broken]
        if new:
            harm = f"{new[0]} (on: {night.shows})"
            break
    return Verdict(
        runbook=mutant.definition.runbook,
        kind=mutant.kind,
        mutant=mutant.name,
        rules=rules,
        harm=harm,
        played=played,
    )


@dataclass(slots=True)
class Count:
    """The figures of one kind of edit."""

    mutants: int = 0
    rejected: int = 0
    accepted: int = 0
    harmful: int = 0  #: although accepted
    unplayed: int = 0  #: accepted, and no story comes to the edit
    alarms: int = 0  #: rejected, and harmless on every story played
    out_of_reach: int = 0  #: rejected, and no story comes to the edit

    def add(self, verdict: Verdict) -> None:
        """Count one."""
        self.mutants += 1
        self.rejected += not verdict.accepted
        self.accepted += verdict.accepted
        self.harmful += verdict.accepted and bool(verdict.harm)
        self.unplayed += verdict.accepted and not verdict.played
        self.alarms += not verdict.accepted and not verdict.harm and bool(verdict.played)
        self.out_of_reach += not verdict.accepted and not verdict.played

    @property
    def cells(self) -> tuple[str, ...]:
        """The figures in the order of the table."""
        figures = (self.mutants, self.rejected, self.accepted, self.harmful, self.unplayed, self.alarms)
        return tuple(map(str, (*figures, self.out_of_reach)))


@dataclass(slots=True)
class Report:
    """All figures, and of each rule how many harmless mutants only it has rejected, with an example."""

    by_kind: dict[tuple[str, str], Count] = field(default_factory=dict)
    total: Count = field(default_factory=Count)
    harmful: list[Verdict] = field(default_factory=list)
    alarms: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)
    plays: int = 0
    same: int = 0

    def add(self, verdict: Verdict) -> None:
        """Take in one."""
        self.by_kind.setdefault((verdict.runbook, verdict.kind), Count()).add(verdict)
        self.total.add(verdict)
        self.plays += verdict.played
        if verdict.accepted and verdict.harm:
            self.harmful.append(verdict)
        if not verdict.accepted and not verdict.harm and verdict.played:
            self.alarms[verdict.rules[0]] += 1
            self.example.setdefault(verdict.rules[0], verdict.mutant)

    def table(self) -> Table:
        """Per runbook and kind of edit."""
        heads = ("mutants", "rejected", "accepted", "but harmful", "not played", "harmless, rejected", "not played")
        shown = Table("runbook", "edit", *heads)
        for (runbook, kind), count in self.by_kind.items():
            shown.add_row(runbook, kind, *count.cells)
        return shown

    def false_alarms(self) -> Table:
        """Per rule, of those that harmed on no story: how many it rejected first, and one of them."""
        shown = Table("rule", "harmless, rejected", "for example")
        for rule, count in self.alarms.most_common():
            shown.add_row(rule, str(count), self.example[rule])
        return shown

    def __str__(self) -> str:
        total = self.total
        return (
            f"mutants: {total.mutants}, {total.rejected} rejected, {total.accepted} accepted, {total.harmful} accepted "
            f"but harmful, {total.alarms} rejected and harmless on the stories played, "
            f"{total.unplayed + total.out_of_reach} on no story; {self.same} edits came to the same; "
            f"{self.plays} stories played"
        )


def every_mutant(definitions: Iterable[Definition]) -> tuple[list[Mutant], int]:
    """All mutants of all definitions, and how many edits came to the same."""
    found: list[Mutant] = []
    same = 0
    for definition in definitions:
        ours, equal = mutants(definition)
        found += ours
        same += equal
    return found, same


def nights_of(runbook: str, shipped: tuple[Definition, ...]) -> tuple[str, list[Played]]:
    """The stories of a runbook, by its name."""
    return runbook, stories(shipped, runbook)


def _judge(mutant: Mutant) -> Verdict:
    return judge(mutant, _NIGHTS[mutant.definition.runbook], _SHIPPED)


_NIGHTS: dict[str, list[Played]] = {}  #: in a process of the pool
_SHIPPED: list[Definition] = []


def _prepare(nights: dict[str, list[Played]], shipped: tuple[Definition, ...]) -> None:
    hush()
    _NIGHTS.update(nights)
    _SHIPPED[:] = shipped


def judged(
    chosen: Sequence[Mutant],
    nights: dict[str, list[Played]],
    shipped: tuple[Definition, ...],
    processes: int,
    kept: Kept,
) -> Iterator[Verdict]:
    """Judge them, in so many processes; those first that were judged before and are kept."""
    known = {mutant.name: found for mutant in chosen if (found := kept.get(mutant.name)) is not None}
    yield from (Verdict(**{**found, "rules": tuple(found["rules"])}) for found in known.values())
    # Spawned: a fork would take over the threads and loops of whoever asks.
    with multiprocessing.get_context("spawn").Pool(processes, _prepare, (nights, shipped)) as pool:
        for verdict in pool.imap(_judge, [one for one in chosen if one.name not in known], chunksize=8):
            kept.add(verdict.mutant, asdict(verdict))
            yield verdict


def all_nights(shipped: tuple[Definition, ...], runbooks: Sequence[str], processes: int) -> dict[str, list[Played]]:
    """The stories of these runbooks, played by the shipped ladders in so many processes."""
    with multiprocessing.get_context("spawn").Pool(processes, hush) as pool:
        return dict(pool.imap(partial(nights_of, shipped=shipped), runbooks, chunksize=1))
