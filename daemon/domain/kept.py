"""What an incident keeps beside what its states produced: a question and its answer, and what modes held back.

Each is part of the incident, so it changes only together with the incident it is about.
"""

from dataclasses import dataclass, field
from datetime import datetime

from daemon.domain.values import Json
from daemon.domain.verdicts import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an incident asks of an operator before it acts: whether to do `what`, which is that of `state`."""

    state: str
    what: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What an operator answered to a question: yes until `expires`, or no."""

    approved: bool
    state: str
    what: str
    by: str
    why: str
    at: datetime
    expires: datetime  #: of a no: when it was given


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOut:
    """The step by which a recommendation was carried out after all, and the approval that allowed it."""

    step: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What a mode kept a state from doing, with how the server was when it did so for the first time."""

    state: str
    action: str
    action_class: str  #: empty: of no class that modes tell apart
    what: str
    service: str  #: empty: not about a service
    mode: Mode
    first: datetime
    baseline: Json = field(default_factory=dict)
    carried_out: CarriedOut | None = None  #: once an operator approved it


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that ran at the last look; `since` is None where its start could not be read."""

    service: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """How the server was once it was healthy again. None: not asked, or not answered."""

    at: datetime
    boot_time: datetime | None = None
    services: tuple[Running, ...] | None = None
    active: tuple[str, ...] | None = None  #: databases that were active there


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody has the problem already, so its incident only looks."""

    why: str  #: who, as the source of the alert says it
    alert: str  #: the source's id of that alert


@dataclass(frozen=True, slots=True)
class OrderedUndo:
    """An operator's order to put back what was left: whether the incident still kept its key then."""

    latched: bool
