"""What the runbooks may name and what carries it out are the same actions."""

import ast

from daemon.remediation.actions import EFFECTS, READS
from daemon.remediation.actions.undo import REVERSALS, follows
from statemachines.actions import ACTIONS, Effect
from tests.test_house import MODULES, ROOT


def test_every_specified_action_is_carried_out_as_what_it_says_it_is() -> None:
    assert set(READS) == {name for name, spec in ACTIONS.items() if spec.effect is Effect.READ}
    assert set(EFFECTS) == {name for name, spec in ACTIONS.items() if spec.effect is not Effect.READ}


def test_every_setting_that_an_action_leaves_changed_can_be_put_back() -> None:
    assert {spec.changes for spec in ACTIONS.values() if spec.changes} <= set(REVERSALS)


def test_the_number_of_steps_and_restarts_that_putting_back_takes_is_that_of_the_reversals() -> None:
    changing = [spec for spec in ACTIONS.values() if spec.changes]
    assert sum(spec.undo_steps for spec in changing) == len(REVERSALS)
    # Putting one change back may take a restart of each service that reads it.
    disruptive = {follows(setting) for setting, each in REVERSALS.items() if each.effect is Effect.DISRUPTIVE}
    assert {spec.changes for spec in changing if spec.undo_disrupts} == disruptive


def test_a_specification_speaks_of_no_outcome_that_the_action_does_not_have() -> None:
    for spec in ACTIONS.values():
        assert {*spec.produced_on, *spec.proves} <= set(spec.outcomes), spec.name
        assert set(spec.goes_on) <= {*spec.outcomes, "failed"}, spec.name
        assert bool(spec.produces) == bool(spec.produced_on), spec.name
        assert (spec.disrupts is not None) == (spec.effect is Effect.DISRUPTIVE), spec.name


def test_what_puts_back_is_known_by_its_specification_and_nowhere_by_its_name() -> None:
    assert [name for name, spec in ACTIONS.items() if spec.puts_back] == ["undo"]
    compared = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(isinstance(side, ast.Constant) and side.value == "undo" for side in (node.left, *node.comparators))
    ]
    assert compared == []
