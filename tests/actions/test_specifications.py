"""What the runbooks may name and what carries it out are the same actions."""

from daemon.actions import EFFECTS, READS
from daemon.actions.undo import REVERSALS
from statemachines.actions import ACTIONS, Effect


def test_every_specified_action_is_carried_out_as_what_it_says_it_is() -> None:
    assert set(READS) == {name for name, spec in ACTIONS.items() if spec.effect is Effect.READ}
    assert set(EFFECTS) == {name for name, spec in ACTIONS.items() if spec.effect is not Effect.READ}


def test_every_setting_that_an_action_leaves_changed_can_be_put_back() -> None:
    assert {spec.changes for spec in ACTIONS.values() if spec.changes} <= set(REVERSALS)
