"""Windows: spans of time in which less may be done, and the arithmetic of their time.

A weekly window goes by the local clock. Where the clock is changed within it, it is never shorter than it was
written: a time that is skipped counts as the earlier moment for its begin and the later one for its end; of a time
that comes twice, the first is its begin and the second its end.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from daemon.domain.inventory import Server


class WindowKind(StrEnum):
    """What a window means for the servers in its scope."""

    MAINTENANCE = "maintenance"  # nothing is done
    FREEZE = "freeze"  # nothing but a restart
    BUSINESS_HOURS = "business_hours"  # no moves and reboots


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From a moment, to before another."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """On these days (Monday is 0) from a local time until another, on the next day if that is not later."""

    days: tuple[int, ...]
    begins: time
    ends: time
    zone: str  #: IANA name, such as Europe/Paris


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window and the servers it is for: those named, those of its DAGs and sites; with none of them, all.

    Without `added_at` it is from the configuration.
    """

    kind: WindowKind
    name: str
    when: Span | Weekly
    servers: tuple[str, ...] = ()
    dags: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    added_at: datetime | None = None
    added_by: str = ""
    reason: str = ""
    ended_by: str = ""  #: who ended it before its time

    @property
    def title(self) -> str:
        """Its kind and name, in a sentence."""
        return f"{self.kind.value.replace('_', ' ')} {self.name}"

    @property
    def scope(self) -> str:
        """What it is for, in words."""
        named = (("", self.servers), ("DAG ", self.dags), ("site ", self.sites))
        return ", ".join(f"{what}{name}" for what, names in named for name in names) or "all servers"


_DAY = timedelta(days=1)


_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A window that holds now, and until when."""

    window: Window
    until: datetime

    def __str__(self) -> str:
        return f"{self.window.title} until {self.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def covers(window: Window, server: Server) -> bool:
    """Whether a window is for a server."""
    if not (window.servers or window.dags or window.sites):
        return True
    named = {name.lower() for name in window.servers}
    groups = ((window.dags, server.dag or ""), (window.sites, server.site))
    return not named.isdisjoint({server.name, server.short_name}) or any(
        of.lower() in {name.lower() for name in names} for names, of in groups if of
    )


def spans(window: Window, since: datetime, until: datetime) -> tuple[Span, ...]:
    """When a window holds at any time from `since` to `until`, in order; what touches is one."""
    if isinstance(window.when, Span):
        found: Iterable[Span] = (window.when,)
    else:
        # A week more on both sides: days that touch are one span, so it may begin and end far outside.
        found = _weekly(window.when, since - _WEEK, until + _WEEK)
    return tuple(span for span in merged(found) if span.begins < until and span.ends > since)


def _weekly(weekly: Weekly, since: datetime, until: datetime) -> Iterator[Span]:
    zone = ZoneInfo(weekly.zone)
    day, last = since.astimezone(zone).date() - 2 * _DAY, until.astimezone(zone).date() + _DAY
    while day <= last:
        if day.weekday() in weekly.days:
            over = day if weekly.ends > weekly.begins else day + _DAY
            yield Span(min(_moments(day, weekly.begins, zone)), max(_moments(over, weekly.ends, zone)))
        day += _DAY


def _moments(day: date, at: time, zone: ZoneInfo) -> list[datetime]:
    """The moments that a local time may mean: two where the clock is changed, otherwise twice the same."""
    return [datetime.combine(day, at, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1)]


def merged(found: Iterable[Span]) -> tuple[Span, ...]:
    """The same time in as few spans as possible, in order. Empty ones vanish."""
    result: list[Span] = []
    for span in sorted(each for each in found if each.begins < each.ends):
        if result and span.begins <= result[-1].ends:
            result[-1] = Span(result[-1].begins, max(result[-1].ends, span.ends))
        else:
            result.append(span)
    return tuple(result)


def holding(windows: Iterable[Window], now: datetime) -> tuple[Holding, ...]:
    """The windows that hold at a moment, the one that ends last first."""
    found = [
        Holding(window=window, until=span.ends)
        for window in windows
        for span in spans(window, now, now + timedelta.resolution)
    ]
    return tuple(sorted(found, key=lambda each: each.until, reverse=True))


def next_change(windows: Iterable[Window], now: datetime) -> datetime | None:
    """When next a window begins or ends; None when none ever does again."""
    # A weekly one begins or ends within a week, but for a change of the clock.
    edges = [
        edge
        for window in windows
        for span in spans(window, now, window.when.ends if isinstance(window.when, Span) else now + 2 * _WEEK)
        for edge in (span.begins, span.ends)
        if edge > now
    ]
    return min(edges, default=None)


def passed(began: datetime, duration: timedelta, closed: Sequence[Span]) -> datetime:
    """When so much time has passed since a moment, that of `closed` (in order, none overlapping) not counted."""
    at, left = began, duration
    for span in closed:
        if span.ends <= at:
            continue
        opened = max(span.begins - at, timedelta(0))
        if opened >= left:
            break
        left -= opened
        at = span.ends
    return at + left
