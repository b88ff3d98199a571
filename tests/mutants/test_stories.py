"""The stories on which mutants are played come through every branch that the lab can play, and break no rule."""

import pytest

from daemon.simulation.campaign import hush
from statemachines.loader import load_runbooks, shipped_directory
from tests.mutants.stories import never_left, stories

SHIPPED = {definition.runbook: definition for definition in load_runbooks(shipped_directory())}

NO_BOTH_IN_A_DAG = "a front end's server that may hold copies is moved: the lab has both roles only outside a DAG"
ONLY_MAILBOX = "the monitor or the roles have it that the server has the Mailbox role, so it may hold copies"
#: What a runbook names and the lab cannot play, by runbook.
UNPLAYED: dict[str, dict[tuple[str, str], str]] = {
    "pop-cas": {
        ("park", "nothing"): "the log is on already when the ladder wants it on: the lab has no such fault",
        ("reboot.move", "done"): NO_BOTH_IN_A_DAG,
        ("reboot.moved", "moved"): NO_BOTH_IN_A_DAG,
    },
    "pop-mailbox": {("reboot.copies", "no"): ONLY_MAILBOX},
    "pop-processing-time": {
        ("reboot.copies", "no"): ONLY_MAILBOX,
        ("cas_reboot.copies", "yes"): "the roles were asked before, and this is a Client Access server",
        ("cas_reboot.move", "done"): "as cas_reboot.copies",
        ("cas_reboot.moved", "moved"): "as cas_reboot.copies",
    },
    "pop-proxy": {
        ("reboot.copies", "yes"): NO_BOTH_IN_A_DAG,
        ("reboot.move", "done"): NO_BOTH_IN_A_DAG,
        ("reboot.moved", "moved"): NO_BOTH_IN_A_DAG,
    },
    "pop-triage": {},
}


#: Played every time; the others by `make chaos`.
OFTEN = {"pop-mailbox", "pop-triage"}


@pytest.mark.parametrize(
    "runbook", [pytest.param(name, marks=() if name in OFTEN else pytest.mark.chaos) for name in SHIPPED]
)
def test_they_come_through_every_next_state_that_the_lab_can_play_and_break_no_rule(runbook: str) -> None:
    hush()
    played = stories(tuple(SHIPPED.values()), runbook, vary=False)
    never = {
        (state, outcome)
        for state, outcomes in never_left(SHIPPED[runbook], played).items()
        for outcome in outcomes
        if outcome in SHIPPED[runbook].states[state].then
    }
    assert never == set(UNPLAYED[runbook])
    assert not {one.shows: one.broken for one in played if one.broken}
