"""The shape of a runbook file, and of the definition it becomes once its fragments are expanded.

The grammar stays small: a state does one action or uses one named fragment, its parameters are literals or a field
that an earlier state produced, and it names one next state per outcome. `then`, not `on`: YAML 1.1 reads `on` as true.
"""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
RunbookName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Literal_ = str | int | float | bool
#: What probes depend on, by the names of the page's table.
Need = Literal[
    "Active Directory",
    "Authentication",
    "Mailbox server authentication",
    "Information Store",
    "High availability",
    "Network",
]

#: The ends a state may name as its next.
ENDS = ("resolved", "escalated")


class UndoPolicy(StrEnum):
    """When a changed setting is put back on the way out."""

    ALWAYS = "always"
    #: Restoring would be unsafe on a server that is still sick after its reboot: then it stays, and is reported.
    UNLESS_SICK_AFTER_REBOOT = "unless_sick_after_reboot"


class _Model(BaseModel):
    # What stands below a field of a file is what an editor shows beside it (docs/runbook.schema.json).
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


class Handled(_Model):
    """A monitor that a runbook handles."""

    health_set: str
    """The health set as Exchange calls it; letters may be large or small."""
    monitor: str
    """The monitor as Exchange calls it; "" for alerts that name only the health set."""
    probe: str | None = None
    """The probe that `verify` reruns. Left out: the monitor has none, its rows decide."""
    depends_on: list[Need] = Field(default_factory=list)
    """What the probe depends on, as the page calls it; while it is unhealthy there, nothing disruptive is done."""
    role: Literal["client_access", "mailbox"] | None = None
    """Only on servers that have this role in the inventory."""
    confirmed: bool = False
    """exmedic does not know these names, but somebody has seen them on a live server."""

    @property
    def key(self) -> tuple[str, str]:
        """Health set and monitor as they are compared: without regard to case."""
        return self.health_set.lower(), self.monitor.lower()


class StateModel(_Model):
    """One state: it does an action or uses a fragment, and names the next state for each outcome."""

    do: Name | None = None
    """The action."""
    use: Name | None = None
    """The fragment that takes this state's place."""
    with_: dict[Name, Literal_] = Field(default_factory=dict, alias="with")
    """Parameters: literals, or `$state.field` for what an earlier state found."""
    within: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[smhd]$")] | None = None
    """The deadline, such as 30m or 4h, in place of the action's own."""
    then: dict[Name, Name]
    """The next state for each outcome; an outcome that is not named leads to `escalated`."""


class RunbookFile(_Model):
    """A runbook: the ladder for some monitors."""

    runbook: RunbookName
    """Its name."""
    title: str
    """What is wrong where, in a line."""
    source: str
    """The procedure it comes from; an escalation names it."""
    overrides: RunbookName | None = None
    """The shipped runbook that this one of a site takes the place of."""
    handles: list[Handled] = Field(min_length=1)
    """The monitors whose alerts open it."""
    undo: dict[Name, UndoPolicy] = Field(default_factory=dict)
    """Every setting that its states change, and when it is put back on the way out."""
    states: dict[Name, StateModel] = Field(min_length=1)
    """The states; the first is where the ladder begins."""


class FragmentFile(_Model):
    """A fragment: states that several runbooks use as if they were one."""

    fragment: Name
    """Its name, for `use`."""
    title: str
    """What it does, in a line."""
    params: list[Name] = Field(default_factory=list)
    """What its user gives it under `with`; inside it is `$name`."""
    exits: list[Name] = Field(min_length=1)
    """The outcomes it offers to its user."""
    states: dict[Name, StateModel] = Field(min_length=1)
    """The states; the first is where it begins."""


class State(_Model):
    """One state after expansion. A parameter that starts with `$` is `$state.field`, produced by an earlier state."""

    do: str
    params: dict[str, Literal_]
    within: int | None = None  #: seconds; None: the action's own deadline
    then: dict[str, str]


class Definition(_Model):
    """A runbook as it is run: fragments expanded. An incident is pinned to its hash, and its text is stored."""

    runbook: str
    title: str
    source: str
    handles: list[Handled]
    undo: dict[str, UndoPolicy]
    start: str
    states: dict[str, State]

    @property
    def text(self) -> str:
        """The definition as JSON with one spelling."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def hash(self) -> str:
        """SHA-256 of `text`, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def handled(self, health_set: str, monitor: str) -> Handled | None:
        """The entry of `handles` for these names, compared without regard to case."""
        for entry in self.handles:
            if entry.key == (health_set.lower(), monitor.lower()):
                return entry
        return None
