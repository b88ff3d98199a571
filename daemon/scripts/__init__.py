"""The PowerShell that exmedic runs: fixed, reviewed files. Arguments are data, and no text ever becomes a command.

What travels to a server for one call is `BOOTSTRAP`, with the step's id in it as a marker, on the command line, and
on stdin the base64 of a JSON object: `script` (the text of `_prelude.ps1` and the script, base64), `name`, `step`,
`args`, and where a second hop needs one `credential` (`username`, `password`).
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: The scripts by name. `daemon.wire.answers` has the arguments and answers of each.
NAMES = (
    "server_health",
    "invoke_probe",
    "database_copies",
    "set_activation",
    "server_state",
    "restart_service",
    "reboot",
    "step_running",
)


@dataclass(frozen=True, slots=True)
class Script:
    """A shipped script: the prelude and its own text, and the hash of both."""

    name: str
    text: str
    sha256: str


@cache
def load(name: str) -> Script:
    """The script of that name.

    Raises:
        KeyError: exmedic ships no such script.
    """
    if name not in NAMES:
        raise KeyError(name)
    folder = files(__name__)
    text = (folder / "_prelude.ps1").read_text("utf-8") + "\n" + (folder / f"{name}.ps1").read_text("utf-8")
    return Script(name, text, hashlib.sha256(text.encode()).hexdigest())
