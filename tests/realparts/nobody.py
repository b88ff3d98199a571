"""Another user than the one who runs the tests: the user `nobody`."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534
_READS_EVERYTHING = 2  # the number of CAP_DAC_READ_SEARCH, capabilities(7)


def user_nobody() -> list[str]:
    """What runs a command as the user nobody, put in front of it.

    It may read what it likes, where we can allow it that: the interpreter may be in root's home. It may write nothing.
    """
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    (held,) = [
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapEff:")
    ]
    if not held >> _READS_EVERYTHING & 1:
        return command
    return [*command, *(f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient"))]


def as_nobody(act: Callable[[], None]) -> tuple[int, str]:
    """Run something in a forked process as the user nobody; exit code and all it printed."""
    assert os.geteuid() == 0, "only root can become nobody: run these tests as root, in a container for one"
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                sys.stdout = sys.stderr = output
                os.setegid(NOBODY)
                os.setgroups([])
                os.seteuid(NOBODY)
                act()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:  # noqa: BLE001 - shown by the parent
                traceback.print_exc()
            finally:
                output.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read()
