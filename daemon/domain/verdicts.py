"""What a gate may answer, each with the sentence and the figures that decided."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from daemon.domain.causes import Found
from daemon.domain.values import Json


class Mode(StrEnum):
    """What the daemon may do to a server."""

    OBSERVE = "observe"
    APPROVE = "approve"  # it asks, and waits for an operator
    AUTO = "auto"


FOR_A_CAUSE = " for a shared cause"  #: ends the kind of a hold that waits for one


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """Go on; `figures` are the facts that allowed it."""

    figures: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Not now: ask again after `after`, escalate at `deadline` since this kind of hold began.

    `verify_afresh`: the world may have changed by then, so verify the problem again before acting. `lets_go`: gives
    its claims back meanwhile, if nothing waits to be undone (rule 6).
    """

    reason: str
    after: timedelta
    deadline: timedelta
    verify_afresh: bool = True
    lets_go: bool = False
    outcome: str = "refused"  #: at the deadline
    found: Found | None = None  #: the cause that it waits for, which others share
    paged: bool = False  #: the page of that cause told of the incident: at the deadline it needs none of its own
    question: str = ""  #: what an operator is asked to approve, in plain words; empty: nobody is asked

    @property
    def kind(self) -> str:
        """What makes two holds one wait: the same end after the same time, whatever the words."""
        asked = " without an answer" if self.question else ""
        cause = FOR_A_CAUSE if self.found else ""
        return f"{self.outcome} after {self.deadline.total_seconds():.0f} s{asked}{cause}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Never: escalate with this reason."""

    reason: str
    figures: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotTell:
    """The facts do not decide: they are read again until the state's deadline, and nothing is done meanwhile."""

    reason: str


Verdict = Allow | Hold | Refuse | CannotTell
