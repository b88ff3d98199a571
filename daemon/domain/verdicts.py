"""What a gate may answer, each with the sentence and the figures that decided."""

import re
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


class Awaits(StrEnum):
    """What may end a hold before its time is over, as it is stored."""

    NOTHING = ""
    ANSWER = " without an answer"
    CAUSE = " for a shared cause"


_STORED = re.compile(rf"(\w+) after (\d+) s({'|'.join(filter(None, Awaits))})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldKind:
    """What makes two holds one wait: the same end after the same time, whatever the words. As text it is stored."""

    outcome: str
    seconds: int
    awaits: Awaits = Awaits.NOTHING

    def __str__(self) -> str:
        return f"{self.outcome} after {self.seconds} s{self.awaits}"

    @classmethod
    def of(cls, stored: str) -> "HoldKind | None":
        """The kind that is stored so; None where nothing holds."""
        found = _STORED.fullmatch(stored)
        return found and cls(outcome=found[1], seconds=int(found[2]), awaits=Awaits(found[3] or ""))


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
    def kind(self) -> HoldKind:
        """What makes it one wait with the hold before it."""
        awaits = Awaits.CAUSE if self.found else Awaits.ANSWER if self.question else Awaits.NOTHING
        return HoldKind(outcome=self.outcome, seconds=round(self.deadline.total_seconds()), awaits=awaits)


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
