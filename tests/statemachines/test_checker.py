"""What the checker proves, states and refuses, beside the dangerous runbooks."""

import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachines.actions import ACTIONS, COMMON_OUTCOMES, Disruption, Effect
from statemachines.checker import bounds, prove
from statemachines.checker.findings import RULES
from statemachines.compiler import Ladder
from statemachines.loader import load_runbooks, shipped_directory
from statemachines.model import ENDS, Definition, State
from statemachines.table import End, ladder_states, next_states

SHIPPED = {definition.runbook: definition for definition in load_runbooks(shipped_directory())}
by_name = pytest.mark.parametrize("definition", SHIPPED.values(), ids=lambda definition: definition.runbook)


@by_name
def test_every_shipped_runbook_is_proven(definition: Definition) -> None:
    assert prove(definition) == ()


def test_to_prove_all_shipped_runbooks_is_no_more_work_than_to_read_them_ten_times() -> None:
    def work(what: Callable[[], object]) -> float:
        """CPU seconds; the fewest of some, since others work beside it."""
        spent = []
        for _ in range(3):
            began = time.process_time()
            what()
            spent.append(time.process_time() - began)
        return min(spent)

    # It is half as much; a checker that walked every way instead of every state would never end.
    reading = work(lambda: load_runbooks(shipped_directory()))
    assert work(lambda: [prove(definition) for definition in SHIPPED.values()]) < 10 * reading


@pytest.mark.parametrize(
    ("runbook", "said"),
    [
        ("pop-cas", "at most 4 restarts, 1 move, 1 reboot; at most 14 h 55 min at work"),
        ("pop-mailbox", "at most 1 restart, 1 move, 1 reboot; at most 5 h 20 min at work"),
        ("pop-processing-time", "at most 2 restarts, 1 move, 1 reboot; at most 6 h 50 min at work"),
        ("pop-proxy", "at most 1 restart, 1 move, 1 reboot; at most 5 h 20 min at work"),
        ("pop-triage", "disturbs nothing; at most 5 h at work"),
    ],
)
def test_how_often_a_ladder_disturbs_and_how_long_it_takes_is_stated(runbook: str, said: str) -> None:
    assert str(bounds(SHIPPED[runbook])) == said


def test_the_restarts_that_switch_the_protocol_log_off_are_counted_and_so_is_their_time() -> None:
    cas = SHIPPED["pop-cas"]
    restarts = [state for state in cas.states.values() if state.do == "restart_service"]
    # Where a server has both roles, both services may have begun while it was on.
    assert bounds(cas).disruptions[Disruption.RESTART] == len(restarts) + 2
    without = cas.model_copy(update={"undo": {"activation": cas.undo["activation"]}})
    # On a way out, and in the middle before it parks: three steps of 15 minutes, twice each.
    assert bounds(cas).longest - bounds(without).longest == 2 * 3 * 2 * timedelta(minutes=15)


@by_name
def test_what_is_walked_is_what_the_machine_does(definition: Definition) -> None:
    ladder = Ladder(definition)
    for (state, outcome), target in next_states(definition, ladder_states(definition)).items():
        assert ladder.next(state, outcome) == target


@by_name
def test_an_effect_without_the_look_before_it_is_refused(definition: Definition) -> None:
    """Each look that leads to an effect, bypassed: what came before it goes on as if it had found the problem."""
    looks = {
        name: state.then["unhealthy"]
        for name, state in definition.states.items()
        if ACTIONS[state.do].of_monitor and state.then.get("unhealthy", "resolved") in definition.states
    }
    for look, target in looks.items():
        states = {
            name: state.model_copy(update={"then": {o: target if t == look else t for o, t in state.then.items()}})
            for name, state in definition.states.items()
            if name != look
        }
        start = target if definition.start == look else definition.start
        refused = prove(definition.model_copy(update={"states": states, "start": start}))
        assert {finding.rule for finding in refused} & {"not-seen-sick", "unverified"}, look


