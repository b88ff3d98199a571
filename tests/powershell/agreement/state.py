"""A state of the lab: something broken, said twice, as `exmedic lab break` says it and as the stubs' world shows it.

The world is made from the inventory, from what is broken and from what Windows and Exchange answer then; never from
what the lab answers.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import daemon.lab
from daemon.lab.faults import Fault
from tests.powershell.case import CHANGING
from tests.powershell.organisation import Json

DOMAIN = "contoso.lab"


@cache
def _sources() -> str:
    """The hash of the lab's modules and of these."""
    lab = Path(daemon.lab.__file__).parent
    modules = [*sorted(lab.rglob("*.py")), *sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()


def fqdn(short: str) -> str:
    """The full name of a server of the lab."""
    return f"{short}.{DOMAIN}"


@dataclass(frozen=True)
class Asked:
    """A call of a script on a server. `ago(...)` in the arguments is filled in by each side's own clock.

    `logon`: the credential that travels with it for Exchange: `right`, `wrong` or `none`.
    """

    script: str
    executor: str
    args: Mapping[str, object] = field(default_factory=dict)
    logon: str = "right"

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.script in CHANGING


@dataclass(frozen=True)
class Breaking:
    """One thing that is broken on a server."""

    server: str
    fault: Fault
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """`broken`: what the lab is told. `world`: does the same to the stubs' world. `asked`: what both are then asked.

    `first`: what the lab is asked before, of which `world` shows what came. `passes`: seconds of the lab's time that
    pass then. `quick`: one of the few that `make test` compares.
    """

    name: str
    asked: tuple[Asked, ...]
    broken: tuple[Breaking, ...] = ()
    world: Callable[[Json], object] = lambda _: None
    first: tuple[Asked, ...] = ()
    passes: float = 0
    quick: bool = False


@dataclass(frozen=True)
class Comparison:
    """One call in one state."""

    state: State
    asked: Asked

    @property
    def id(self) -> str:
        """How it is called."""
        about = str(self.asked.args.get("server", "")).partition(".")[0]
        return f"{self.state.name}: {self.asked.script} on {self.asked.executor}" + (f" about {about}" if about else "")

    @property
    def script(self) -> str:
        """The script that is called."""
        return self.asked.script

    @property
    def kept(self) -> str:
        """All of it as text, with what the lab and these states are made of."""
        return repr((self.id, _sources()))


def about(script: str, server: str, executor: str = "mbx3", **args: Any) -> Asked:  # noqa: ANN401 - any JSON
    """A script that asks Exchange about a server."""
    return Asked(script, executor, {"server": fqdn(server), **args})
