"""`exmedic simulate`: the whole daemon on virtual time against the lab's organisation, on nights full of bad luck."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from daemon.cli.console import errors, out
from daemon.simulation.campaign import Figures, Played, campaign, hush, totals
from daemon.simulation.generate import story_of
from daemon.simulation.kept import Kept, code
from daemon.simulation.run import Outcome, play
from daemon.simulation.shrink import shrink
from statemachines.loader import load_runbooks, shipped_directory

_TOLD_EVERY = 500  #: nights, where there is nobody to see the bar
_STORIES = 3  #: failing seeds of which the short story is printed


def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many nights to play, from seed 1 (or --first) on.")] = 1000,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Play this seed only, and tell all that happens.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many at a time.")] = os.cpu_count() or 1,
    kept: Annotated[
        Path | None, typer.Option(help="A file for what was played, to go on from when this is cut off.")
    ] = None,
) -> None:
    """Prove the daemon on simulated nights: lost answers, crashes, outages, wrong clocks, operators.

    Each seed is a night of sick servers with faults at every port, played on virtual time by the daemon as it is, on a
    store in memory. After everything that happens the rules of docs/guarantees.md are checked against what the servers
    really were. A seed is played the same way each time. Ends with the figures; exit code 1 on any violation. With
    --kept, what the same code has played before is not played again.
    """
    definitions = load_runbooks(shipped_directory())
    if seed is not None:
        hush()
        _tell(play(story_of(seed), definitions))
        return
    began = time.monotonic()
    failed: list[int] = []
    nights, before = range(first, first + seeds), Kept(kept, code())
    known = sum(before.get(night) is not None for night in nights)
    if known:
        errors.print(f"{known} of them were played before, by the same code: {kept}", highlight=False)
    figures = _played(campaign(nights, definitions, processes, before), seeds, failed)
    for number in failed[:_STORIES]:
        hush()
        _tell(shrink(play(story_of(number), definitions), definitions), shortened=True)
    for number in failed[_STORIES:]:
        out.print(f"[bold red]seed {number}[/] fails too: exmedic simulate --seed {number}")
    an_hour = (figures.seeds - known) / (time.monotonic() - began) * 3600
    out.print(f"{figures}; {an_hour:,.0f} seeds an hour", soft_wrap=True)
    if figures.violations:
        raise typer.Exit(1)


def _played(nights: Iterator[Played], number: int, failed: list[int]) -> Figures:
    """Play them, with a bar where somebody watches and a line now and then where nobody does."""
    columns = (TextColumn("nights"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar, count = progress.add_task("nights", total=number), itertools.count(1)

        def one(played: Played) -> None:
            progress.advance(bar)
            if played.violations:
                failed.append(played.seed)
                errors.print(f"seed {played.seed}: {escape(played.violations[0])}", highlight=False)
            if (done := next(count)) % _TOLD_EVERY == 0 and not errors.is_terminal:
                errors.print(f"{done} of {number} nights, {len(failed)} broke a rule", highlight=False)

        return totals(nights, one)


def _tell(outcome: Outcome, *, shortened: bool = False) -> None:
    """What happened, line by line; exit code 1 if a rule was broken."""
    if shortened:
        parts = f"shortened to {len(outcome.story)} of its misfortunes"
        out.print(f"\n[bold red]seed {outcome.story.seed}[/], {parts}:")
    for line in outcome.told:
        style = "bold red" if " BROKEN " in line else "cyan" if " event: " in line or " mishap: " in line else ""
        out.print(f"  {escape(line)}", style=style, soft_wrap=True)
    for violation in outcome.violations:
        out.print(f"  [bold red]{escape(str(violation))}[/]", soft_wrap=True)
    out.print(f"  digest {outcome.digest[:16]}; the whole night: exmedic simulate --seed {outcome.story.seed}")
    if outcome.violations and not shortened:
        raise typer.Exit(1)
