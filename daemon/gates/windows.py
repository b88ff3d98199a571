"""Windows: maintenance, freezes and business hours. Which hold now, until when, and what they forbid.

A weekly window goes by the local clock. Where the clock is changed within it, it is never shorter than it was
written: a time that is skipped counts as the earlier moment for its begin and the later one for its end; of a time
that comes twice, the first is its begin and the second its end.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from daemon.gates.modes import asks
from daemon.gates.verdicts import Hold, Refuse
from daemon.guardrail_settings import Timing
from daemon.inventory import Server
from daemon.window import Span, Weekly, Window, WindowKind
from statemachines.actions import ActionSpec, Disruption, Effect

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_NOT = {
    WindowKind.MAINTENANCE: "nothing is done",
    WindowKind.FREEZE: "nothing but a restart is done",
    WindowKind.BUSINESS_HOURS: "no moves and reboots without approval",
}


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


def forbids(kind: WindowKind, action: ActionSpec) -> bool:
    """Whether an action must not begin in such a window. Reading and putting back always may."""
    if action.effect is Effect.READ or action.name == "undo":
        return False
    if kind is WindowKind.BUSINESS_HOURS:
        return action.disrupts in (Disruption.MOVE, Disruption.REBOOT)
    return kind is WindowKind.MAINTENANCE or action.disrupts is not Disruption.RESTART


def closed(windows: Iterable[Window], action: ActionSpec, since: datetime, now: datetime) -> tuple[Span, ...]:
    """When windows kept an action from being done since a moment, up to the end of the present one."""
    return merged(
        span
        for window in windows
        if forbids(window.kind, action)
        for span in spans(window, since, now + timedelta.resolution)
    )


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


def in_window(
    windows: Sequence[Window],
    action: ActionSpec,
    now: datetime,
    verified: datetime,
    timing: Timing,
    *,
    changed: bool,
    beside: Sequence[tuple[str, Window]] = (),
) -> Hold | Refuse | None:
    """Holds what a window forbids. `windows`: those for the server; `verified`: when it was last looked at.

    `beside`: maintenances of servers that must not go away together with this one, with their names.

    With something `changed` that waits to be put back, a window that is longer than any hold refuses instead: the
    server is not left like that for days. After a maintenance the problem is verified afresh.
    """
    own = holding((window for window in windows if forbids(window.kind, action)), now)
    all_found = [(found, _NOT[found.window.kind]) for found in own]
    for name, window in beside:
        why = f"somebody works on {name}, of the same DAG or site"
        all_found += [(found, why) for found in holding([window], now)]
    deadline = timedelta(seconds=timing.hold_deadline)
    for found, why in sorted(all_found, key=lambda each: each[0].until, reverse=True):
        reason = f"{found}: {why}"
        if changed and found.until - now > deadline:
            reason += f", and what was changed does not wait longer than {timing.hold_deadline / 3600:g} hours"
            return Refuse(reason=reason, figures={"until": found.until.isoformat()})
        after = min(found.until - now, timedelta(seconds=timing.hold_recheck))
        return Hold(reason=reason, after=after, deadline=deadline, verify_afresh=False, lets_go=True)
    for window in windows:
        if window.kind is WindowKind.MAINTENANCE and spans(window, verified, now):
            return Hold(reason=f"{window.title} is over: verified afresh", after=timedelta(0), deadline=deadline)
    return None


def wants_approval(
    windows: Iterable[Window], action: ActionSpec, now: datetime, what: str, timing: Timing
) -> Hold | None:
    """Holds what a window forbids until an operator approves it, or the window ends. `what`: in plain words."""
    for found in holding((window for window in windows if forbids(window.kind, action)), now):
        hold = asks(what, str(found), timing)
        return replace(hold, after=min(hold.after, found.until - now))
    return None
