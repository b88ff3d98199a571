"""The state machine of a runbook: total, and every way out puts things back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachines.actions import ACTIONS, COMMON_OUTCOMES, Effect
from statemachines.compiler import Ladder
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.table import CLOSE, HELD, RECHECK, TAKEN, End, leaves

VERIFYING = ("verify", "triage", "watch_monitor")
LADDERS = [Ladder(definition) for definition in load_runbooks(shipped_directory())]


def outcomes(ladder: Ladder, state: str) -> list[str]:
    spec = ladder.states[state].action
    own = [*spec.outcomes, *COMMON_OUTCOMES]
    if spec.effect is not Effect.READ and spec.name != "undo":
        own.append(HELD)
    return own


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.definition.runbook)
def test_every_outcome_of_every_state_has_a_next_state(ladder: Ladder) -> None:
    for state in ladder.states:
        for outcome in outcomes(ladder, state):
            assert ladder.next(state, outcome) in (*ladder.states, *End)


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.definition.runbook)
def test_an_operator_can_close_an_incident_in_every_state_but_on_its_way_out(ladder: Ladder) -> None:
    for state in ladder.states:
        if not state.startswith("undo."):
            assert ladder.next(state, CLOSE) == "undo.cancelled"


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.definition.runbook)
def test_what_somebody_has_already_escalates_from_every_state_but_one_that_an_operator_closes(ladder: Ladder) -> None:
    for state in ladder.states:
        if state == End.ESCALATED.undo:
            assert ladder.next(state, TAKEN) == End.ESCALATED
        elif state != End.CANCELLED.undo:
            assert ladder.next(state, TAKEN) == End.ESCALATED.undo


@given(st.data())
def test_no_walk_ends_without_undo_and_a_resolved_one_verified_last(data: st.DataObject) -> None:
    ladder = data.draw(st.sampled_from(LADDERS))
    state, walk = ladder.start, list[tuple[str, str]]()
    for _ in range(60):
        # After "more" there is something to be put back, so "nothing" cannot follow.
        left = [name for name in outcomes(ladder, state) if (walk and walk[-1][1], name) != ("more", "nothing")]
        outcome = data.draw(st.sampled_from(left))
        walk.append((state, outcome))
        state = ladder.next(state, outcome)
        if state in tuple(End):
            break
    if state == End.RESOLVED:
        effects = [
            i for i, (s, o) in enumerate(walk) if ladder.states[s].action.effect is not Effect.READ and o != HELD
        ]
        # "nothing" is the outcome of an undo that had nothing to do, which is no effect.
        done = [i for i in effects if walk[i][1] != "nothing"]
        verified = [i for i, (s, o) in enumerate(walk) if ladder.states[s].action.name in VERIFYING and o == "healthy"]
        assert verified
        assert not done or verified[-1] > done[-1]
    if state in tuple(End):
        assert any(name.startswith("undo.") for name, _ in walk)


def test_the_states_that_leave_are_those_of_the_engine_that_put_things_back_on_the_way_to_an_end() -> None:
    for ladder in LADDERS:
        engines_own = {name for name in ladder.states if name not in ladder.definition.states}
        assert {name for name in ladder.states if leaves(name)} == {
            name for name in engines_own if ladder.states[name].action.puts_back
        }


def test_an_outcome_that_a_state_does_not_name_escalates_and_unknown_always_does() -> None:
    for ladder in LADDERS:
        for name, state in ladder.definition.states.items():
            for outcome in (*ACTIONS[state.do].outcomes, *COMMON_OUTCOMES):
                if outcome not in state.then and (state.do, outcome) != ("undo", "more"):
                    assert ladder.next(name, outcome) == "undo.escalated"
            assert ladder.next(name, "unknown") == "undo.escalated"


def test_an_outcome_that_the_action_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError, match="has no outcome 'moved'"):
        LADDERS[0].next("verify", "moved")


def test_before_every_effect_there_is_a_state_that_verifies_afresh() -> None:
    for ladder in LADDERS:
        for name, state in ladder.definition.states.items():
            if ACTIONS[state.do].effect is not Effect.READ and state.do != "undo":
                assert ladder.next(name, HELD) == name + RECHECK
                assert ladder.next(name + RECHECK, "unhealthy") == name
                assert ladder.next(name + RECHECK, "healthy") == "undo.resolved"


def test_an_undo_inside_a_ladder_goes_on_until_all_is_put_back_and_is_never_held_to_verify() -> None:
    (ladder,) = [ladder for ladder in LADDERS if ladder.definition.runbook == "pop-cas"]
    assert ladder.next("park", "more") == "park"
    assert ladder.next("park", "done") == ladder.next("park", "nothing") == "child"
    assert ladder.next("park", "left") == "undo.escalated"
    assert "park.recheck" not in ladder.states


def test_the_definition_that_is_stored_compiles_to_the_same_ladder() -> None:
    for ladder in LADDERS:
        again = type(ladder.definition).model_validate_json(ladder.definition.text)
        assert again.hash == ladder.definition.hash
        assert Ladder(again).states == ladder.states
