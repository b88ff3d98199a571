"""Sends what was committed to be sent: to the bus strictly in order, to humans each message by itself.

At least once: a crash between sending and recording it repeats a message, on the bus with the same `seq`.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import CLEARED, Channel, Commit, OutboxRow, PageKind, Told
from daemon.domain.errors import BusDown, NotifyFailed
from daemon.domain.ports import Bus, Clock, Notifier
from daemon.domain.store import SendingStore
from daemon.domain.values import canonical
from daemon.runtime.wakeup import POLL, Nudge

_BATCH = 100
_NOTIFY_LIMIT = 1000  #: messages looked at; they wait side by side, so one that never goes out must not hide others
_NOTIFY_AT_ONCE = 8
_NOTIFY_FIRST, _NOTIFY_MOST = 10.0, 900.0  #: seconds between attempts to deliver one notification

_log = structlog.get_logger("exmedic.outbox")


def bus_payload(row: OutboxRow) -> bytes:
    """The JSON body of a bus message with its number in the outbox, by which a receiver knows a repetition.

    What clears a topic is empty.
    """
    if row.message.body == CLEARED:
        return b""
    return canonical({**row.message.body, "seq": row.seq}).encode()


def next_attempt(now: datetime, attempts: int) -> datetime:
    """When to try a notification again after `attempts` failures before this one."""
    return now + timedelta(seconds=min(_NOTIFY_MOST, _NOTIFY_FIRST * 2 ** min(attempts, 10)))


class Outbox:
    """Two loops, one for each channel. The bus waits for its first message; no notification waits for another.

    Without a `notifier` a notification is put on record as not sent, and is over.
    """

    def __init__(
        self, *, store: SendingStore, bus: Bus, notifier: Notifier | None, clock: Clock, poll: float = POLL
    ) -> None:
        self._store = store
        self._bus = bus
        self._notifier = notifier
        self._clock = clock
        self._bus_nudge = Nudge(clock, poll)
        self._notify_nudge = Nudge(clock, poll)
        self._notifying: dict[int, asyncio.Task[None]] = {}

    def nudge(self) -> None:
        """There may be something to send."""
        self._bus_nudge.ring()
        self._notify_nudge.ring()

    async def run_bus(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Publish until told to stop; then what is left goes out if the bus is up.

        Strictly one after the other: a later state of an incident must never be overtaken by an earlier one.
        """
        while True:
            beat()
            rows = await self._store.outbox(Channel.BUS, _BATCH)
            for row in rows:
                try:
                    await self._publish(row, beat, stopping)
                except BusDown:
                    return  # only when stopping; the rest is published after the next start
                await self._store.outbox_delivered([row.seq])
            if not rows:
                if stopping.is_set():
                    return
                await self._bus_nudge.wait()

    async def _publish(self, row: OutboxRow, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        def stop(_state: RetryCallState) -> bool:
            beat()
            return stopping.is_set()

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(BusDown),
            wait=wait_exponential_jitter(multiplier=0.25, max=10, jitter=0.25),
            stop=stop,
            sleep=self._bus_nudge.wait,
            reraise=True,
        ):
            with attempt:
                await self._bus.publish(row.message.topic, bus_payload(row), retain=row.message.retain)

    async def run_notify(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Notify until told to stop; then what is due goes out once more, and what is on its way is waited for."""
        async with asyncio.TaskGroup() as group:
            while True:
                beat()
                pause = await self._start_due(group)
                if stopping.is_set():
                    return
                await self._notify_nudge.wait(pause)

    async def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start what is due; how many seconds nothing more will be."""
        now, pause = self._clock.now(), self._notify_nudge.poll
        on_their_way = set(self._notifying)  # one that ends while we read would still be among what we read
        for row in await self._store.outbox(Channel.NOTIFY, _NOTIFY_LIMIT):
            if row.seq in on_their_way or len(self._notifying) >= _NOTIFY_AT_ONCE:
                continue
            if row.due_at > now:
                pause = min(pause, (row.due_at - now).total_seconds())
                continue
            task = group.create_task(self._notify(row), name=f"notification {row.seq}")
            self._notifying[row.seq] = task
            task.add_done_callback(partial(self._ended, row.seq))
        return pause

    def _ended(self, seq: int, _task: asyncio.Task[None]) -> None:
        del self._notifying[seq]
        self._notify_nudge.ring()

    async def _notify(self, row: OutboxRow) -> None:
        title, body = row.message.topic, row.message.body
        if self._notifier is None:
            # Not kept for later: whoever configures a channel months from now must not get them all at once.
            await self._over(row, AuditKind.NOT_NOTIFIED, f"nobody was notified, no channel is configured: {title}")
            return
        try:
            await self._notifier.notify(title, str(body.get("text", "")), PageKind(str(body.get("kind", ""))))
        except NotifyFailed as error:
            due = next_attempt(self._clock.now(), row.attempts)
            _log.warning(
                "notification_failed", title=title, attempts=row.attempts + 1, reason=str(error), next=str(due)
            )
            await self._store.outbox_retry(row.seq, due)
            return
        await self._over(row, AuditKind.NOTIFIED, f"a channel accepted: {title}")

    async def _over(self, row: OutboxRow, kind: AuditKind, message: str) -> None:
        entry = await self._entry(row, kind, message)
        # In this order: after a crash in between, it is sent and recorded once more, but never sent and not recorded.
        await self._store.commit(Commit(at=entry.at, told=Told(audit=(entry,))))
        await self._store.outbox_delivered([row.seq])

    async def _entry(self, row: OutboxRow, kind: AuditKind, message: str) -> AuditEntry:
        incident_id = str(row.message.body.get("incident", ""))
        incident = await self._store.incident(incident_id) if incident_id else None
        return AuditEntry(
            kind=kind,
            at=self._clock.now(),
            message=message,
            incident_id=incident_id,
            server=incident.server if incident else "",
            health_set=incident.health_set if incident else "",
            monitor=incident.monitor if incident else "",
            fields={"outbox_seq": row.seq, "attempts": row.attempts + (kind is AuditKind.NOTIFIED)},
        )
