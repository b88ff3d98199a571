import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.cli import main
from daemon.lab.clock import LabClock
from daemon.lab.lab import Lab


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed. `said` is all of it with the line breaks taken out."""

    code: int
    out: str
    errors: str

    @property
    def said(self) -> str:
        return " ".join((self.out + self.errors).split())


Exmedic = Callable[..., Result]


@pytest.fixture
def exmedic(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Exmedic:
    """Runs a command as a terminal of 80 columns without colours would show it. An exception fails the test."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("EXMEDIC_CONFIG", raising=False)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["exmedic", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site's configuration. No daemon runs, and there is no store yet."""
    with Lab(tmp_path / "lab", LabClock.starting_now(1)) as lab:
        path = lab.write_site(tmp_path / "site", 1)  # nothing listens on port 1
    (tmp_path / "site" / "data").mkdir()
    return path
