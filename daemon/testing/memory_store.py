"""A store that forgets when the process ends, held to the same contract suite as the durable one."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from daemon.domain import store_rules
from daemon.domain.alerts import AlertStatus, Received, StoredAlert
from daemon.domain.audit import AuditRow
from daemon.domain.causes import Cause
from daemon.domain.commits import Channel, Commit, Deferred, Limit, OutboxRow, Room
from daemon.domain.errors import StoreError
from daemon.domain.incidents import Incident, IncidentStatus, Key, Quarantine, Step, StoredRunbook, UndoItem
from daemon.domain.ledger import Ledger
from daemon.domain.windows import Window
from daemon.testing import memory_state
from daemon.testing.memory_state import State

T = TypeVar("T")


async def let_others_run() -> None:
    """Give every other task a turn."""
    await asyncio.sleep(0)


class MemoryStore:
    """`ports.Store` in memory. Closed and opened again it still holds everything, as a file would.

    Like the durable one it lets other tasks run during each verb, and finishes what a cancelled caller began.
    `let_others_run` is awaited for that.
    """

    def __init__(
        self,
        deadletter_topic: str = "exmedic/deadletter",
        let_others_run: Callable[[], Awaitable[None]] = let_others_run,
    ) -> None:
        self._deadletter_topic = deadletter_topic
        self._let_others_run = let_others_run
        self._stored = State()
        self._is_open = False

    @property
    def contents(self) -> State:
        """All that is stored now. To look at: each change replaces it."""
        return self._stored

    @property
    def is_open(self) -> bool:
        """Whether it can be used now."""
        return self._is_open

    async def open(self) -> None:
        """See `ports.Store.open`."""
        if self._is_open:
            raise StoreError("the memory store is already open; close it first")
        self._is_open = True

    async def close(self) -> None:
        """See `ports.Store.close`."""
        self._is_open = False

    async def _read(self) -> State:
        state = self._opened()
        await self._let_others_run()
        return state

    async def _change(self, work: Callable[[State], T]) -> T:
        changed = self._opened().copy()
        result = work(changed)
        self._stored = changed
        await self._let_others_run()  # after the change: a caller cancelled here does not know that it was made
        return result

    def _opened(self) -> State:
        if not self._is_open:
            raise StoreError("the memory store is not open; open it first")
        return self._stored

    async def ingest(self, batch: Sequence[Received]) -> list[StoredAlert]:
        """See `ports.Store.ingest`."""
        messages = [store_rules.storable(received) for received in batch]
        return await self._change(lambda state: memory_state.ingest(state, messages, self._deadletter_topic))

    async def pending_alerts(self, limit: int) -> list[StoredAlert]:
        """See `ports.Store.pending_alerts`."""
        state = await self._read()
        return [alert for alert in state.alerts.values() if alert.status is AlertStatus.PENDING][:limit]

    async def alerts_of(self, incident_id: str) -> list[StoredAlert]:
        """See `ports.Store.alerts_of`."""
        joined = [alert for alert in (await self._read()).alerts.values() if alert.status is AlertStatus.JOINED]
        return [alert for alert in joined if alert.incident_id == incident_id]

    async def commit(self, commit: Commit) -> Incident | None:
        """See `ports.Store.commit`. An incident that ends gives its claims back in the same commit."""
        work = store_rules.storable(commit)
        return await self._change(lambda state: memory_state.commit(state, work))

    async def due_incidents(self, now: datetime, limit: int) -> list[Incident]:
        """See `ports.Store.due_incidents`. Of any status: a latched incident has a timer too."""
        timers = [(each.due_at, each) for each in (await self._read()).incidents.values() if each.due_at is not None]
        due = sorted((timer for timer in timers if timer[0] <= now), key=lambda timer: timer[0])
        return [incident for _, incident in due][:limit]

    async def next_due(self) -> datetime | None:
        """See `ports.Store.next_due`."""
        incidents = (await self._read()).incidents.values()
        return min((each.due_at for each in incidents if each.due_at is not None), default=None)

    async def incident(self, incident_id: str) -> Incident | None:
        """See `ports.Store.incident`."""
        return (await self._read()).incidents.get(incident_id)

    async def incidents(self, status: IncidentStatus | None = None, limit: int = 100) -> list[Incident]:
        """See `ports.Store.incidents`. Newest is the one stored last, whatever the clock did."""
        newest = reversed((await self._read()).incidents.values())
        return [each for each in newest if status is None or each.status is status][:limit]

    async def transients(self, key: Key, since: datetime) -> int:
        """See `ports.Store.transients`."""
        found = (await self._read()).incidents.values()
        return sum(i.transient and i.key == key and i.ended_at is not None and i.ended_at > since for i in found)

    async def current_incident(self, key: Key) -> Incident | None:
        """See `ports.Store.current_incident`."""
        state = await self._read()
        incident_id = state.current.get(key)
        return None if incident_id is None else state.incidents[incident_id]

    async def alike(self, key: Key) -> list[Incident]:
        """See `ports.Store.alike`."""
        state, same = await self._read(), (key.health_set, key.monitor)
        found = [state.incidents[by] for held, by in state.current.items() if (held.health_set, held.monitor) == same]
        return sorted(found, key=lambda each: (each.opened_at, each.id))

    async def on_server(self, server: str) -> list[Incident]:
        """See `ports.Store.on_server`."""
        state = await self._read()
        found = [state.incidents[by] for held, by in state.current.items() if held.server == server]
        return sorted(found, key=lambda each: (each.opened_at, each.id))

    async def open_step(self, incident_id: str) -> Step | None:
        """See `ports.Store.open_step`."""
        return (await self._read()).open_step(incident_id)

    async def steps(self, incident_id: str) -> list[Step]:
        """See `ports.Store.steps`."""
        return (await self._read()).steps_of(incident_id)

    async def spent(self, limit: Limit, incident_id: str) -> int:
        """See `ports.Store.spent`."""
        return (await self._read()).spent(limit, incident_id)

    async def step(self, step_id: str) -> Step | None:
        """See `ports.Store.step`."""
        return (await self._read()).steps.get(step_id)

    async def undo_items(self, incident_id: str) -> list[UndoItem]:
        """See `ports.Store.undo_items`."""
        return [item for item in (await self._read()).undo.values() if item.incident_id == incident_id]

    async def claims(self) -> frozenset[str]:
        """See `ports.Store.claims`."""
        return frozenset((await self._read()).claims)

    async def claim_holder(self, scope: str) -> str | None:
        """See `ports.Store.claim_holder`."""
        return (await self._read()).claims.get(scope)

    async def quarantine(self, server: str) -> Quarantine | None:
        """See `ports.Store.quarantine`."""
        return (await self._read()).quarantines.get(server)

    async def quarantines(self) -> list[Quarantine]:
        """See `ports.Store.quarantines`. By server name."""
        return sorted((await self._read()).quarantines.values(), key=lambda each: each.server)

    async def deferred(self, now: datetime, limit: int) -> list[Deferred]:
        """See `ports.Store.deferred`."""
        due = [each for each in (await self._read()).deferred.values() if each.not_before <= now]
        due.sort(key=lambda each: (each.not_before, each.key.server, each.key.health_set, each.key.monitor))
        return due[:limit]

    async def opened(self, room: Room) -> int:
        """See `ports.Store.opened`."""
        return (await self._read()).opened_in(room)

    async def causes(self) -> list[Cause]:
        """See `ports.Store.causes`."""
        return (await self._read()).causes_where(lambda each: each.ended is None)

    async def causes_of(self, incident_ids: Collection[str]) -> list[Cause]:
        """See `ports.Store.causes_of`."""
        state, wanted = await self._read(), frozenset(incident_ids)
        return state.causes_where(lambda each: not wanted.isdisjoint((*each.incidents, *each.covered)))

    async def windows(self, since: datetime) -> list[Window]:
        """See `ports.Store.windows`."""
        return (await self._read()).windows_since(since)

    async def runbook(self, runbook_hash: str) -> StoredRunbook | None:
        """See `ports.Store.runbook`."""
        return (await self._read()).runbooks.get(runbook_hash)

    async def outbox(self, channel: Channel, limit: int) -> list[OutboxRow]:
        """See `ports.Store.outbox`."""
        return [row for row in (await self._read()).outbox.values() if row.message.channel is channel][:limit]

    async def outbox_delivered(self, seqs: Sequence[int]) -> None:
        """See `ports.Store.outbox_delivered`. The rows are deleted, their numbers never used again."""

        def forget(state: State) -> None:
            for seq in seqs:
                state.outbox.pop(seq, None)

        await self._change(forget)

    async def outbox_retry(self, seq: int, due_at: datetime) -> None:
        """See `ports.Store.outbox_retry`."""

        def postpone(state: State) -> None:
            if seq in state.outbox:
                row = state.outbox[seq]
                state.outbox[seq] = replace(row, attempts=row.attempts + 1, due_at=due_at.astimezone(UTC))

        await self._change(postpone)

    async def audit_after(self, seq: int, limit: int) -> list[AuditRow]:
        """See `ports.Store.audit_after`."""
        return (await self._read()).audit[seq : seq + limit]  # row n is at index n - 1

    async def audit_of(self, incident_id: str) -> list[AuditRow]:
        """See `ports.Store.audit_of`."""
        audit = (await self._read()).audit
        return [row for row in audit if row.entry.incident_id == incident_id] if incident_id else []

    async def cursor(self, name: str) -> int:
        """See `ports.Store.cursor`."""
        return (await self._read()).cursors.get(name, 0)

    async def set_cursor(self, name: str, seq: int) -> None:
        """See `ports.Store.set_cursor`."""

        def move(state: State) -> None:
            state.cursors[name] = seq

        await self._change(move)

    async def ledger(self, *, thorough: bool = False) -> Ledger:
        """See `ports.Store.ledger`. Every status is named, also with none of it."""
        state = await self._read()
        alerts = Counter(alert.status for alert in state.alerts.values())
        incidents = Counter(incident.status for incident in state.incidents.values())
        return Ledger(
            accepted=state.accepted,
            stored=len(state.alerts),
            duplicates=sum(alert.seen - 1 for alert in state.alerts.values()),
            alerts={status.value: alerts[status] for status in AlertStatus},
            opened=state.opened,
            incidents={status.value: incidents[status] for status in IncidentStatus},
            counted=_every_status(state.counted),
            told=dict(state.told),
            strays={} if thorough else None,  # nothing but the verbs above can change what is here
        )


def _every_status(counted: Mapping[str, int]) -> dict[str, int]:
    names = [f"alerts {status.value}" for status in AlertStatus]
    names += [f"incidents {status.value}" for status in IncidentStatus]
    return {name: counted.get(name, 0) for name in names}
