"""Where a real PowerShell is."""

import os
import shutil
from pathlib import Path

from daemon.domain.errors import OperatorError
from daemon.lab.clock import LabClock
from daemon.lab.pwsh.shell import Shell, StubsFailed, compiled

HOW = "Set EXMEDIC_PWSH to a PowerShell 7, or put pwsh on PATH."


def find_pwsh() -> Path | None:
    """The PowerShell that EXMEDIC_PWSH names, or the one on PATH; None without either."""
    named = os.environ.get("EXMEDIC_PWSH")
    if named:
        return Path(named)
    found = shutil.which("pwsh")
    return None if found is None else Path(found)


def the_pwsh() -> Path:
    """The PowerShell of this machine.

    Raises:
        OperatorError: there is none, or what EXMEDIC_PWSH names cannot be run.
    """
    found = find_pwsh()
    if found is None:
        raise OperatorError(f"There is no PowerShell here. {HOW}")
    if not (found.is_file() and os.access(found, os.X_OK)):
        raise OperatorError(f"EXMEDIC_PWSH names {found}, which is no program that can be run. {HOW}")
    return found


def ready_shell(cache: Path, clock: LabClock) -> Shell:
    """The PowerShell of this machine with the stubs, which are compiled into `cache` at the first time.

    Raises:
        OperatorError: the lab's clock does not run as fast as this machine's; or there is no PowerShell, it cannot be
            run, or it cannot compile the stubs.
    """
    if clock.speed != 1:
        raise OperatorError("A real PowerShell has this machine's clock, so the lab's cannot run faster: --speed 1.")
    pwsh = the_pwsh()
    try:
        return Shell(pwsh, compiled(pwsh, cache.absolute()))
    except StubsFailed as failed:
        raise OperatorError(str(failed)) from None
