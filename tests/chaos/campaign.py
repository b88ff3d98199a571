"""The whole crash test: every branch once undisturbed, then once for each of its points, killed there.

`python -m tests.chaos.campaign` plays all and prints a table, and goes on where it was cut off; `--branch N --at POINT`
plays one kill again.
"""

import argparse
import asyncio
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from daemon.simulation.kept import Kept, code
from tests.chaos.branches import Branch, branches
from tests.chaos.judge import Facts, judge, reasons, same_end
from tests.chaos.points import distinct, merge_key, outcomes
from tests.chaos.world import Nursery, Played, play

TESTS = Path(__file__).parent.parent
KEPT = TESTS.parent / ".campaigns" / "kills"
AT_ONCE = 5  #: runs side by side; they wait more than they work
TRIES = 4  #: runs until one comes to the point


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: which branch, where."""

    branch: int
    at: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. `seconds`: how long it took."""

    kill: Kill
    violations: Sequence[str]
    same: bool
    why: str  #: how it ended
    seconds: float


_nursery: Nursery | None = None


def run(branch: int, at: str) -> Played | str:
    """One run, in a worker process; in words what went wrong if it came to no end.

    How often a monitor is looked at before it turns depends on how busy the machine is, so that a kill after a further
    look may find none to happen after: then it is tried again.
    """
    played = _run(branch, at)
    for _ in range(TRIES - 1):
        if isinstance(played, str) or played.died or not at:
            break
        played = _run(branch, at)
    return played


def _run(branch: int, at: str) -> Played | str:
    global _nursery  # noqa: PLW0603 - one for each worker process, for all of its runs
    if _nursery is None:
        _nursery = Nursery()
    with tempfile.TemporaryDirectory(prefix="exmedic-chaos-") as directory:
        try:
            return asyncio.run(play(Path(directory) / "run", branches()[branch].scenarios, at, _nursery))
        except Exception as error:  # noqa: BLE001 - a run that fails is a finding, and the others go on
            log = Path(directory) / "run" / "daemon.log"
            words = log.read_text().splitlines()[-5:] if log.exists() else []
            return "\n".join([f"{type(error).__name__}: {error}", *words])


def kills(references: Mapping[int, Played]) -> list[Kill]:
    """Which kills to run: no two that are equal."""
    found: dict[str, Kill] = {}
    for number, reference in references.items():
        told = outcomes(reference.points)
        for point in distinct(reference.points):
            found.setdefault(merge_key(point, told), Kill(number, point.name))
    # Those around an effect first: what could be done twice or be lost is known soonest.
    return sorted(
        found.values(), key=lambda kill: not re.search(r" (sent \| |intended \| |outcome .* before)", kill.at)
    )


def judged(kill: Kill, reference: Facts, played: Played | str, seconds: float) -> Result:
    """What one kill came to."""
    if isinstance(played, str):
        return Result(kill, [played], same=False, why="it came to no end", seconds=seconds)
    violations = judge(reference, played.facts)
    if not played.died:
        violations.append("the process did not come to this point, so nothing is shown")
    return Result(kill, violations, same_end(reference, played.facts), reasons(played.facts), seconds)


