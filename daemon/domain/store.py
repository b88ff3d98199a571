"""The durable state as a port, in parts by who reads it. Whoever works with a part is typed with that part.

Every verb is one transaction: all or nothing, durable when it returns. Each raises StoreError when the store is
unusable. One contract suite runs against every implementation, the whole of it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from daemon.domain.alerts import AlertStatus, Payload, Received, StoredAlert
from daemon.domain.audit import AuditRow
from daemon.domain.causes import Cause
from daemon.domain.commits import Channel, Commit, Deferred, Limit, OutboxRow, Room
from daemon.domain.incidents import Incident, IncidentStatus, Key, Quarantine, Step, StoredRunbook, UndoItem
from daemon.domain.ledger import Ledger
from daemon.domain.notices import Notice
from daemon.domain.retention import AuditCut, Prune, Pruned
from daemon.domain.windows import Window


class Commits(Protocol):
    """The one way to change what is decided."""

    async def commit(self, commit: Commit) -> Incident | None:
        """Make a unit of work durable; returns the incident with its new version.

        Raises:
            Conflict: the incident has moved on, its key is taken, the server is claimed by another incident or
                quarantined (for a step that is not a read), another step is open, a limit is reached, or there
                is no room for a new incident. Nothing was written.
        """
        ...


class AlertStore(Protocol):
    """What came in, and what was set aside for want of room or time."""

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

    async def alerts(self, status: AlertStatus | None = None, limit: int = 100) -> list[StoredAlert]:
        """Stored messages, newest first."""
        ...

    async def alert(self, alert_id: int) -> StoredAlert | None:
        """One stored message."""
        ...

    async def payload(self, alert_id: int) -> Payload | None:
        """What is kept of a message's payload."""
        ...

    async def notices(self) -> list[Notice]:
        """What humans are to be told of alerts that opened nothing, or were told of in the last day; oldest first."""
        ...

    async def deferred(self, now: datetime, limit: int) -> list[Deferred]:
        """What was set aside and may be verified by `now`, the longest due first."""
        ...

    async def opened(self, room: Room) -> int:
        """How many incidents were opened within a room."""
        ...


class IncidentStore(Protocol):
    """The incidents, the steps of each, what each changed, and the runbook that it is pinned to."""

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

    async def transients(self, key: Key, since: datetime) -> list[Incident]:
        """The transient incidents of a key that were ended after `since`, oldest first."""
        ...

    async def current_incident(self, key: Key) -> Incident | None:
        """The incident that holds a key: open, or escalated and latched."""
        ...

    async def latest_incident(self, key: Key) -> Incident | None:
        """The incident of a key that was opened last, however it stands."""
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

    async def step(self, step_id: str) -> Step | None:
        """One step."""
        ...

    async def undo_items(self, incident_id: str) -> list[UndoItem]:
        """What an incident changed, in the order it was changed."""
        ...

    async def changed_on(self, server: str) -> list[UndoItem]:
        """What incidents changed on a server and did not put back, in the order it was changed."""
        ...

    async def runbook(self, runbook_hash: str) -> StoredRunbook | None:
        """A runbook as an incident was pinned to it."""
        ...


class GuardrailStore(Protocol):
    """What guardrails hold by: what is spent, claimed or quarantined, shared causes, and windows."""

    async def spent(self, limit: Limit, incident_id: str) -> int:
        """How much of a limit is spent, for an intent of that incident."""
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

    async def causes(self) -> list[Cause]:
        """The causes that are not over, the oldest first."""
        ...

    async def causes_of(self, incident_ids: Collection[str]) -> list[Cause]:
        """All causes, also those that are over, that hold, free or cover any of these incidents; the oldest first."""
        ...

    async def windows(self, since: datetime) -> list[Window]:
        """The windows added by command that are not over, or ended after `since`; in the order they begin."""
        ...


class OutboxStore(Protocol):
    """What is to be sent."""

    async def outbox(self, channel: Channel, limit: int) -> list[OutboxRow]:
        """Undelivered messages of a channel, oldest first, whether due or not."""
        ...

    async def outbox_delivered(self, seqs: Sequence[int]) -> None:
        """Record that messages were accepted."""
        ...

    async def outbox_retry(self, seq: int, due_at: datetime) -> None:
        """Count a failed attempt and when to try again."""
        ...


class TrailStore(Protocol):
    """What is on record: the chain of audit rows, how far it was followed, and the counts that must balance."""

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

    async def audit_cut(self) -> AuditCut:
        """Where the chain begins: behind which row, and from which hash."""
        ...

    async def prune(self, order: Prune) -> Pruned:
        """Forget one slice of what is old, in one commit, with its audit row; the ledger counts what went."""
        ...

    async def ledger(self, *, thorough: bool = False) -> Ledger:
        """The counts that must balance. `thorough`, which costs more: rows that refer to a missing one as well."""
        ...


class RemediationStore(IncidentStore, GuardrailStore, Commits, Protocol):
    """What remediation works with: neither alerts, nor what is sent, nor the trail."""


class RoutingStore(AlertStore, RemediationStore, Protocol):
    """What alerts are routed with."""


class SendingStore(OutboxStore, IncidentStore, Commits, Protocol):
    """What is sent, the incidents it is about, and the record of what nobody took."""


class WatchStore(TrailStore, Commits, Protocol):
    """What is on record, for who tells humans of it."""


class HistoryStore(IncidentStore, TrailStore, Protocol):
    """What incidents did. To look at."""


class Store(AlertStore, IncidentStore, GuardrailStore, OutboxStore, TrailStore, Commits, Protocol):
    """All of it, and its beginning and end."""

    async def open(self) -> None:
        """Open, migrate and check the store. Refuses a damaged or newer one, or one that another daemon has open."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...
