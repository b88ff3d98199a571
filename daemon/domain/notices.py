"""What humans are told of alerts that open no incident: by reason or server, once a day, with how many there were."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

MOST_ITEMS = 20  #: that a notice lists; it counts all of them
MOST_NOTICES = 200  #: of a kind; whatever comes beyond is told as one
LONGEST = 200  #: characters of what it is about, and of an item
DAY = timedelta(days=1)  #: somebody is told of the same at most once in it
OTHERS = ""  #: what the notice of the others is about

_VARIES = re.compile(r"\"[^\"]*\"|'[^']*'|[0-9]+")


class NoticeKind(StrEnum):
    """Why an alert opens no incident."""

    REJECTED = "rejected"  # it cannot be understood
    UNCLEAR = "unclear"  # it is not clear which server it is about
    UNHANDLED = "unhandled"  # no runbook handles its monitor


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One alert that a human is to hear of."""

    kind: NoticeKind
    about: str  #: a reason or a server: what is told together
    item: str  #: what the notice lists
    alert: int | None  #: its number, for a sample
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What nobody was told of yet, and when somebody was told last. `count` may be more than `items` lists."""

    kind: NoticeKind
    about: str
    since: datetime  #: the first that nobody was told of
    count: int = 0
    items: tuple[str, ...] = ()
    alert: int | None = None
    told_at: datetime | None = None


def grouped(reason: str) -> str:
    """A reason without what varies from one payload to the next: numbers, and what it quotes."""
    return _VARIES.sub("...", reason)[:LONGEST]


def noted(known: Notice | None, note: Note) -> Notice:
    """The notice with one more alert to tell of."""
    if known is None or not known.count:
        told_at = None if known is None else known.told_at
        known = Notice(kind=note.kind, about=note.about, since=note.at, alert=note.alert, told_at=told_at)
    item = note.item[:LONGEST]
    fits = item not in known.items and len(known.items) < MOST_ITEMS
    return replace(known, count=known.count + 1, items=(*known.items, item) if fits else known.items)


def told(notice: Notice, at: datetime) -> Notice:
    """The notice once somebody was told of all of it."""
    return replace(notice, count=0, items=(), told_at=at)


def told_lately(notice: Notice, now: datetime) -> bool:
    """Whether somebody was told within a day. A moment of the future is of a clock that was set back since."""
    return notice.told_at is not None and now - DAY < notice.told_at <= now


def kept(notice: Notice, now: datetime) -> bool:
    """Whether it still says anything: something is to be told, or was lately."""
    return notice.count > 0 or told_lately(notice, now)


def as_one(note: Note) -> Note:
    """The note among the others, where there are too many notices of its kind for one more."""
    return replace(note, about=OTHERS, item=f"{note.about}: {note.item}" if note.item else note.about)
