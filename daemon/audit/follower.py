"""Copies the audit trail to its sink, row by row, and the recent ones that the sink lacks again after a start."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

import structlog

from daemon.domain.audit import AuditRow
from daemon.domain.errors import SinkDown
from daemon.domain.ports import AuditSink, Clock
from daemon.domain.store import TrailStore
from daemon.runtime.wakeup import POLL, Nudge

#: Journal datagrams are not acknowledged, so after a start, and after the sink was down, this many rows before the last
#: one are sent again, but for those that the sink is known to have. What the journal loses is bounded by it: a journald
#: that is killed loses the datagrams that wait in its socket (at most net.unix.max_dgram_qlen, and none under systemd,
#: which keeps the socket open); a power cut loses what it had not synced (5 minutes by default, nothing of priority 2).
#: Rows beyond this many stay lost there, never in the store.
RESEND = 100


#: What a sink has: the numbers and hashes of rows.
Held = Collection[tuple[int, str]]


async def nothing() -> Held:
    """Of a sink that cannot tell what it has."""
    return ()


_BATCH = 200


_RETRY_FIRST, _RETRY_MOST = 0.5, 30.0  #: seconds between attempts while the sink is down


_log = structlog.get_logger("exmedic.audit")


class AuditFollower:
    """Copies audit rows to a sink: in order, at least once, and behind the ladders' backs, which never wait for it.

    `cursor` names how far it has come, in the store.
    """

    def __init__(
        self,
        *,
        store: TrailStore,
        sink: AuditSink,
        clock: Clock,
        held: Callable[[], Awaitable[Held]] = nothing,
        cursor: str = "journal",
        resend: int = RESEND,
        poll: float = POLL,
    ) -> None:
        self._store = store
        self._sink = sink
        self._nudge = Nudge(clock, poll)
        self._held = held
        self._cursor = cursor
        self._resend = resend
        self._sent = 0  # the last row the sink took
        self._failures = 0
        self._there: Held = ()

    def nudge(self) -> None:
        """There may be new rows."""
        self._nudge.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Follow the chain until told to stop; then what is left goes out if the sink takes it."""
        recorded = self._sent = await self._store.cursor(self._cursor)
        position = await self._back()
        while True:
            beat()
            rows = await self._store.audit_after(position, _BATCH)
            taken = await self._emit(rows)
            if self._sent > recorded:
                await self._store.set_cursor(self._cursor, self._sent)
                recorded = self._sent
            if not taken:
                if stopping.is_set():
                    return
                await self._nudge.wait(min(_RETRY_MOST, _RETRY_FIRST * 2 ** min(self._failures, 10)))
                position = await self._back()  # the other side may have restarted meanwhile
            elif rows:
                position = rows[-1].seq
            elif stopping.is_set():
                return
            else:
                await self._nudge.wait()

    async def _back(self) -> int:
        """Go back to the row after which all is sent again that the sink does not have."""
        position = max(0, self._sent - self._resend)
        self._there = frozenset(await self._held()) if position < self._sent else frozenset()
        return position

    async def _emit(self, rows: Iterable[AuditRow]) -> bool:
        """Hand rows over until the sink refuses one; whether it took all."""
        for row in rows:
            try:
                if (row.seq, row.hash) not in self._there:
                    await self._sink.emit(row)
            except SinkDown as error:
                if self._failures == 0:
                    _log.warning("audit_sink_down", reason=str(error), todo="rows stay in the store and are sent later")
                self._failures += 1
                return False
            if self._failures:
                _log.info("audit_sink_up", attempts=self._failures)
                self._failures = 0
            self._sent = max(self._sent, row.seq)
        return True