def test_two_restarts_of_which_neither_names_its_service_get_an_answer_too() -> None:
    shipped = SHIPPED["pop-processing-time"]
    bare = {
        name: state.model_copy(update={"params": {}}) if state.do == "restart_service" else state
        for name, state in shipped.states.items()
    }
    findings = prove(shipped.model_copy(update={"states": bare}))
    assert any("restarts a service again" in str(finding) for finding in findings)


def test_a_path_is_told_hop_by_hop_and_is_one_that_the_ladder_can_go() -> None:
    mailbox = SHIPPED["pop-mailbox"]
    moved = mailbox.states["reboot.moved"].model_copy(update={"then": {"moved": "reboot.reboot", "stuck": "final"}})
    final = mailbox.states["final"].model_copy(update={"then": {"healthy": "resolved", "unhealthy": "resolved"}})
    wrong = mailbox.model_copy(update={"states": {**mailbox.states, "reboot.moved": moved, "final": final}})
    (finding,) = prove(wrong)
    assert (finding.rule, finding.state, finding.place) == ("unverified", "final", ("then", "unhealthy"))
    assert finding.server == "a Mailbox server in a DAG"
    ladder = Ladder(wrong)
    assert finding.path[0].state == wrong.start
    for hop, following in pairwise(finding.path):
        assert ladder.next(hop.state, hop.event.partition(";")[0]) == following.state
    assert finding.path[-1].then == f"breaks unverified: {RULES['unverified']}"


OUTCOMES = sorted({outcome for spec in ACTIONS.values() for outcome in (*spec.outcomes, *COMMON_OUTCOMES)})


def edits(state: State, targets: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, object]]:
    """What may be changed of a state, sensible or not."""
    services = st.sampled_from(["MSExchangePOP3", "$verify.probe", "$nowhere.x", "$", "", 7])
    return st.one_of(
        st.fixed_dictionaries({"then": st.dictionaries(st.sampled_from(OUTCOMES), targets, max_size=4)}),
        st.fixed_dictionaries({"do": st.sampled_from([*ACTIONS, "nothing"])}),
        st.fixed_dictionaries({"params": st.builds(lambda value: {**state.params, "service": value}, services)}),
        st.just({"params": {}}),
        st.just({"within": 10**9}),
    )


@st.composite
def edited(draw: st.DrawFn) -> Definition:
    """A shipped runbook with up to three edits."""
    definition = draw(st.sampled_from(list(SHIPPED.values())))
    states = dict(definition.states)
    targets = st.sampled_from([*sorted(states), *ENDS, "nowhere"])
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(states)))
        states[name] = states[name].model_copy(update=draw(edits(states[name], targets)))
    return definition.model_copy(update={"states": states})


@given(edited())
def test_any_definition_gets_an_answer_and_what_is_proven_keeps_the_hardest_rules(definition: Definition) -> None:
    findings = prove(definition)
    assert {finding.rule for finding in findings} <= set(RULES)
    assert all(str(finding) for finding in findings)
    if not findings:
        kept(definition)


def kept(definition: Definition) -> None:
    """Said once more in another way than the checker's, over all paths: no facts, only what was passed before."""
    ladder = Ladder(definition)
    stack: list[tuple[str, tuple[tuple[str, str], ...]]] = [(definition.start, ())]
    while stack:
        state, passed = stack.pop()
        done = [(ACTIONS[definition.states[name].do].name, outcome) for name, outcome in passed]
        spec = ladder.states[state].action
        if spec.disrupts is Disruption.REBOOT:
            assert ("check_moved", "moved") in done or ("holds_copies", "no") in done
            assert sum(name == "reboot" for name, _ in done) == 0
        if spec.effect is not Effect.READ and spec.name != "undo":
            assert not {"refused", "unreachable", "unknown", "undecided"} & {outcome for _, outcome in done}
        for outcome in definition.states[state].then:
            target = ladder.next(state, outcome)
            if target == End.RESOLVED.undo:
                assert outcome == "healthy"
                assert spec.name in ("verify", "watch_monitor", "triage")
            elif target in definition.states:
                stack.append((target, (*passed, (state, outcome))))
