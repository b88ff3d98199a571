"""The pages about runbooks are held to the language that is loaded: the example, the refusal shown, the tables."""

from pathlib import Path

import pytest

from statemachines.actions import ACTIONS, ActionSpec
from statemachines.checker import bounds
from statemachines.checker.findings import RULES, spell
from statemachines.loader import RunbookError, load, shipped_directory
from tests.docs.markdown import rows

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "runbooks.md"
TEXT = (DOCS / "how-to" / "write-a-runbook.md").read_text("utf-8")
EXAMPLE = TEXT.partition("```yaml\n")[2].partition("```")[0]


def test_the_example_is_loaded_in_the_place_of_the_shipped_one_and_proven_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "site-proxy.yaml").write_text(EXAMPLE)
    found = {loaded.definition.runbook: loaded.definition for loaded in load(shipped_directory(), tmp_path)}
    assert "pop-proxy" not in found
    assert f"    proven site-proxy: {bounds(found['site-proxy'])}\n" in TEXT


def test_the_reference_reads_the_states_of_the_example() -> None:
    states = [line.strip() for line in EXAMPLE.partition("states:\n")[2].splitlines()]
    shown = REFERENCE.read_text("utf-8").partition("    states:\n")[2].partition("\n\n")[0]
    assert [line.strip() for line in shown.splitlines()] == states


def test_the_refusal_that_is_shown_is_what_is_said_of_the_changed_example(tmp_path: Path) -> None:
    line = next(line for line in EXAMPLE.splitlines() if line.strip().startswith("restart:"))
    changed = EXAMPLE.replace("then: {done: again, failed: again}", "then: {done: resolved}")
    changed = "\n".join(line for line in changed.splitlines() if not line.strip().startswith("again:"))
    assert "then: {done: again, failed: again}" in line
    (tmp_path / "site-proxy.yaml").write_text(changed)
    with pytest.raises(RunbookError) as caught:
        load(shipped_directory(), tmp_path)
    said = str(caught.value).replace(f"{tmp_path}/", "")
    shown = TEXT.partition("It is refused:\n")[2].partition("\n## ")[0]
    assert " ".join(shown.split()) == " ".join(said.split())


def test_the_table_of_actions_is_that_of_the_code() -> None:
    assert [cells[0].strip("`") for cells in rows(REFERENCE, "Actions")] == list(ACTIONS)
    assert rows(REFERENCE, "Actions") == [documented(spec) for spec in ACTIONS.values()]


def documented(spec: ActionSpec) -> list[str]:
    known = (*spec.outcomes, *(outcome for outcome in spec.goes_on if outcome not in spec.outcomes))
    outcomes = [f"**{outcome}**" if outcome in spec.goes_on else outcome for outcome in known]
    summary = spec.summary.replace("{", "").replace("}", "")
    lists = (", ".join(names) for names in (spec.params, outcomes, spec.produces))
    return [f"`{spec.name}`", summary, *lists, spell(spec.deadline)]


def test_every_rule_is_documented_in_its_own_words() -> None:
    assert rows(REFERENCE, "What is proven") == [[f"`{rule}`", sentence] for rule, sentence in RULES.items()]
