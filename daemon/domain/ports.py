"""What the daemon needs from outside, as Protocols. Adapters fulfil them; fakes in `daemon.testing` do too.

One contract suite per port runs against every implementation, so that a fake cannot drift from the real thing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from daemon.domain.alerts import Received, StoredAlert
from daemon.domain.audit import AuditRow
from daemon.domain.causes import Cause
from daemon.domain.commits import Channel, Commit, Deferred, Limit, OutboxRow, PageKind, Room
from daemon.domain.incidents import Incident, IncidentStatus, Key, Quarantine, Step, StoredRunbook, UndoItem
from daemon.domain.ledger import Ledger
from daemon.domain.values import Json
from daemon.domain.windows import Window


class Clock(Protocol):
    """Time. In a lab `now` and `sleep` may run fast; `monotonic` never does, since networks do not."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        ...

    def monotonic(self) -> float:
        """Real seconds since some fixed moment, for the age of an answer."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of `now`'s time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message from the bus that is not acknowledged yet. Call `ack` only once it is committed."""

    topic: str
    payload: bytes
    ack: Callable[[], Awaitable[None]]
    retained: bool = False  #: kept by the broker for whoever subscribes later; known of pauses


class Bus(Protocol):
    """The alert bus. It reconnects by itself, for ever, with backoff."""

    @property
    def connected(self) -> bool:
        """Whether the session is up and subscribed now."""
        ...

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Every message of the subscriptions, across reconnections; what is not acknowledged comes again."""
        ...

    def pauses(self) -> AsyncIterator[Delivery]:
        """Every message on the topics of `topics.pause_topic`; they are not among the deliveries."""
        ...

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1; returns when the broker has acknowledged.

        Raises:
            BusDown: not connected, or the acknowledgement did not come; it may have been published.
        """
        ...


class Store(Protocol):
    """The durable state. Every verb is one transaction: all or nothing, durable when it returns.

    Raises:
        StoreError: the store is unusable.
    """

    async def open(self) -> None:
        """Open, migrate and check the store. Refuses a damaged or newer one, or one that another daemon has open."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...

    async def ingest(self, batch: Sequence[Received]) -> list[StoredAlert]:
        """Store messages, in order, each with its audit row and, if rejected, its dead letter.

        A message whose `dedup_key` is already stored only counts up `seen`. Returns the stored row of each message.
        """
        ...

    async def pending_alerts(self, limit: int) -> list[StoredAlert]:
        """Understood alerts that are not routed yet, oldest first."""
        ...

    async def alerts_of(self, incident_id: str) -> list[StoredAlert]:
        """The alerts that joined an incident, oldest first."""
        ...

    async def commit(self, commit: Commit) -> Incident | None:
        """Make a unit of work durable; returns the incident with its new version.

        Raises:
            Conflict: the incident has moved on, its key is taken, the server is claimed by another incident or
                quarantined (for a step that is not a read), another step is open, a limit is reached, or there
                is no room for a new incident. Nothing was written.
        """
        ...

    async def due_incidents(self, now: datetime, limit: int) -> list[Incident]:
        """Incidents whose timer is due, longest due first."""
        ...

    async def next_due(self) -> datetime | None:
        """When the earliest timer is due."""
        ...

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident."""
        ...

    async def incidents(self, status: IncidentStatus | None = None, limit: int = 100) -> list[Incident]:
        """Incidents, newest first."""
        ...

    async def transients(self, key: Key, since: datetime) -> int:
        """How many incidents of a key that were ended after `since` were transient."""
        ...

    async def current_incident(self, key: Key) -> Incident | None:
        """The incident that holds a key: open, or escalated and latched."""
        ...

    async def alike(self, key: Key) -> list[Incident]:
        """The incidents that hold the keys of the same health set and monitor, on any server; oldest first."""
        ...

    async def on_server(self, server: str) -> list[Incident]:
        """The incidents that hold the keys of a server, whatever the monitor; oldest first."""
        ...

    async def open_step(self, incident_id: str) -> Step | None:
        """The step without an outcome, if there is one."""
        ...

    async def steps(self, incident_id: str) -> list[Step]:
        """All steps of an incident, in order."""
        ...

    async def spent(self, limit: Limit, incident_id: str) -> int:
        """How much of a limit is spent, for an intent of that incident."""
        ...

    async def step(self, step_id: str) -> Step | None:
        """One step."""
        ...

    async def undo_items(self, incident_id: str) -> list[UndoItem]:
        """What an incident changed, in the order it was changed."""
        ...

    async def claims(self) -> frozenset[str]:
        """All scopes that an incident claims."""
        ...

    async def claim_holder(self, scope: str) -> str | None:
        """The id of the incident that claims a server, or a DAG (`dag:NAME`)."""
        ...

    async def quarantine(self, server: str) -> Quarantine | None:
        """The quarantine of a server, if it has one."""
        ...

    async def quarantines(self) -> list[Quarantine]:
        """All quarantines."""
        ...

    async def deferred(self, now: datetime, limit: int) -> list[Deferred]:
        """What was set aside and may be verified by `now`, the longest due first."""
        ...

    async def opened(self, room: Room) -> int:
        """How many incidents were opened within a room."""
        ...

    async def causes(self) -> list[Cause]:
        """The causes that are not over, the oldest first."""
        ...

    async def causes_of(self, incident_ids: Collection[str]) -> list[Cause]:
        """All causes, also those that are over, that hold, free or cover any of these incidents; the oldest first."""
        ...

    async def windows(self, since: datetime) -> list[Window]:
        """The windows added by command that are not over, or ended after `since`; in the order they begin."""
        ...

    async def runbook(self, runbook_hash: str) -> StoredRunbook | None:
        """A runbook as an incident was pinned to it."""
        ...

    async def outbox(self, channel: Channel, limit: int) -> list[OutboxRow]:
        """Undelivered messages of a channel, oldest first, whether due or not."""
        ...

    async def outbox_delivered(self, seqs: Sequence[int]) -> None:
        """Record that messages were accepted."""
        ...

    async def outbox_retry(self, seq: int, due_at: datetime) -> None:
        """Count a failed attempt and when to try again."""
        ...

    async def audit_after(self, seq: int, limit: int) -> list[AuditRow]:
        """Rows of the audit chain with a number above `seq`, in order."""
        ...

    async def audit_of(self, incident_id: str) -> list[AuditRow]:
        """Rows of the audit chain about one incident, in order."""
        ...

    async def cursor(self, name: str) -> int:
        """How far a follower of the audit chain has come; 0 at first."""
        ...

    async def set_cursor(self, name: str, seq: int) -> None:
        """Record how far a follower of the audit chain has come."""
        ...

    async def ledger(self, *, thorough: bool = False) -> Ledger:
        """The counts that must balance. `thorough`, which costs more: rows that refer to a missing one as well."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A shipped script to run on a server. `args` travel as JSON data, never as part of a command."""

    executor: str  #: the server whose endpoint runs the script
    script: str
    args: Json
    step_id: str
    timeout: float  #: hard deadline, in real seconds
    read_only: bool  #: may be sent again when its answer was lost


