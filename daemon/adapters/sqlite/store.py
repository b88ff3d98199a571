"""The durable store on SQLite (https://sqlite.org/wal.html), one file on a local disk.

All SQL runs on one dedicated thread, which owns the only connection: transactions cannot interleave, and the event
loop never waits for the disk. Statements are in queries.sql, the schema in migrations/.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import IO, TypeVar

from daemon.adapters.sqlite import file, guard_rows, rows, writes
from daemon.adapters.sqlite.file import queries
from daemon.domain import store_rules
from daemon.domain.alerts import Received, StoredAlert
from daemon.domain.audit import AuditRow
from daemon.domain.causes import Cause
from daemon.domain.commits import Channel, Commit, Deferred, Limit, OutboxRow, Room
from daemon.domain.errors import StoreError
from daemon.domain.incidents import Incident, IncidentStatus, Key, Quarantine, Step, StoredRunbook, UndoItem
from daemon.domain.ledger import Ledger
from daemon.domain.values import moment, timestamp
from daemon.domain.windows import Window

T = TypeVar("T")
Parameters = Mapping[str, str | int | None]


class SqliteStore:
    """`ports.Store` in the file `path`, in a directory that exists.

    `read_only` opens it beside a running daemon, or after one that died, without its lock and without changing it:
    for commands that show something. Rejected messages are sent to `deadletter_topic`.

    A cancelled await does not stop the thread: its transaction ends as a whole, and the caller does not learn how.
    So does a StoreError that is not a Conflict: like a crash at COMMIT, it leaves either all of the work or none.
    """

    def __init__(self, path: Path, *, read_only: bool = False, deadletter_topic: str = "exmedic/deadletter") -> None:
        self._path = path.resolve()  # one lock, however the path is spelt
        self._read_only = read_only
        self._deadletter_topic = deadletter_topic
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock: IO[str] | None = None

    async def open(self) -> None:
        """See `ports.Store.open`."""
        if self._thread is not None:
            raise StoreError(f"{self._path} is already open in this process; close it first")
        self._thread = thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        try:
            await self._run(self._open)
        except StoreError:
            self._thread = None
            thread.shutdown(wait=False)
            raise

    def _open(self) -> None:
        if self._read_only:
            self._connection = file.connect_read_only(self._path)
            return
        lock = file.lock(self._path)
        try:
            self._connection = file.connect(self._path)
        except BaseException:
            lock.close()
            raise
        self._lock = lock

    async def close(self) -> None:
        """See `ports.Store.close`. Work that was begun is finished first."""
        thread = self._thread
        if thread is None:
            return
        try:
            await self._run(self._close)
        finally:
            self._thread = None
            thread.shutdown(wait=False)  # nothing is left to run; waiting here would block the loop

    def _close(self) -> None:
        try:
            if self._connection is not None:
                self._connection.close()
        finally:
            self._connection = None
            if self._lock is not None:
                self._lock.close()  # only now may another process open the file
            self._lock = None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreError(f"{self._path} is not open; open it first")

        def translated() -> T:
            with file.translated(self._path):
                return work()

        # The shield keeps work that still waits for the thread from being dropped: the caller may have been
        # cancelled because somebody is waiting for the state it was about to record.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, translated))

    async def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def on_connection() -> T:
            if self._connection is None:
                raise StoreError(f"{self._path} is closed; open it first")
            return work(self._connection)

        return await self._run(on_connection)

    async def _all(self, query: str, convert: Callable[[sqlite3.Row], T], **parameters: str | int | None) -> list[T]:
        def read(connection: sqlite3.Connection) -> list[T]:
            found = connection.execute(queries()[query], parameters).fetchall()
            try:
                return [convert(row) for row in found]
            except (ValueError, TypeError, KeyError) as error:
                raise StoreError(
                    f"{self._path} holds a row that cannot be read ({error}); keep a copy of it and restore a backup"
                ) from error

        return await self._with(read)

    async def _one(self, query: str, convert: Callable[[sqlite3.Row], T], **parameters: str | int | None) -> T | None:
        found = await self._all(query, convert, **parameters)
        return found[0] if found else None

    async def _write(self, query: str, parameters: Sequence[Parameters]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with file.transaction(connection):
                connection.executemany(queries()[query], parameters)

        await self._with(write)

    async def ingest(self, batch: Sequence[Received]) -> list[StoredAlert]:
        """See `ports.Store.ingest`. The batch is one transaction, and one sync of the disk."""
        messages = [store_rules.storable(received) for received in batch]
        return await self._with(lambda connection: writes.ingest(connection, messages, self._deadletter_topic))

    async def pending_alerts(self, limit: int) -> list[StoredAlert]:
        """See `ports.Store.pending_alerts`."""
        return await self._all("pending_alerts", rows.stored_alert, limit=limit)

    async def alerts_of(self, incident_id: str) -> list[StoredAlert]:
        """See `ports.Store.alerts_of`."""
        return await self._all("alerts_of", rows.stored_alert, incident_id=incident_id)

    async def commit(self, commit: Commit) -> Incident | None:
        """See `ports.Store.commit`. An incident that ends gives its claims back in the same commit."""
        work = store_rules.storable(commit)
        return await self._with(lambda connection: writes.commit(connection, work))

    async def due_incidents(self, now: datetime, limit: int) -> list[Incident]:
        """See `ports.Store.due_incidents`. Of any status: a latched incident has a timer too."""
        return await self._all("due_incidents", rows.incident, now=timestamp(now), limit=limit)

    async def next_due(self) -> datetime | None:
        """See `ports.Store.next_due`."""
        found = await self._one("next_due", lambda row: row["due_at"])
        return None if found is None else moment(found)

    async def incident(self, incident_id: str) -> Incident | None:
        """See `ports.Store.incident`."""
        return await self._one("incident", rows.incident, id=incident_id)

    async def incidents(self, status: IncidentStatus | None = None, limit: int = 100) -> list[Incident]:
        """See `ports.Store.incidents`. Newest is the one stored last, whatever the clock did."""
        if status is None:
            return await self._all("incidents", rows.incident, limit=limit)
        return await self._all("incidents_of_status", rows.incident, status=status.value, limit=limit)

    async def transients(self, key: Key, since: datetime) -> int:
        """See `ports.Store.transients`."""
        place = {"server": key.server, "health_set": key.health_set, "monitor": key.monitor}
        count = await self._one("transients", lambda row: int(row["count"]), **place, since=timestamp(since))
        return count or 0

    async def current_incident(self, key: Key) -> Incident | None:
        """See `ports.Store.current_incident`."""
        return await self._one(
            "current_incident", rows.incident, server=key.server, health_set=key.health_set, monitor=key.monitor
        )

    async def alike(self, key: Key) -> list[Incident]:
        """See `ports.Store.alike`."""
        return await self._all("alike", rows.incident, health_set=key.health_set, monitor=key.monitor)

    async def on_server(self, server: str) -> list[Incident]:
        """See `ports.Store.on_server`."""
        return await self._all("on_server", rows.incident, server=server)

    async def open_step(self, incident_id: str) -> Step | None:
        """See `ports.Store.open_step`."""
        return await self._one("open_step", rows.step, incident_id=incident_id)

    async def steps(self, incident_id: str) -> list[Step]:
        """See `ports.Store.steps`."""
        return await self._all("steps", rows.step, incident_id=incident_id)

    async def spent(self, limit: Limit, incident_id: str) -> int:
        """See `ports.Store.spent`."""
        unit = "ladders" if limit.of_ladders else "steps"
        count = await self._one("spent", lambda row: int(row[unit]), **rows.limit_row(limit, incident_id))
        return count or 0

    async def step(self, step_id: str) -> Step | None:
        """See `ports.Store.step`."""
        return await self._one("step", rows.step, id=step_id)

    async def undo_items(self, incident_id: str) -> list[UndoItem]:
        """See `ports.Store.undo_items`."""
        return await self._all("undo_items", rows.undo_item, incident_id=incident_id)

    async def claims(self) -> frozenset[str]:
        """See `ports.Store.claims`."""
        return frozenset(await self._all("claims", lambda row: str(row["scope"])))

    async def claim_holder(self, scope: str) -> str | None:
        """See `ports.Store.claim_holder`."""
        return await self._one("claim_holder", lambda row: str(row["incident_id"]), scope=scope)

    async def quarantine(self, server: str) -> Quarantine | None:
        """See `ports.Store.quarantine`."""
        return await self._one("quarantine", rows.quarantine, server=server)

    async def quarantines(self) -> list[Quarantine]:
        """See `ports.Store.quarantines`. By server name."""
        return await self._all("quarantines", rows.quarantine)

    async def deferred(self, now: datetime, limit: int) -> list[Deferred]:
        """See `ports.Store.deferred`."""
        return await self._all("deferred", guard_rows.deferred, now=timestamp(now), limit=limit)

    async def opened(self, room: Room) -> int:
        """See `ports.Store.opened`."""
        return await self._one("opened", lambda row: int(row["count"]), **guard_rows.room_row(room)) or 0

    async def causes(self) -> list[Cause]:
        """See `ports.Store.causes`."""
        return await self._all("causes", guard_rows.cause)

    async def causes_of(self, incident_ids: Collection[str]) -> list[Cause]:
        """See `ports.Store.causes_of`."""
        return await self._all("causes_of", guard_rows.cause, ids=json.dumps(list(incident_ids)))

    async def windows(self, since: datetime) -> list[Window]:
        """See `ports.Store.windows`."""
        return await self._all("windows", guard_rows.window, since=timestamp(since))

    async def runbook(self, runbook_hash: str) -> StoredRunbook | None:
        """See `ports.Store.runbook`."""
        return await self._one("runbook", rows.runbook, hash=runbook_hash)

    async def outbox(self, channel: Channel, limit: int) -> list[OutboxRow]:
        """See `ports.Store.outbox`."""
        return await self._all("outbox", rows.outbox_row, channel=channel.value, limit=limit)

    async def outbox_delivered(self, seqs: Sequence[int]) -> None:
        """See `ports.Store.outbox_delivered`. The rows are deleted, their numbers never used again."""
        await self._write("outbox_delivered", [{"seq": seq} for seq in seqs])

    async def outbox_retry(self, seq: int, due_at: datetime) -> None:
        """See `ports.Store.outbox_retry`."""
        await self._write("outbox_retry", [{"seq": seq, "due_at": timestamp(due_at)}])

    async def audit_after(self, seq: int, limit: int) -> list[AuditRow]:
        """See `ports.Store.audit_after`."""
        return await self._all("audit_after", rows.audit_row, seq=seq, limit=limit)

    async def audit_of(self, incident_id: str) -> list[AuditRow]:
        """See `ports.Store.audit_of`."""
        return await self._all("audit_of", rows.audit_row, incident_id=incident_id)

    async def cursor(self, name: str) -> int:
        """See `ports.Store.cursor`."""
        return await self._one("cursor", lambda row: int(row["seq"]), name=name) or 0

    async def set_cursor(self, name: str, seq: int) -> None:
        """See `ports.Store.set_cursor`."""
        await self._write("set_cursor", [{"name": name, "seq": seq}])

    async def ledger(self, *, thorough: bool = False) -> Ledger:
        """See `ports.Store.ledger`. The counts are in indexes; a thorough look reads every row that refers to one."""
        wanted = ("ledger", "strays") if thorough else ("ledger",)
        found = [row for query in wanted for row in await self._all(query, lambda row: row)]
        return rows.ledger(found, thorough=thorough)
