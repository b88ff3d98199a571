"""What is left out is told: without a PowerShell, and where a case has passed before."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.powershell.plugin import ROOT, Plugin, key
from tests.powershell.test_cases import CASES
from tests.powershell.test_lab_agrees import COMPARISONS


def test_without_a_powershell_one_line_says_how_many_did_not_run_and_how_to_get_it() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("EXMEDIC_PWSH", "PYTEST_"))}
    wanted = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not powershell", "tests/powershell"]
    wanted += [f"--ignore=tests/powershell/test_{name}.py" for name in ("lab_pwsh", "ladders")]
    ended = subprocess.run(wanted, cwd=ROOT, env={**bare, "PATH": ""}, capture_output=True, text=True, check=False)
    lines = [line for line in ended.stdout.splitlines() if "did not run" in line]
    quick = sum(case.quick for case in CASES) + sum(each.state.quick for each in COMPARISONS)
    assert len(lines) == 1, ended.stdout + ended.stderr
    assert lines[0].startswith(f"{quick} tests of the scripts did not run")
    assert "EXMEDIC_PWSH" in lines[0]
    assert "PATH" in lines[0]


def test_no_two_cases_are_taken_for_each_other() -> None:
    assert len({key(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize(("passed", "ended"), [(3, pytest.ExitCode.OK), (0, pytest.ExitCode.NO_TESTS_COLLECTED)])
def test_a_run_in_which_everything_passed_before_has_not_failed(passed: int, ended: pytest.ExitCode) -> None:
    plugin, session = Plugin(), SimpleNamespace(exitstatus=pytest.ExitCode.NO_TESTS_COLLECTED)
    plugin.pytest_testnodedown(SimpleNamespace(workeroutput={"powershell_left_out": (0, passed)}))
    plugin.pytest_sessionfinish(session)  # type: ignore[arg-type] # it looks at the exit status alone
    assert session.exitstatus is ended
