"""One unit of work for the store, and what is part of it. Records, without I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from daemon.domain.alerts import AlertStatus
from daemon.domain.audit import AuditEntry
from daemon.domain.causes import Cause
from daemon.domain.incidents import Incident, Key, Quarantine, Step, StoredRunbook, UndoItem
from daemon.domain.kept import Taken
from daemon.domain.notices import Note, Notice
from daemon.domain.values import Json
from daemon.domain.windows import Window


class Channel(StrEnum):
    """Where an outgoing message goes."""

    BUS = "bus"
    NOTIFY = "notify"


class PageKind(StrEnum):
    """What a page to humans is about, which decides whether it wakes somebody.

    A row of the outbox may be of another version, without a kind or with one unknown here: rather wake somebody.
    """

    TROUBLE = "trouble"  # a human is needed
    QUESTION = "question"  # an answer is wanted
    OVER = "over"  # what was told is over; nothing pages that yet

    @classmethod
    def _missing_(cls, value: object) -> "PageKind":
        del value
        return cls.TROUBLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What became of pending alerts: of all of them the same."""

    alert_ids: tuple[int, ...]
    status: AlertStatus
    reason: str = ""
    incident_id: str | None = None


class Aside(StrEnum):
    """Why a monitor is verified later."""

    MAINTENANCE = "maintenance"
    STORM = "storm"  # a cap on new incidents was reached
    AFRESH = "afresh"  # the incident that held its key let go of it, and whether it is over must be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """A monitor that is verified later: its alerts were set aside for a while, not for good."""

    key: Key
    health_set: str
    monitor: str
    why: Aside
    reason: str  #: the same in words, with the figures
    since: datetime  #: the first of its alerts
    not_before: datetime  #: when to ask whether its time has come
    taken: Taken | None = None  #: who has the problem already, by the latest of its alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A ceiling: at most `most` of these actions on these servers since a moment, or of the ladders that did them.

    An intent counts unless it was withdrawn, which is proof that nothing happened, or refused by its server. Of
    ladders, an incident's own does not count against it.
    """

    what: str  #: in words, such as `reboots of mbx1.contoso.com in 12 hours`
    servers: tuple[str, ...]
    actions: tuple[str, ...]
    since: datetime
    most: int
    of_ladders: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A ceiling: at most `most` incidents opened on these servers after `since`, up to `until`."""

    what: str  #: in words, such as `in the fleet`
    servers: tuple[str, ...]
    since: datetime
    until: datetime
    most: int


#: The body of a message that clears what is retained on its topic: it is sent empty.
CLEARED: Json = {"cleared": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to send once the commit that carries it is durable. The outbox adds its number as `seq`."""

    channel: Channel
    topic: str  #: for NOTIFY: the title
    body: Json
    retain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """An outgoing message and how its delivery stands."""

    seq: int
    message: Outgoing
    created_at: datetime
    attempts: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How an incident moves on.

    `incident` is inserted when its version is 0, otherwise it replaces the stored one of that same version; the store
    counts the version up. `step` is inserted or replaced by id. `claim` takes scopes (a server's name, `dag:NAME`) for
    the incident, `release` gives back all it holds, `release_wide` all but its own server.
    """

    incident: Incident | None = None
    step: Step | None = None
    undo: tuple[UndoItem, ...] = ()
    claim: tuple[str, ...] = ()
    release: bool = False
    release_wide: bool = False
    runbook: StoredRunbook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChanges:
    """What becomes of alerts, and which monitors are verified later.

    `undefer` forgets what was deferred, before `defer` adds to it; of a key that is deferred already the earlier
    `since` and the earlier `not_before` stay. `notes` are alerts that humans are to hear of; `told` are the notices, as
    they were read, of which this commit tells them.
    """

    routing: Routing | None = None
    undefer: tuple[Key, ...] = ()
    defer: tuple[Deferred, ...] = ()
    notes: tuple[Note, ...] = ()
    told: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardChanges:
    """What guardrails ask of the commit, and what they keep.

    `limits` are asked before the step is written, in the same transaction: two incidents can never both get the last
    of a budget. So is `room`, before a new incident. `quarantine` and `lift` set and end a server's quarantine.
    `cause` is inserted when its version is 0, otherwise it replaces the stored one of that same version.
    `window` is inserted, or replaces the one of that name that was added at the same moment.
    """

    limits: tuple[Limit, ...] = ()
    room: tuple[Room, ...] = ()
    quarantine: Quarantine | None = None
    lift: str | None = None
    cause: Cause | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is written to the trail and sent. `ledger_told` replaces what `Ledger.told` says."""

    audit: tuple[AuditEntry, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()
    ledger_told: Mapping[str, int] | None = None

    def after(self, *entries: AuditEntry) -> "Told":
        """All of it, with these entries before its own."""
        return replace(self, audit=(*entries, *self.audit))

    def then(self, *entries: AuditEntry, outgoing: tuple[Outgoing, ...] = ()) -> "Told":
        """All of it, with these entries and messages behind its own."""
        return replace(self, audit=(*self.audit, *entries), outgoing=(*self.outgoing, *outgoing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One unit of work in four parts: all of it becomes durable, or none of it."""

    at: datetime
    progress: Progress = Progress()
    alerts: AlertChanges = AlertChanges()
    guards: GuardChanges = GuardChanges()
    told: Told = Told()
