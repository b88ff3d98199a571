"""The command line of the mutation campaign: `python -m tests.mutants`. It goes on where it was cut off."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track

from daemon.simulation.kept import Kept, code
from statemachines.checker import prove
from statemachines.loader import load_runbooks, shipped_directory
from tests.mutants.campaign import Report, all_nights, every_mutant, judged
from tests.mutants.stories import never_left

TESTS = Path(__file__).parent.parent
KEPT = TESTS.parent / ".campaigns" / "mutants"
TOLD_EVERY = 100  #: mutants, where there is nobody to see the bar


def main() -> None:
    """Play it all; fails if a mutant that the checker accepts does harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runbook", help="only mutants of this one")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth mutant")
    parser.add_argument("--accepted", action="store_true", help="only mutants that the checker accepts")
    parser.add_argument("--processes", type=int, default=2)
    wanted = parser.parse_args()
    began, console = time.monotonic(), Console(width=160)
    shipped = load_runbooks(shipped_directory())
    names = [one.runbook for one in shipped if wanted.runbook in (None, one.runbook)]
    chosen, same = every_mutant([one for one in shipped if one.runbook in names])
    if wanted.accepted:
        chosen = [mutant for mutant in chosen if not prove(mutant.definition)]
    chosen = chosen[:: wanted.every]
    report = Report(same=same)
    nights = all_nights(shipped, names, wanted.processes)
    for name, ours in nights.items():
        console.print(f"{name}: {len(ours)} stories", highlight=False)
        for state, outcomes in never_left(next(one for one in shipped if one.runbook == name), ours).items():
            console.print(f"    on no story: {state}: {', '.join(outcomes)}", highlight=False)
    errors = Console(stderr=True)
    kept = Kept(KEPT, code(TESTS))
    errors.print(f"{len(kept)} were judged before, by the same code: {KEPT}", highlight=False)
    verdicts = judged(chosen, nights, shipped, wanted.processes, kept)
    for number, verdict in enumerate(track(verdicts, "judging", len(chosen), console=errors), 1):
        report.add(verdict)
        if number % TOLD_EVERY == 0 and not errors.is_terminal:
            errors.print(f"{number} of {len(chosen)} judged, {(time.monotonic() - began) / 60:.0f} minutes")
        if verdict.accepted and verdict.harm:
            console.print(f"ACCEPTED BUT HARMFUL {verdict.mutant}: {verdict.harm}", highlight=False, soft_wrap=True)
    console.print(report.table(), report.false_alarms())
    console.print(f"{report}; {(time.monotonic() - began) / 60:.0f} minutes", highlight=False, soft_wrap=True)
    sys.exit(bool(report.harmful))


if __name__ == "__main__":
    main()