class Campaign:
    """The worker processes, and what they found."""

    def __init__(self, console: Console, at_once: int, kept: Kept) -> None:
        self._console = console
        self._kept = kept
        self._pool = ProcessPoolExecutor(at_once, mp_context=multiprocessing.get_context("spawn"))
        self._began = time.monotonic()

    def close(self) -> None:
        """Let the workers end."""
        self._pool.shutdown(cancel_futures=True)

    def undisturbed(self, numbers: Iterable[int]) -> dict[int, Played | str]:
        """Each branch without any kill."""
        running = {number: self._pool.submit(timed, number, "") for number in numbers}
        found: dict[int, Played | str] = {}
        for number, future in running.items():
            played, seconds = future.result()
            if not isinstance(played, str) and (wrong := [*played.wrong, *judge(played.facts, played.facts)]):
                played = "\n".join(wrong)
            found[number] = played
            self._say(f"branch {number} undisturbed, {seconds:.1f} s: {played if isinstance(played, str) else 'well'}")
        return found

    def killed(self, wanted: Sequence[Kill], references: dict[int, Played]) -> list[Result]:
        """Each kill, judged."""
        known = {kill: found for kill in wanted if (found := self._kept.get(kill)) is not None}
        results = [Result(**{**found, "kill": kill}) for kill, found in known.items()]
        if known:
            self._say(f"{len(known)} of {len(wanted)} kills were survived before, by the same code")
        running: dict[Future[tuple[Played | str, float]], Kill] = {
            self._pool.submit(timed, kill.branch, kill.at): kill for kill in wanted if kill not in known
        }
        for future in as_completed(running):
            kill = running[future]
            played, seconds = future.result()
            result = judged(kill, references[kill.branch].facts, played, seconds)
            results.append(result)
            if result.violations:
                self._say(f"[red]branch {kill.branch}[/], killed at {kill.at}:")
                for violation in result.violations:
                    self._say(f"    {violation}")
            else:  # one that fails is played again
                self._kept.add(kill, {name: found for name, found in asdict(result).items() if name != "kill"})
            if not result.violations and not result.same:
                self._say(f"branch {kill.branch}, killed at {kill.at}: ended otherwise, {result.why}")
            if len(results) % 50 == 0:
                self._say(f"{len(results)} of {len(wanted)} kills")
        return results

    def _say(self, text: str) -> None:
        self._console.print(f"{time.monotonic() - self._began:6.0f} s  {text}", highlight=False, soft_wrap=True)


def timed(branch: int, at: str) -> tuple[Played | str, float]:
    """A run, and the real seconds it took."""
    began = time.monotonic()
    return run(branch, at), time.monotonic() - began


def table(all_branches: Sequence[Branch], references: dict[int, Played], results: Sequence[Result]) -> Table:
    """What was played and found, a line for each branch."""
    shown = Table("ladder", "branch", "points", "kills", "same end", "escalated", "violations")
    for number, branch in enumerate(all_branches):
        ours = [result for result in results if result.kill.branch == number]
        if number not in references:
            shown.add_row(branch.ladder, branch.shows, "-", "-", "-", "-", "does not play")
            continue
        same = sum(result.same for result in ours)
        bad = sum(bool(result.violations) for result in ours)
        points = len(distinct(references[number].points))
        figures = [points, len(ours), same, len(ours) - same, bad]
        shown.add_row(branch.ladder, branch.shows, *(str(figure) for figure in figures))
    return shown


def everything(console: Console, numbers: Sequence[int], at: str, at_once: int) -> bool:
    """Play it all; whether all is well."""
    began = time.monotonic()
    all_branches = branches()
    campaign = Campaign(console, at_once, Kept(None if at else KEPT, code(TESTS)))
    try:
        played = campaign.undisturbed(numbers)
        references = {number: each for number, each in played.items() if not isinstance(each, str)}
        chosen = [Kill(numbers[0], at)] if at else kills(references)
        results = campaign.killed(chosen, references)
    finally:
        campaign.close()
    shown = [branch for number, branch in enumerate(all_branches) if number in numbers]
    if not at:
        console.print(table(all_branches, references, results) if len(shown) == len(all_branches) else "")
    points = sum(len(distinct(each.points)) for each in references.values())
    violations = sum(bool(result.violations) for result in results) + len(numbers) - len(references)
    seconds = sum(result.seconds for result in results) / max(1, len(results))
    console.print(
        f"kill -9: {len(references)} branches, {points} points, {len(results)} kills at distinct ones, "
        f"{sum(result.same for result in results)} ended the same, "
        f"{sum(not result.same for result in results)} otherwise, {violations} violations; "
        f"{seconds:.1f} s a kill, {(time.monotonic() - began) / 60:.0f} minutes in all",
        highlight=False,
        soft_wrap=True,
    )
    return violations == 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--branch", type=int, help="only this one, by its number")
    parser.add_argument("--at", default="", help="only this kill of that branch")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="runs side by side")
    wanted = parser.parse_args()
    numbers = range(len(branches())) if wanted.branch is None else [wanted.branch]
    sys.exit(not everything(Console(width=140), list(numbers), wanted.at, wanted.at_once))


if __name__ == "__main__":
    main()
