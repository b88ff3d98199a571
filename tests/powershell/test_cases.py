"""Each shipped script, run by a real PowerShell over stubs, in each case; its answer read by the daemon's own code."""

from pathlib import Path

import pytest

from daemon.exchange.launch import NAMES
from daemon.lab.pwsh.shell import Shell
from tests.powershell import cases_exchange, cases_windows
from tests.powershell.bench import judge, play
from tests.powershell.case import Case
from tests.powershell.expected_later import EXPECTED_LATER
from tests.powershell.organisation import CULTURES
from tests.powershell.plugin import key, passed

CASES = [*cases_exchange.all_of_them(), *cases_windows.all_of_them()]
MOST = 400


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    marks = [] if case.quick else [pytest.mark.powershell]
    if case.id in EXPECTED_LATER:
        marks.append(pytest.mark.xfail(strict=True, raises=AssertionError, reason="the scripts do not do so yet"))
    return marks


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id, marks=_marks(case)) for case in CASES])
def test_the_script_answers_as_it_must(case: Case, pwsh: Shell, folder: Path) -> None:
    judge(case, play(pwsh, case, folder))
    if not case.quick:
        passed(case)


def test_there_are_few_enough_cases_for_half_an_hour_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) <= MOST
    assert len({case.id for case in CASES}) == len(CASES)
    assert 12 <= sum(case.quick for case in CASES) <= 22


def test_every_script_is_played_in_every_culture() -> None:
    assert {(case.script, case.culture) for case in CASES if case.name == "happy"} == {
        (script, culture) for script in NAMES for culture in CULTURES
    }


def test_what_is_expected_later_is_a_case_that_there_is() -> None:
    assert {case.id for case in CASES} >= set(EXPECTED_LATER)
    assert len(EXPECTED_LATER) == len(set(EXPECTED_LATER))


def test_a_case_is_the_same_text_every_time() -> None:
    for case in CASES:
        assert key(case) == key(case), case.id
