"""Runbooks that could harm a server are refused, each with the shortest path on which it would.

`dangerous/NAME.yaml` is the runbook, its first line says what is wrong with it, and `dangerous/NAME.txt` is all that
the loader says of it.
"""

from pathlib import Path

import pytest

from statemachines.checker.findings import RULES
from statemachines.loader import RunbookError, load, shipped_directory

DANGEROUS = sorted((Path(__file__).parent / "dangerous").glob("*.yaml"))
by_name = pytest.mark.parametrize("file", DANGEROUS, ids=lambda file: file.stem)


def refusal(file: Path) -> str:
    with pytest.raises(RunbookError) as caught:
        load(shipped_directory() / "safe_reboot.yaml", file)
    assert {mistake.file for mistake in caught.value.mistakes} == {file}
    return "".join(f"{mistake.line}:{mistake.column}: {mistake.message}\n" for mistake in caught.value.mistakes)


@by_name
def test_a_dangerous_runbook_is_refused_with_the_shortest_path_on_which_it_would_do_harm(file: Path) -> None:
    assert refusal(file) == file.with_suffix(".txt").read_text("utf-8")


def test_the_dangerous_runbooks_break_every_rule_that_takes_a_walk_but_the_engines_own() -> None:
    told = "".join(file.with_suffix(".txt").read_text("utf-8") for file in DANGEROUS)
    walked = list(RULES)[list(RULES).index("field") :]
    assert len(DANGEROUS) >= 12
    # What was changed is put back or reported by the engine's own way out, whatever a runbook says.
    assert [rule for rule in walked if f"[{rule}]" not in told] == ["left-changed"]
