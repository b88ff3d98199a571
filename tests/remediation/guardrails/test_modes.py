"""Which mode applies: the most telling rule, and among equals the most cautious."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from daemon.config.guardrails import ActionClass, ModeRule, Safety, Timing
from daemon.domain.inventory import Role, Server
from daemon.domain.verdicts import Mode
from daemon.remediation.guardrails.modes import CAUTION, class_of, may_act, mode_of
from statemachines.actions import ACTIONS

NAME = "mbx1.contoso.com"


def server(*tags: str) -> Server:
    return Server(
        name=NAME,
        roles=frozenset({Role.MAILBOX}),
        dag=None,
        site="Lyon",
        endpoint="http://127.0.0.1:1/wsman",
        credential="lab",
        tags=frozenset(tags),
    )


def rule(mode: Mode, **about: tuple[str, ...]) -> ModeRule:
    return ModeRule.model_validate({"mode": mode, **about})


@pytest.mark.parametrize(
    ("rules", "mode"),
    [
        ((), Mode.OBSERVE),
        ((rule(Mode.APPROVE),), Mode.APPROVE),
        ((rule(Mode.APPROVE, tags=("ring1",)),), Mode.APPROVE),
        ((rule(Mode.AUTO, tags=("ring2",)),), Mode.OBSERVE),
        ((rule(Mode.AUTO, tags=("ring1",)), rule(Mode.APPROVE, tags=("ring1",), actions=("reboot",))), Mode.APPROVE),
        ((rule(Mode.AUTO, tags=("ring1",)), rule(Mode.APPROVE, tags=("ring1",), actions=("move",))), Mode.AUTO),
        ((rule(Mode.AUTO, tags=("ring1",)), rule(Mode.OBSERVE)), Mode.AUTO),
        ((rule(Mode.AUTO, servers=(NAME.upper(),)), rule(Mode.OBSERVE, tags=("ring1",))), Mode.AUTO),
        ((rule(Mode.OBSERVE, servers=(NAME,)), rule(Mode.AUTO, tags=("ring1",))), Mode.OBSERVE),
        ((rule(Mode.AUTO, servers=(NAME,), tags=("ring2",)),), Mode.OBSERVE),
        ((rule(Mode.AUTO, servers=("mbx2.contoso.com",)),), Mode.OBSERVE),
    ],
)
def test_a_rule_that_names_the_server_beats_one_with_tags_beats_any_other_and_then_caution_wins(
    rules: tuple[ModeRule, ...], mode: Mode
) -> None:
    assert mode_of(server("ring1"), ActionClass.REBOOT, Safety(modes=rules)) is mode


def test_auto_tags_are_the_short_form_of_a_rule_and_a_rule_for_the_same_tag_may_be_more_cautious() -> None:
    safety = Safety(auto_tags=("ring1",), modes=(rule(Mode.APPROVE, tags=("ring1",), actions=("reboot", "move")),))
    modes = {action: mode_of(server("ring1"), action, safety) for action in ActionClass}
    assert modes == {
        ActionClass.RESTART: Mode.AUTO,
        ActionClass.MOVE: Mode.APPROVE,
        ActionClass.REBOOT: Mode.APPROVE,
        ActionClass.SETTING: Mode.AUTO,
    }


def test_reading_is_always_allowed_and_every_effect_has_a_class() -> None:
    for action in ACTIONS.values():
        reads = action.effect.value == "read"
        assert (class_of(action) is None) is reads, action.name
    assert mode_of(server(), class_of(ACTIONS["verify"]), Safety()) is Mode.AUTO


def test_no_server_is_healed_by_default() -> None:
    with pytest.raises(ValidationError, match="no server is healed by default"):
        rule(Mode.AUTO, actions=("restart",))


_RULES = st.builds(
    rule,
    st.sampled_from(Mode),
    tags=st.sampled_from([("ring1",), ("ring1", "ring2"), ("ring3",)]),
    actions=st.sampled_from([(), ("reboot",), ("restart", "reboot")]),
)


@given(st.lists(_RULES, max_size=5), _RULES, st.permutations(range(6)))
def test_among_equals_order_does_not_matter_and_one_rule_more_never_makes_it_bolder(
    rules: list[ModeRule], more: ModeRule, order: list[int]
) -> None:
    here = server("ring1")
    before = mode_of(here, ActionClass.REBOOT, Safety(modes=tuple(rules)))
    both = [*rules, more]
    shuffled = [both[number] for number in order if number < len(both)]
    after = mode_of(here, ActionClass.REBOOT, Safety(modes=tuple(shuffled)))
    assert after is mode_of(here, ActionClass.REBOOT, Safety(modes=tuple(both)))
    concerned = any(set(each.tags) & {"ring1"} and (not each.actions or "reboot" in each.actions) for each in rules)
    assert not concerned or CAUTION.index(after) <= CAUTION.index(before)


def test_approve_asks_once_nobody_has_approved_and_observe_never_asks() -> None:
    timing = Timing()
    asking = may_act("reboot the server", Mode.APPROVE, timing)
    assert asking is not None
    assert (asking.question, asking.deadline) == ("reboot the server", timedelta(seconds=timing.hold_deadline))
    assert "mode approve: waits for approval to reboot the server" in asking.reason
    assert may_act("reboot the server", Mode.APPROVE, timing, approved=True) is None
    assert may_act("reboot the server", Mode.AUTO, timing) is None
    observing = may_act("reboot the server", Mode.OBSERVE, timing, approved=True)
    assert observing is not None
    assert (observing.question, observing.reason) == ("", "mode observe: would reboot the server")
