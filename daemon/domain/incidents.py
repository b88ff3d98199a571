"""Incidents, their steps, and what they leave to be put back. The words are those of docs/words.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from daemon.domain.kept import Approval, LastLook, OrderedUndo, Question, Recommendation, Taken
from daemon.domain.values import Json
from daemon.domain.verdicts import HoldKind
from statemachines.actions import Effect


class IncidentStatus(StrEnum):
    """How an incident stands. `OPEN` is the only one that may still act."""

    OPEN = "open"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """How a step stands. `WITHDRAWN`: proven never to have happened; the state is entered afresh."""

    OPEN = "open"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class UndoStatus(StrEnum):
    """How a recorded change stands. `LEFT`: not put back; the escalation says so."""

    PENDING = "pending"
    DONE = "done"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Key:
    """What an incident is about, folded to lower case so that names compare without regard to case."""

    server: str
    health_set: str
    monitor: str

    @classmethod
    def of(cls, server: str, health_set: str, monitor: str) -> "Key":
        """The key of these names, whatever their case."""
        return cls(server.lower(), health_set.lower(), monitor.lower())

    def __str__(self) -> str:
        return f"{self.monitor} ({self.health_set}) on {self.server}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The case for one key. `version` counts its commits; a commit against an older version conflicts.

    `produced` holds what states produced, by state then field. `latched` keeps the key taken after escalation.
    `due_at` is its one durable timer; None when nothing is waited for. `waiting_since` is when its current hold
    began. `verify_requested`: somebody said it is over, so verify before the next effect.
    """

    id: str
    key: Key
    health_set: str
    monitor: str
    status: IncidentStatus
    state: str
    runbook: str = ""  #: empty: no runbook handles the monitor
    runbook_hash: str = ""
    produced: Mapping[str, Json] = field(default_factory=dict)
    question: Question | None = None  #: what it asks of an operator ...
    approval: Approval | None = None  #: ... and what he answered
    recommended: tuple[Recommendation, ...] = ()  #: what modes kept from being done, by the name of the state
    last_look: LastLook | None = None  #: None: nothing was kept from being done, or it is not healthy yet
    watched: Json | None = None  #: what the next look at a latched one must know; empty once a look decided
    joined: int = 0  #: alerts that joined it
    ordered_undo: OrderedUndo | None = None
    taken: Taken | None = None  #: somebody has it already, so it only looks
    opened_at: datetime
    due_at: datetime | None = None
    waiting_since: datetime | None = None
    held_by: HoldKind | None = None  #: the kind of the present hold ...
    held_since: datetime | None = None  #: ... and since when
    waiting_for: str = ""
    ended_at: datetime | None = None
    reason: str = ""
    latched: bool = False
    verify_requested: bool = False
    close_by: str = ""  #: the operator who closed it; the way out is taken at the next step
    undo_by: str = ""  #: the operator who ordered what was left to be put back after all
    parent: str = ""  #: the incident that waits for this one; one that has a parent never waits for another
    transient: bool = False  #: ended without any effect: the problem was gone by itself
    told_by: str = ""  #: the incident whose notification tells of this one too: it has none of its own
    ends_others: bool = False  #: it escalated after it had acted: while it is latched, others of its server end with it
    version: int = 0

    @property
    def server(self) -> str:
        """The server's name as the inventory has it."""
        return self.key.server

    @property
    def only_looks(self) -> bool:
        """Whether it has no effect of its own any more; what an operator orders of it is done all the same."""
        return self.taken is not None and not self.close_by and not self.undo_by

    @property
    def frees_key(self) -> bool:
        """Whether an operator has something put back of one that had let go of its key before."""
        return bool(self.undo_by) and self.ordered_undo is not None and not self.ordered_undo.latched


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run of a state's action: intent, then outcome.

    `baseline` is what was read on the servers before the intent; a lost answer is settled against it. `memo` is what
    a polling action remembers between polls. `executor` is the server whose WinRM endpoint carries it out.
    """

    id: str
    incident_id: str
    number: int  #: 1, 2, 3 ... within the incident
    state: str
    action: str
    effect: Effect
    server: str
    executor: str = ""
    params: Json = field(default_factory=dict)
    baseline: Json = field(default_factory=dict)
    memo: Json = field(default_factory=dict)
    status: StepStatus = StepStatus.OPEN
    outcome: str = ""
    detail: str = ""
    result: Json = field(default_factory=dict)
    started_at: datetime
    deadline_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoItem:
    """Something a ladder changed and must put back: recorded in the commit of the intent that changes it."""

    id: str
    incident_id: str
    server: str
    setting: str
    earlier: Json
    applied: Json
    status: UndoStatus = UndoStatus.PENDING
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A server on which a disruptive step is unsettled: reads only, until evidence or an operator's release."""

    server: str
    incident_id: str
    step_id: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRunbook:
    """The text of a runbook as an incident was pinned to it."""

    hash: str
    name: str
    text: str
