"""Tells humans of alerts that opened no incident: one page a reason or server and day, however many there are.

What is to be told is in the store, written with the alert's own commit, so a restart forgets nothing and repeats
nothing. `due` decides; the loop reads, commits pages and what they told of in one, and sleeps.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import structlog

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import AlertChanges, Commit, Told
from daemon.domain.errors import Conflict
from daemon.domain.notices import OTHERS, Notice, NoticeKind, told_lately
from daemon.domain.ports import Clock
from daemon.domain.store import RoutingStore
from daemon.exchange.struck import struck_out
from daemon.outgoing.notices import LISTED, NoticePage, notice_messages
from daemon.runtime.wakeup import POLL, Nudge

GATHERS = timedelta(seconds=30)  #: so long others of its kind are waited for, to be on the same page
SAMPLE = 400  #: characters of a payload that a page shows

_log = structlog.get_logger("exmedic.telling")


def due(notices: Sequence[Notice], most: int, now: datetime) -> Iterator[tuple[Notice, ...]]:
    """What is to be told now, a tuple for each page: a notice each for `most` of a kind within a day.

    What goes beyond that is one page, at most once a day too. That one tells of all, and the notice of the others is
    among it, so that its time is known.
    """
    for kind in NoticeKind:
        of_kind = [each for each in notices if each.kind is kind]
        lately = sum(told_lately(each, now) for each in of_kind if each.about != OTHERS)
        waiting = [each for each in of_kind if each.count and not told_lately(each, now) and _gathered(each, now)]
        alone = [each for each in waiting if each.about != OTHERS][: max(0, most - lately)]
        yield from ((each,) for each in alone)
        rest = tuple(each for each in waiting if each not in alone and each.about != OTHERS)
        others = next((each for each in of_kind if each.about == OTHERS), None)
        if others is None:
            others = Notice(kind=kind, about=OTHERS, since=now)
        if (rest or others in waiting) and not told_lately(others, now):
            yield (*rest, others)


def _gathered(notice: Notice, now: datetime) -> bool:
    """Whether others were waited for long enough. What is of the future is of a clock that was set back since."""
    return not notice.since <= now < notice.since + GATHERS


class Telling:
    """The loop over what is to be told. `most`: pages a day of each kind; `committed` is called after each commit."""

    def __init__(
        self,
        *,
        store: RoutingStore,
        clock: Clock,
        prefix: str,
        most: int,
        committed: Callable[[], None],
        poll: float = POLL,
    ) -> None:
        self._store, self._clock, self._prefix = store, clock, prefix
        self._most, self._committed = most, committed
        self._nudge = Nudge(clock, poll)

    def nudge(self) -> None:
        """Look whether to stop."""
        self._nudge.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Tell what is due until told to stop."""
        while not stopping.is_set():
            beat()
            await self.tell()
            await self._nudge.wait()

    async def tell(self) -> int:
        """Tell what is due now; how many pages that were."""
        pages = list(due(await self._store.notices(), self._most, self._clock.now()))
        return [await self._tell(page) for page in pages].count(True)

    async def _tell(self, notices: tuple[Notice, ...]) -> bool:
        now = self._clock.now()
        page = NoticePage(notices=[each for each in notices if each.count], sample=await self._sample(notices))
        message = f"humans are told of {page.count} alerts that opened nothing"
        fields = {"kind": notices[0].kind.value, "about": [each.about for each in page.notices][:LISTED]}
        entry = AuditEntry(kind=AuditKind.DECISION, at=now, message=message, fields=fields)
        told = Told(audit=(entry,), outgoing=notice_messages(self._prefix, page, now))
        try:
            await self._store.commit(Commit(at=now, alerts=AlertChanges(told=notices), told=told))
        except Conflict as conflict:
            _log.debug("notice_conflict", why=str(conflict))  # another alert came: the next look tells of it as well
            return False
        self._committed()
        return True

    async def _sample(self, notices: tuple[Notice, ...]) -> str:
        """The beginning of a rejected payload, without its secrets; empty for other kinds, and for many at once."""
        first = notices[0]
        if len(notices) > 1 or first.kind is not NoticeKind.REJECTED or first.alert is None:
            return ""
        payload = await self._store.payload(first.alert)
        return "" if payload is None else told_payload(payload.kept, SAMPLE)


def told_payload(payload: bytes, most: int) -> str:
    """A payload for people: without its secrets, on one line, cut to so many characters."""
    # More than is shown: a secret whose name is shown must not hide behind the cut.
    text = str(struck_out(payload[: 8 * most].decode("utf-8", "replace").replace("\0", "")))
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= most else f"{line[:most]}..."
