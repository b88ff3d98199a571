"""The gates about Managed Availability."""

from datetime import timedelta

import pytest

from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse
from daemon.exchange.answers import RecoveryLog
from daemon.remediation.actions.preconditions.managed_availability import recovery_over, recovery_rested
from tests.remediation.actions.preconditions.known import NOW, mailbox, recovery, state

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_service_restarts_of_managed_availability_are_noted_and_hold_nothing_up() -> None:
    verdict = recovery_over(mailbox())
    assert verdict == Allow(
        figures={"service_restarts": ["RestartService of MSExchangePOP3BE at 2026-01-15 01:00"], "hours": 24}
    )
    assert isinstance(recovery_rested(mailbox()), Allow)
    assert isinstance(recovery_over(mailbox(recovery=RecoveryLog(actions=()))), Allow)


@pytest.mark.parametrize("action", ["RestartService", "ForceReboot", "TakeComponentOffline"])
def test_a_recovery_under_way_is_waited_for(action: str) -> None:
    verdict = recovery_over(mailbox(recovery=recovery(action, ago=MINUTE, took=None)))
    assert isinstance(verdict, Hold)
    assert (verdict.after, verdict.deadline) == (2 * MINUTE, 30 * MINUTE)
    assert verdict.reason == (
        f"Managed Availability is acting on mbx1.contoso.com: {action} of MSExchangePOP3BE at 2026-01-15 02:59, "
        "not ended yet"
    )


def test_what_ran_before_the_last_boot_is_over_although_nobody_recorded_its_end() -> None:
    assert isinstance(recovery_over(mailbox(recovery=recovery(ago=timedelta(days=2, minutes=1), took=None))), Allow)


@pytest.mark.parametrize(
    ("action", "rest"), [("ForceReboot", 12 * HOUR), ("ServerFailover", HOUR), ("DatabaseFailover", HOUR)]
)
def test_what_managed_availability_did_counts_as_if_we_had_done_it(action: str, rest: timedelta) -> None:
    verdict = recovery_rested(mailbox(recovery=recovery(action, ago=rest - MINUTE, took=timedelta(0))))
    assert isinstance(verdict, Refuse)
    assert f"again only after {rest / HOUR:.0f} hours" in verdict.reason
    assert verdict.figures["action"] == action
    assert isinstance(recovery_rested(mailbox(recovery=recovery(action, ago=rest, took=timedelta(0)))), Allow)


def test_a_long_failover_counts_from_its_end() -> None:
    assert isinstance(
        recovery_rested(mailbox(recovery=recovery("serverfailover", ago=2 * HOUR, took=HOUR + MINUTE))), Refuse
    )


def test_a_reboot_without_a_recorded_end_counts_from_its_start() -> None:
    assert isinstance(recovery_rested(mailbox(recovery=recovery("ForceReboot", ago=HOUR, took=None))), Refuse)


def test_an_action_past_its_expected_end_is_over_with_an_unknown_end() -> None:
    dead = recovery(ago=10 * MINUTE, took=None, expected=9 * MINUTE)
    verdict = recovery_over(mailbox(recovery=dead))
    assert isinstance(verdict, Allow)
    assert verdict.figures["ended_unknown"] == [
        "RestartService of MSExchangePOP3BE at 2026-01-15 02:50, expected to end at 02:59, and no end on record"
    ]


@pytest.mark.parametrize("expected", [10 * MINUTE, HOUR, None])
def test_one_that_may_still_be_under_way_is_waited_for(expected: timedelta | None) -> None:
    assert isinstance(recovery_over(mailbox(recovery=recovery(ago=10 * MINUTE, took=None, expected=expected))), Hold)


def test_a_failover_without_an_end_counts_from_when_it_was_expected_to_end() -> None:
    dead = recovery("ServerFailover", ago=2 * HOUR, took=None, expected=HOUR + MINUTE)
    assert isinstance(recovery_rested(mailbox(recovery=dead)), Refuse)


@pytest.mark.parametrize(
    ("reaches", "booted", "verdict"),
    [
        (30 * MINUTE, timedelta(days=2), CannotTell),
        (2 * HOUR, timedelta(days=2), Allow),
        (2 * HOUR, 3 * HOUR, CannotTell),
        (13 * HOUR, 3 * HOUR, Allow),
    ],
)
def test_a_log_that_is_not_complete_is_enough_where_what_it_hides_shows_elsewhere(
    reaches: timedelta, booted: timedelta, verdict: type
) -> None:
    log = recovery(ago=reaches, truncated=True)
    known = mailbox(recovery=log, state=state(boot_time=NOW - booted))
    assert type(recovery_rested(known)) is verdict


def test_a_log_that_is_not_complete_forbids_no_restart_and_its_counts_are_a_lower_bound() -> None:
    verdict = recovery_over(mailbox(recovery=recovery(truncated=True)))
    assert isinstance(verdict, Allow)
    assert verdict.figures["at_least"] is True
