"""Finds a PowerShell for the tests of this folder, leaves them out where there is none, and tells so in one line.

What passed is written down under `.powershell/`, by the hash of script, stubs and case: `make powershell` goes on where
it was cut off, and runs again only what has changed.
"""

import hashlib
from pathlib import Path
from typing import Protocol

import pytest

from daemon.exchange import launch
from daemon.lab.pwsh.finding import find_pwsh
from daemon.lab.pwsh.shell import digest
from tests.powershell.agreement.state import Comparison
from tests.powershell.case import Case
from tests.powershell.ladder import Ladder

ROOT = Path(__file__).parent.parent.parent
LEDGER = ROOT / ".powershell" / "passed"
_COUNTS = "powershell_left_out"


class Kept(Protocol):
    """What is not run again once it has passed: the same `kept` is the same thing."""

    @property
    def script(self) -> str:
        """The script that it runs."""
        ...

    @property
    def kept(self) -> str:
        """Everything else that it rests on."""
        ...


def key(case: Kept) -> str:
    """The same for the same script, stubs and case."""
    parts = (launch.load(case.script).sha256, launch.BOOTSTRAP, digest(), case.kept)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def passed(case: Kept) -> None:
    """Write down that it need not run again."""
    LEDGER.parent.mkdir(exist_ok=True)
    with LEDGER.open("a", encoding="utf-8") as ledger:
        ledger.write(key(case) + "\n")


class Plugin:
    """Leaves out what cannot run or has passed already."""

    def __init__(self) -> None:
        self._without = 0
        self._passed = 0

    @pytest.hookimpl(trylast=True)  # of those that the run wants, and not of those that -m and -k leave out
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect, and count."""
        ours = [item for item in items if "pwsh" in getattr(item, "fixturenames", ())]
        if not ours:
            return
        out: list[pytest.Item] = []
        if find_pwsh() is None:
            out = ours
            self._without = len(out)
        else:
            done = set(LEDGER.read_text("utf-8").split()) if LEDGER.exists() else set()
            out = [item for item in ours if _kept(item) and _key_of(item) in done]
            self._passed = len(out)
        left = set(map(id, out))
        items[:] = [item for item in items if id(item) not in left]
        config.hook.pytest_deselected(items=out)
        if hasattr(config, "workeroutput"):
            config.workeroutput[_COUNTS] = (self._without, self._passed)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Each worker of xdist collects everything; the terminal is another process's."""
        counts = getattr(node, "workeroutput", {}).get(_COUNTS)
        if counts:
            self._without, self._passed = counts

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """When everything passed before, nothing has failed."""
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._passed:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line each."""
        if self._without:
            terminalreporter.write_line(
                f"{self._without} tests of the scripts did not run: there is no PowerShell here. "
                "Set EXMEDIC_PWSH to one, or put pwsh on PATH."
            )
        if self._passed:
            terminalreporter.write_line(
                f"{self._passed} tests of the scripts passed before, unchanged, and did not run again "
                f"({LEDGER.relative_to(ROOT)})."
            )


def _kept(item: pytest.Item) -> bool:
    """Whether it need not run again; a quick one always runs."""
    return any(item.get_closest_marker(mark) for mark in ("powershell", "powershell_ladders"))


def _key_of(item: pytest.Item) -> str:
    case = item.callspec.params.get("case") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    if isinstance(case, Ladder):
        return case.key
    return key(case) if isinstance(case, Case | Comparison) else ""
