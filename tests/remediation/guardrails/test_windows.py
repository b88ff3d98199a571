"""Windows against a slow oracle that looks at a clock on the wall, minute by minute."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.guardrails import Timing
from daemon.domain.inventory import Role, Server
from daemon.domain.verdicts import Hold, Refuse
from daemon.domain.windows import Span, Weekly, Window, WindowKind, covers, holding, merged, next_change, passed, spans
from daemon.remediation.guardrails.windows import closed_spans, forbids, in_window
from statemachines.actions import ACTIONS

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
MAINTENANCE, FREEZE, BUSINESS = WindowKind.MAINTENANCE, WindowKind.FREEZE, WindowKind.BUSINESS_HOURS


# The oracle

ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
#: The days before the clock is changed in one of them, and one on which nothing happens.
NIGHTS = tuple(
    datetime.fromisoformat(day).replace(tzinfo=UTC)
    for day in ("2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-04-04", "2026-10-03", "2026-06-10")
)


@cache
def wall(zone: str, minute: datetime) -> datetime:
    """What a clock on the wall shows."""
    return minute.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@cache
def shown_at(zone: str, target: datetime) -> tuple[datetime, datetime]:
    """When a clock on the wall first and last shows a time; of a skipped one, an hour too early and too late."""
    first = target.replace(tzinfo=UTC) - 15 * HOUR
    minutes = [first + number * MINUTE for number in range(30 * 60)]
    showing = [minute for minute in minutes if wall(zone, minute) == target]
    if showing:
        return showing[0], showing[-1]
    jump = next(minute for minute in minutes if wall(zone, minute) > target)
    before = wall(zone, jump - MINUTE) + MINUTE
    return jump - (wall(zone, jump) - target), jump + (target - before)


def told(window: Window, minute: datetime) -> bool:
    """Whether a window holds, by the clock on the wall."""
    if isinstance(window.when, Span):
        return window.when.begins <= minute < window.when.ends
    weekly, today = window.when, wall(window.when.zone, minute).replace(hour=0, minute=0)
    for day in (today - 2 * DAY, today - DAY, today, today + DAY):
        over = day + DAY if weekly.ends <= weekly.begins else day
        if day.weekday() in weekly.days:
            begins = shown_at(weekly.zone, datetime.combine(day, weekly.begins))[0]
            ends = shown_at(weekly.zone, datetime.combine(over, weekly.ends))[1]
            if begins <= minute < ends:
                return True
    return False


times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59])) | st.sampled_from(
    [time(0, 0), time(1, 30), time(2, 0), time(2, 15), time(2, 30), time(3, 0)]
)
weeklies = st.builds(
    Weekly,
    days=st.sets(st.integers(0, 6), min_size=1, max_size=6).map(lambda days: tuple(sorted(days))),
    begins=times,
    ends=times,
    zone=st.sampled_from(ZONES),
)
nights = st.builds(lambda night, minutes: night + minutes * MINUTE, st.sampled_from(NIGHTS), st.integers(0, 2 * 1440))
onces = st.builds(lambda begins, length: Span(begins, begins + length * MINUTE), nights, st.integers(1, 3000))
windows = st.builds(
    Window, kind=st.sampled_from(WindowKind), name=st.sampled_from("abc"), when=st.one_of(weeklies, weeklies, onces)
)


@given(st.lists(windows, min_size=1, max_size=3), nights)
def test_what_holds_is_what_the_clock_on_the_wall_says_until_the_next_change_to_the_minute(
    some: list[Window], now: datetime
) -> None:
    def truth(minute: datetime) -> list[bool]:
        return [told(window, minute) for window in some]

    assert [bool(holding([window], now)) for window in some] == truth(now)
    change = next_change(some, now)
    for step in range(0, 36 * 60, 7):
        minute = now + step * MINUTE
        if change is not None and minute >= change:
            break
        assert truth(minute) == truth(now)
    if change is not None:
        assert truth(change) != truth(change - MINUTE)
    else:
        assert all(isinstance(window.when, Span) for window in some)


@given(windows, nights)
def test_a_window_that_holds_says_when_it_ends_and_then_it_does_not_hold(window: Window, now: datetime) -> None:
    for found in holding([window], now):
        assert told(window, found.until - MINUTE)
        assert not told(window, found.until)
        assert not holding([window], found.until)


@given(windows, nights, st.integers(1, 3 * 1440))
def test_spans_are_in_order_apart_and_neither_too_many_nor_too_few(
    window: Window, since: datetime, length: int
) -> None:
    until = since + length * MINUTE
    found = spans(window, since, until)
    assert all(one.ends < other.begins for one, other in itertools.pairwise(found))
    assert all(span.begins < until and span.ends > since for span in found)
    for step in range(0, length, 11):
        minute = since + step * MINUTE
        assert told(window, minute) is any(span.begins <= minute < span.ends for span in found)


def weekly(begins: str, ends: str, zone: str = "Europe/Paris", *days: int) -> Window:
    when = Weekly(
        days=days or tuple(range(6)), begins=time.fromisoformat(begins), ends=time.fromisoformat(ends), zone=zone
    )
    return Window(kind=FREEZE, name="night", when=when)


@pytest.mark.parametrize(
    ("window", "night", "begins", "ends"),
    [
        (weekly("22:00", "06:00"), "2026-11-02", "2026-11-02T21:00Z", "2026-11-03T05:00Z"),  # passes midnight
        (weekly("02:30", "05:00", "Europe/Paris", 6), "2026-03-29", "2026-03-29T00:30Z", "2026-03-29T03:00Z"),
        (weekly("00:30", "02:30", "Europe/Paris", 6), "2026-03-29", "2026-03-28T23:30Z", "2026-03-29T01:30Z"),
        (weekly("02:30", "05:00", "Europe/Paris", 6), "2026-10-25", "2026-10-25T00:30Z", "2026-10-25T04:00Z"),
        (weekly("00:30", "02:30", "Europe/Paris", 6), "2026-10-25", "2026-10-24T22:30Z", "2026-10-25T01:30Z"),
        (weekly("00:00", "00:00", "Europe/Paris", 5, 6), "2026-11-07", "2026-11-06T23:00Z", "2026-11-08T23:00Z"),
    ],
    ids=["midnight", "begins skipped", "ends skipped", "begins doubled", "ends doubled", "weekend is one span"],
)
def test_midnight_and_changes_of_the_clock(window: Window, night: str, begins: str, ends: str) -> None:
    day = datetime.fromisoformat(night).replace(tzinfo=UTC)
    (span, *_) = spans(window, day, day + DAY)
    assert span == Span(datetime.fromisoformat(begins), datetime.fromisoformat(ends))


# Time that does not count

minutes = st.integers(0, 300).map(lambda number: NOW + number * MINUTE)
span_lists = st.lists(st.builds(Span, minutes, minutes), max_size=5)


@given(minutes, st.integers(1, 200), span_lists)
def test_the_time_of_windows_does_not_count_minute_by_minute(began: datetime, long: int, found: list[Span]) -> None:
    apart = merged(found)
    minute, left = began, long
    while left:
        left -= not any(span.begins <= minute < span.ends for span in found)
        minute += MINUTE
    assert passed(began, long * MINUTE, apart) == minute


def test_without_windows_all_time_counts() -> None:
    assert passed(NOW, HOUR, ()) == NOW + HOUR


# What is held

SERVER = Server(
    name="mbx1.contoso.com",
    roles=frozenset({Role.MAILBOX}),
    dag="DAG1",
    site="Lyon",
    endpoint="https://mbx1.contoso.com:5986/wsman",
    credential="exchange",
    tags=frozenset(),
)
RESTART, MOVE, REBOOT = ACTIONS["restart_service"], ACTIONS["stop_activation"], ACTIONS["reboot"]


def once(kind: WindowKind, begins: datetime = NOW - HOUR, ends: datetime = NOW + HOUR) -> Window:
    return Window(kind=kind, name="patching", when=Span(begins, ends))


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        (MAINTENANCE, set()),
        (FREEZE, {"restart_service"}),
        (BUSINESS, {"restart_service", "protocol_log_on"}),
    ],
)
def test_a_window_forbids_every_effect_but_these_never_a_read_and_never_putting_back(
    kind: WindowKind, allowed: set[str]
) -> None:
    effects = {name for name, spec in ACTIONS.items() if spec.effect.value != "read" and not spec.only_undoes}
    assert {name for name in effects if not forbids(kind, ACTIONS[name])} == allowed
    assert not any(forbids(kind, spec) for name, spec in ACTIONS.items() if name not in effects)


@pytest.mark.parametrize(
    ("scope", "is_for"),
    [
        ({}, True),
        ({"servers": ("MBX1",)}, True),
        ({"servers": ("mbx1.contoso.com",)}, True),
        ({"servers": ("mbx11",)}, False),
        ({"dags": ("dag1",)}, True),
        ({"sites": ("LYON",)}, True),
        ({"sites": ("Paris",)}, False),
        ({"servers": ("mbx2",), "sites": ("Lyon",)}, True),
        ({"servers": ("mbx2",), "dags": ("DAG2",), "sites": ("Paris",)}, False),
    ],
)
def test_a_window_is_for_the_servers_it_names_and_those_of_its_dags_and_sites(
    scope: dict[str, tuple[str, ...]], is_for: bool
) -> None:
    assert covers(replace(once(FREEZE), **scope), SERVER) is is_for  # type: ignore[arg-type]  # a table of fields


def asked(
    windows: Sequence[Window], action: str = "reboot", verified: datetime = NOW - MINUTE, *, changed: bool = False
) -> Hold | Refuse | None:
    return in_window(windows, ACTIONS[action], NOW, verified, Timing(), changed=changed)


def test_a_hold_names_the_window_and_its_end_and_asks_again_before_that_in_case_it_is_ended() -> None:
    verdict = asked([once(FREEZE)])
    assert isinstance(verdict, Hold)
    assert verdict.reason == "freeze patching until 2026-11-02 13:00 UTC: nothing but a restart is done"
    assert (verdict.after, verdict.lets_go, verdict.verify_afresh) == (timedelta(minutes=5), True, False)


def test_the_last_minutes_of_a_window_are_waited_for_exactly() -> None:
    verdict = asked([once(MAINTENANCE, ends=NOW + MINUTE)])
    assert isinstance(verdict, Hold)
    assert verdict.after == MINUTE


def test_of_several_windows_the_one_that_ends_last_is_named() -> None:
    verdict = asked([once(MAINTENANCE), once(FREEZE, ends=NOW + 2 * HOUR), once(BUSINESS, ends=NOW + HOUR / 2)])
    assert isinstance(verdict, Hold)
    assert "freeze patching until 2026-11-02 14:00" in verdict.reason


def test_a_window_that_has_not_begun_or_is_over_holds_nothing() -> None:
    windows = [
        once(FREEZE, NOW + MINUTE),
        once(FREEZE, NOW - HOUR, NOW),
        once(MAINTENANCE, NOW - HOUR, NOW - 30 * MINUTE),
    ]
    assert asked(windows) is None


def test_after_a_maintenance_the_problem_is_verified_once_more() -> None:
    over = once(MAINTENANCE, NOW - HOUR, NOW)
    verdict = asked([over], verified=NOW - MINUTE)
    assert isinstance(verdict, Hold)
    assert (verdict.after, verdict.verify_afresh) == (timedelta(0), True)
    assert asked([over], verified=NOW) is None


def test_what_is_changed_on_a_server_is_not_left_so_for_days() -> None:
    long = once(FREEZE, ends=NOW + 9 * HOUR)
    verdict = asked([long], changed=True)
    assert isinstance(verdict, Refuse)
    assert "does not wait longer than 8 hours" in verdict.reason
    assert isinstance(asked([long]), Hold)
    assert isinstance(asked([once(FREEZE, ends=NOW + 8 * HOUR)], changed=True), Hold)


def test_only_windows_that_forbid_the_action_stop_the_clock() -> None:
    found = [once(FREEZE, NOW - 5 * HOUR, NOW - 4 * HOUR), once(MAINTENANCE)]
    assert closed_spans(found, MOVE, NOW - DAY, NOW) == (
        Span(NOW - 5 * HOUR, NOW - 4 * HOUR),
        Span(NOW - HOUR, NOW + HOUR),
    )
    assert closed_spans(found, RESTART, NOW - DAY, NOW) == (Span(NOW - HOUR, NOW + HOUR),)
    assert closed_spans(found, ACTIONS["undo"], NOW - DAY, NOW) == ()
