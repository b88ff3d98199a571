"""A PowerShell with the stubs. Tests that ask for it are left out where there is none (`plugin.py`)."""

import os
from pathlib import Path

import pytest

from daemon.lab.pwsh.finding import find_pwsh
from daemon.lab.pwsh.shell import Shell, compiled
from tests.powershell.plugin import ROOT


@pytest.fixture(scope="session")
def pwsh() -> Shell:
    """The real PowerShell; the stubs are compiled once for all runs."""
    found = find_pwsh()
    assert found is not None, "without one, tests that ask for it are left out"
    assert os.access(found, os.X_OK), f"there is no PowerShell at {found}: set EXMEDIC_PWSH to one"
    cache = ROOT / ".powershell"
    cache.mkdir(exist_ok=True)
    return Shell(found, compiled(found, cache))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty disk for one call."""
    made = tmp_path / "disk"
    made.mkdir()
    return made
