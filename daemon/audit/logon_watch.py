"""Tells a human of a refused password, once until it was accepted."""

from collections.abc import Callable

import structlog

from daemon.audit.watch import Watch
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.ports import Clock
from daemon.domain.store import Commits
from daemon.domain.values import timestamp
from daemon.exchange.logons import Logons
from daemon.outgoing.messages import logon_messages
from daemon.runtime.wakeup import POLL

_log = structlog.get_logger("exmedic.logons")


class LogonWatch(Watch):
    """The loop that pages. The threads that log on do not: they may not touch the store."""

    def __init__(
        self,
        *,
        logons: Logons,
        store: Commits,
        clock: Clock,
        prefix: str,
        committed: Callable[[], None],
        poll: float = POLL,
    ) -> None:
        self._logons = logons
        self._store = store
        super().__init__(clock=clock, prefix=prefix, committed=committed, poll=poll)

    def missed(self, reason: str) -> None:
        """See `Watch.missed`."""
        _log.warning("refused_logon_not_told", reason=reason)

    async def look(self) -> None:
        """Page for what nobody was told of. Dies it after the commit: it is told twice.

        Raises:
            StoreError: the store cannot be used.
        """
        for refusal in self._logons.untold():
            now, reason = self._clock.now(), str(refusal)
            _log.error("logon_refused", what=reason)
            fields = {"credential": refusal.identity.credential, "until": timestamp(refusal.until)}
            entry = AuditEntry(
                kind=AuditKind.LOGON_REFUSED, at=now, message=reason, server=refusal.server, fields=fields
            )
            messages = logon_messages(self._prefix, reason, now)
            await self._store.commit(Commit(at=now, told=Told(audit=(entry,), outgoing=messages)))
            self._logons.tell(refusal)
            self._committed()