class ReplyKind(StrEnum):
    """How a call ended."""

    OK = "ok"
    FAILED = "failed"  # the script ran and said no
    UNREACHABLE = "unreachable"  # provably never sent
    WITHHELD = "withheld"  # provably never sent: the permit was refused at the last moment
    UNKNOWN = "unknown"  # sent, and no usable answer


#: The error of a reply to a call that was not logged on for: the password was refused, now or within the last minutes.
#: Whoever else is asked would be offered it as well.
LOGON = "logon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The end of a call. `result` is the script's own JSON object; `clock` the executing server's own time."""

    kind: ReplyKind
    result: Json
    error: str = (
        ""  #: the script's error kind: expired, conflict, not_found, denied, second_hop, hung, failed; or `LOGON`
    )
    detail: str = ""
    host: str = ""
    clock: datetime | None = None


#: Entered, in the sending thread, around the request that starts the effect. Yields whether it may start. A pause
#: waits for those inside to leave, so that after it no effect starts.
Permit = Callable[[], AbstractContextManager[bool]]


#: The scope of a pause of everything. The others are the name of a server in the inventory, and `dag.NAME`.
EVERYTHING = ""


class KillSwitch(Protocol):
    """Whether effects may start, at all and on a server. Whatever cannot be found out counts as paused."""

    path: Path  #: the file that pauses everything while it exists

    def reason(self, server: str = EVERYTHING) -> str | None:
        """Why no effect may start on a server, or without a name on any; None when effects may start."""
        ...

    def standing(self) -> Mapping[str, str]:
        """What is paused now, by scope, and why."""
        ...

    def permit(self, server: str) -> AbstractContextManager[bool]:
        """Entered around sending an effect on a server; yields whether it may be sent."""
        ...

    async def engage(self, reason: str, scope: str = EVERYTHING) -> None:
        """Pause. When it returns or raises, no effect starts there any more.

        Raises:
            OSError: the pause could not be made to last: it ends with this process, or with `resume`.
        """
        ...

    def resume(self, scope: str = EVERYTHING) -> bool:
        """End the pause of one scope; False when there was none.

        Raises:
            OSError: it could not be ended.
        """
        ...


class Shell(Protocol):
    """Runs shipped scripts on servers."""

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """Run one script to its answer or its deadline; never raises for what a server or network does.

        `permit` is entered once, in the sending thread, around sending the command: False withholds it.
        Retries happen only while nothing can have been sent, or when the call only reads.
        """
        ...

    async def close(self) -> None:
        """Wait for running calls to end, then free the threads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideView:
    """What a client saw of a server. `detail` is for humans, and holds no secret."""

    good: bool
    detail: str


class Outside(Protocol):
    """Looks at a server as a POP3 client would, from where the daemon runs."""

    async def look(self, server: str) -> OutsideView:
        """Connect once, and say how far a client gets; never raises for what a server or network does.

        A server without an address for this is not asked: that is a defect of the caller.
        """
        ...


class AuditSink(Protocol):
    """Where copies of audit rows go: the journal, or the console."""

    async def emit(self, row: AuditRow) -> None:
        """Hand a row over.

        Raises:
            SinkDown: it was not taken.
        """
        ...


class Notifier(Protocol):
    """Pages humans."""

    async def notify(self, title: str, body: str, kind: PageKind) -> None:
        """Send a page; returns when a channel has accepted it.

        Raises:
            NotifyFailed: none did.
        """
        ...
