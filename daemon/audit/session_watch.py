"""Tells a human, once, that the broker has forgotten our session: what it kept for us until then is lost."""

from collections.abc import Callable

import structlog

from daemon.audit.watch import Watch
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.ports import Bus, Clock
from daemon.domain.store import WatchStore
from daemon.outgoing.messages import session_messages
from daemon.runtime.wakeup import POLL

_SESSIONS = "bus sessions"  #: how many sessions the broker began for us, in the store: over restarts as well

_log = structlog.get_logger("exmedic.mqtt")


async def forgotten(store: WatchStore) -> int:
    """How often the broker began anew after the first session."""
    return max(0, await store.cursor(_SESSIONS) - 1)


class SessionWatch(Watch):
    """Compares the sessions that the broker began with the one that was to be expected."""

    def __init__(
        self,
        *,
        bus: Bus,
        store: WatchStore,
        clock: Clock,
        prefix: str,
        committed: Callable[[], None],
        poll: float = POLL,
    ) -> None:
        self._bus = bus
        self._store = store
        super().__init__(clock=clock, prefix=prefix, committed=committed, poll=poll)
        self._seen = 0  # fresh sessions of this process that are accounted for

    def missed(self, reason: str) -> None:
        """See `Watch.missed`."""
        _log.warning("session_not_compared", reason=reason)

    async def look(self) -> None:
        """Compare once. Dies it between its two commits: told, and not counted.

        Raises:
            StoreError: the store cannot be used.
        """
        if not self._bus.connected:
            return
        fresh, known = self._bus.fresh_sessions, await self._store.cursor(_SESSIONS)
        if known and fresh > self._seen:
            await self._tell()
        wanted = max(1, known + fresh - self._seen) if known else 1
        if wanted != known:
            await self._store.set_cursor(_SESSIONS, wanted)
        self._seen = fresh

    async def _tell(self) -> None:
        now = self._clock.now()
        reason = (
            "the broker had no session for us any more: alerts that it took while exmedic was not connected are lost, "
            "and nobody can tell how many"
        )
        _log.warning("bus_session_lost", reason=reason, todo="see docs/install.md, The broker")
        entry = AuditEntry(kind=AuditKind.SESSION_LOST, at=now, message=reason)
        messages = session_messages(self._prefix, reason, now)
        await self._store.commit(Commit(at=now, told=Told(audit=(entry,), outgoing=messages)))
        self._committed()
