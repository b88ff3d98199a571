"""Looks after pauses: those ordered without the daemon, those whose time is over, and those that stand long."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from daemon.audit.watch import Watch
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.errors import StoreError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import SYSTEM_TIME, Standing
from daemon.domain.ports import Clock, KillSwitch
from daemon.domain.store import Commits
from daemon.operators.users import name_of
from daemon.outgoing.messages import pause_messages
from daemon.runtime.wakeup import POLL

REMINDED_AFTER = timedelta(hours=4)  #: of standing, and again after each as long
_ASKED_FOR = timedelta(seconds=15)  #: who has put an order on the disk may just be asking the daemon to confirm it

_log = structlog.get_logger("exmedic.pauses")


class PauseWatch(Watch):
    """Puts on record what becomes of pauses without a command to the daemon, and reminds of what is forgotten."""

    passes = (StoreError, OSError)

    def __init__(
        self,
        *,
        switch: KillSwitch,
        inventory: Inventory,
        store: Commits,
        clock: Clock,
        prefix: str,
        committed: Callable[[], None],
        now: Callable[[], datetime] = SYSTEM_TIME,
        poll: float = POLL,
    ) -> None:
        self._switch = switch
        self._inventory = inventory
        self._store = store
        super().__init__(clock=clock, prefix=prefix, committed=committed, poll=poll)
        self._now = now
        self._reminded: datetime | None = None
        self._looked = False

    def missed(self, reason: str) -> None:
        """See `Watch.missed`."""
        _log.warning("pauses_not_looked_after", reason=reason)

    async def look(self) -> None:
        """Look once.

        Raises:
            OSError: a file could not be written or removed.
            StoreError: nothing could be put on record, so nothing of it was done.
        """
        now, pauses = self._now(), self._switch.orders()
        for each in pauses:
            if each.over:
                await self._record(AuditKind.RESUMED, "is over, as ordered", each)
                await self._switch.drop(each)
            elif each.by_hand or each.kept:
                continue
            elif each.ordered:
                await self._switch.keep(each)  # somebody took its file away, which ends nothing
            elif not self._looked or each.since is None or now - each.since > _ASKED_FOR:
                await self._record(AuditKind.PAUSED, "was ordered without exmedic", each)
                await self._switch.keep(each)
        self._looked = True
        await self._remind([each for each in pauses if not each.over], now)

    async def _record(self, kind: AuditKind, what: str, pause: Standing) -> None:
        uid = pause.terms.uid
        user = "exmedic" if uid is None else await name_of(uid)
        named = pause.scope or "everything"
        entry = AuditEntry(
            kind=kind,
            at=self._clock.now(),
            message=f"the pause of {named} {what}, by {user}; {pause.why}",
            server=pause.scope if self._inventory.find(pause.scope) else "",
            fields={"user": user, "scope": named, "order": pause.terms.id},
        )
        await self._store.commit(Commit(at=self._clock.now(), told=Told(audit=(entry,))))
        self._committed()

    async def _remind(self, pauses: list[Standing], now: datetime) -> None:
        """Page once for all that stands so long that it may be forgotten."""
        long = [each for each in pauses if each.since is not None and now - each.since >= REMINDED_AFTER]
        if not long:
            self._reminded = None
        elif self._reminded is None or now - self._reminded >= REMINDED_AFTER:
            messages = pause_messages(self._prefix, long, self._clock.now())
            await self._store.commit(Commit(at=self._clock.now(), told=Told(outgoing=messages)))
            self._committed()
            self._reminded = now
