"""Watches the ledger: at the start before anything is taken in, and then for as long as the daemon runs.

What does not add up is an escalation, once: what a human was told is in the store, so a restart does not repeat it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.errors import StoreError
from daemon.domain.ledger import Ledger, Mismatch
from daemon.domain.ports import Clock
from daemon.domain.store import WatchStore
from daemon.outgoing.messages import ledger_messages
from daemon.runtime.wakeup import POLL, Nudge

SOONEST, LATEST = 60.0, 300.0  #: seconds between two checks: after changes, and in any case
THOROUGH = 3600.0  #: seconds between two checks that look for rows without the row they refer to
ACKNOWLEDGED = "acknowledged"  #: the one figure that a restart forgets

_log = structlog.get_logger("exmedic.ledger")


def grown(found: Iterable[Mismatch], told: Mapping[str, int]) -> tuple[Mismatch, ...]:
    """What to tell a human now: what is new, and what has at least doubled, so that a leak is told a few times only."""
    return tuple(each for each in found if each.size >= 2 * told.get(each.name, 0))


class LedgerWatch:
    """Checks the ledger, and escalates what does not add up.

    `acknowledged` says how many alerts were acknowledged to the broker since the daemon started: each of them must
    be among those that the store counted.
    """

    def __init__(
        self,
        *,
        store: WatchStore,
        clock: Clock,
        prefix: str,
        acknowledged: Callable[[], int],
        committed: Callable[[], None],
        poll: float = POLL,
    ) -> None:
        self._store = store
        self._clock = clock
        self._prefix = prefix
        self._acknowledged = acknowledged
        self._committed = committed
        self._bell = Nudge(clock, poll)
        self._changed = False
        self._before: int | None = None  # messages that were accepted before the start

    def changed(self) -> None:
        """Something was committed."""
        self._changed = True

    def nudge(self) -> None:
        """Look whether to stop."""
        self._bell.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Check from time to time until told to stop. Passed time is counted in polls, which no clock can set back."""
        waited = since_thorough = 0.0
        while True:
            beat()
            await self._bell.wait()
            if stopping.is_set():
                return
            waited += self._bell.poll
            since_thorough += self._bell.poll
            if waited < (SOONEST if self._changed else LATEST):
                continue
            thorough = since_thorough >= THOROUGH
            self._changed = False
            try:
                await self.check(thorough=thorough)
            except StoreError as error:
                # The loops that need the store say what is wrong with it; the next check comes soon.
                _log.warning("ledger_not_checked", reason=str(error))
                continue
            waited = 0.0
            since_thorough = 0.0 if thorough else since_thorough

    async def check(self, *, thorough: bool) -> tuple[Mismatch, ...]:
        """Check once; what does not add up, told or not. Dies it before its commit: the next check finds the same.

        Raises:
            StoreError: the store cannot be used.
        """
        acknowledged = self._acknowledged()  # first: what is acknowledged has been counted before
        ledger = await self._store.ledger(thorough=thorough)
        found = (*ledger.mismatches, *self._unaccounted(ledger, acknowledged))
        news = grown(found, ledger.told)
        names = {each.name for each in found}
        over = [name for name in ledger.told if name not in names and _looked_at(name, ledger)]
        if news or over:
            sizes = {each.name: each.size for each in news}
            kept = {name: size for name, size in ledger.told.items() if name not in over}
            await self._tell(news, over, {**kept, **sizes})
        return found

    def _unaccounted(self, ledger: Ledger, acknowledged: int) -> tuple[Mismatch, ...]:
        if self._before is None:
            self._before = ledger.accepted - acknowledged
        counted = ledger.accepted - self._before
        if acknowledged <= counted:  # one that was counted may wait for its acknowledgement
            return ()
        text = f"{acknowledged} alerts were acknowledged to the broker since the start, but {counted} were stored"
        return (Mismatch(ACKNOWLEDGED, counted, acknowledged, text),)

    async def _tell(self, news: Sequence[Mismatch], over: Sequence[str], told: Mapping[str, int]) -> None:
        now = self._clock.now()
        audit = []
        if news:
            text = "; ".join(each.text for each in news)
            figures = {each.name: [each.counted, each.found] for each in news}
            _log.error("ledger_mismatch", what=text)
            message = f"the ledger does not balance: {text}"
            audit.append(
                AuditEntry(kind=AuditKind.LEDGER_MISMATCH, at=now, message=message, fields={"figures": figures})
            )
        if over:
            message = f"balances again in the ledger: {', '.join(over)}"
            audit.append(AuditEntry(kind=AuditKind.LEDGER_BALANCED, at=now, message=message, fields={"names": over}))
        messages = ledger_messages(self._prefix, news, now) if news else ()
        await self._store.commit(Commit(at=now, told=Told(audit=tuple(audit), outgoing=messages, ledger_told=told)))
        self._committed()


def _looked_at(name: str, ledger: Ledger) -> bool:
    """Whether this ledger would show a mismatch of that name."""
    return ledger.strays is not None or " without the " not in name
