"""The lab tells the truth: in each state that it can be broken into, it answers as the script does over the stubs."""

from pathlib import Path

import pytest

from daemon.exchange.launch import NAMES
from daemon.lab.faults import Fault
from daemon.lab.pwsh.shell import Shell
from tests.powershell.agreement import states_exchange, states_windows
from tests.powershell.agreement.compare import by_the_lab, by_the_script, differences
from tests.powershell.agreement.state import Comparison
from tests.powershell.plugin import passed

STATES = [*states_windows.STATES, *states_exchange.STATES]
COMPARISONS = [Comparison(state, asked) for state in STATES for asked in state.asked]
MOST = 200

_ON_THE_WAY = "it befalls the call on its way there or back, and no script sees it"
_IN_THE_SCRIPT = "an error that nobody foresaw in a script: what it means is one rule, which tests of the lab hold"
#: Faults that concern the content of no answer, and why.
NOT_COMPARED = {
    Fault.ANSWER_LOST: _ON_THE_WAY,
    Fault.GARBAGE_ANSWER: _ON_THE_WAY,
    Fault.CUT_BEFORE: _ON_THE_WAY,
    Fault.SILENT_ENDPOINT: _ON_THE_WAY,
    Fault.LATE_ANSWER: _ON_THE_WAY,
    Fault.WSMAN_QUOTA: _ON_THE_WAY,
    Fault.SCRIPT_BROKEN: _IN_THE_SCRIPT,
}


def _marks(case: Comparison) -> list[pytest.MarkDecorator]:
    return [] if case.state.quick else [pytest.mark.powershell]


@pytest.mark.parametrize("case", [pytest.param(each, id=each.id, marks=_marks(each)) for each in COMPARISONS])
def test_the_lab_answers_as_the_script_does(case: Comparison, pwsh: Shell, tmp_path: Path) -> None:
    lab = by_the_lab(case, tmp_path / "lab")
    script = by_the_script(case, pwsh, tmp_path / "disk")
    told = "".join(
        f"\n{path}\n   lab    {said}\n   script {truth}" for path, (said, truth) in differences(lab, script).items()
    )
    if told:
        pytest.fail(told, pytrace=False)
    if not case.state.quick:
        passed(case)


def test_there_are_few_enough_comparisons_and_each_has_a_name_of_its_own() -> None:
    assert len(COMPARISONS) <= MOST
    assert len({each.id for each in COMPARISONS}) == len(COMPARISONS)


def test_as_built_every_script_is_compared() -> None:
    assert {each.asked.script for each in COMPARISONS if not each.state.broken} == set(NAMES)


def test_every_fault_of_the_lab_is_compared() -> None:
    assert {broken.fault for state in STATES for broken in state.broken} == set(Fault) - set(NOT_COMPARED)
