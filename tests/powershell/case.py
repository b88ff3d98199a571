"""A case: a script, what is wrong in its world, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.powershell.organisation import ARGUMENTS, MBX2, Json, healthy

#: Scripts that may change something.
CHANGING = frozenset({"set_activation", "restart_service", "reboot", "set_protocol_log"})


@dataclass(frozen=True)
class OneOf:
    """Any of these values will do."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Among:
    """A list that has each of these entries, wherever they stand."""

    entries: tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """`outcomes`: `ok`, an error kind, or `lost` for exit 3. `result`: what must at least stand in the answer.

    `effects`: what the journal must have, in order, each as `stop NAME`, `reboot SERVER HOW`, `set SERVER VALUE`. None:
    whatever the invariants allow. `cut`: where standard input ends (`first`, `boundary`, `second`). `hidden`: texts
    that must not be in what is kept of the answer. `quick`: one of the few that `make test` runs.
    """

    script: str
    name: str
    outcomes: tuple[str, ...]
    change: Callable[[Json], object] = lambda _: None
    args: Json = field(default_factory=dict)
    culture: str = "en-US"
    host: str = MBX2
    logon: bool = True
    cut: str = ""
    result: Any = None
    says: str = ""
    effects: tuple[str, ...] | None = None
    hidden: tuple[str, ...] = ()
    quick: bool = False

    @property
    def id(self) -> str:
        """How it is called, in `expected_later.py` too."""
        return f"{self.script}: {self.name}" + ("" if self.culture == "en-US" else f" ({self.culture})")

    @property
    def world(self) -> Json:
        """Its world; the times in it are still to be filled in."""
        world = healthy(self.host, self.culture)
        self.change(world)
        return world

    @property
    def arguments(self) -> Json:
        """What the script is asked."""
        return {**ARGUMENTS[self.script], **self.args}

    @property
    def kept(self) -> str:
        """All of it as text: the same text is the same case."""
        expected = (self.outcomes, self.result, self.says, self.effects, self.hidden, self.logon, self.cut)
        return repr((self.id, self.world, self.arguments, expected))


def fault(command: str, **what: Any) -> Callable[[Json], object]:  # noqa: ANN401 - any JSON
    """Breaks a cmdlet of Exchange, as the stubs understand it."""
    return lambda world: world["exchange"]["faults"].setdefault(command, []).append(what)


def revoke(command: str) -> Callable[[Json], object]:
    """Takes a cmdlet away: the caller's roles do not grant it."""
    return lambda world: world["exchange"]["granted"].remove(command)


def windows(command: str, host: str = MBX2, **what: Any) -> Callable[[Json], object]:  # noqa: ANN401 - any JSON
    """Breaks a cmdlet of Windows on a server."""
    return lambda world: world["hosts"][host]["faults"].setdefault(command, []).append(what)


def both(*changes: Callable[[Json], object]) -> Callable[[Json], object]:
    """One after the other."""

    def change(world: Json) -> None:
        for each in changes:
            each(world)

    return change


def rows(table: str, key: str, value: str, **other: Any) -> Callable[[Json], object]:  # noqa: ANN401 - any JSON
    """Changes the rows of a table where `key` is that value."""

    def change(world: Json) -> None:
        found = [row for row in world["exchange"][table] if row[key].lower() == value.lower()]
        assert found, (table, key, value)
        for row in found:
            row.update(other)

    return change


def service(name: str, **other: Any) -> Callable[[Json], object]:  # noqa: ANN401 - any JSON
    """Changes a service of MBX2; one that is not there comes to be."""
    return lambda world: world["hosts"][MBX2]["services"].setdefault(name, {}).update(other)
