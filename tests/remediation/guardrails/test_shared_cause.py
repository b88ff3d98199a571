"""When the same problem on several servers is one cause, and how long an incident must be known first."""

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.guardrails import SharedCause, Timing
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.inventory import Inventory, Role, Server
from daemon.remediation.guardrails.shared_cause import pattern, shared, threshold, unsettled

NOW = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
WITHIN = timedelta(minutes=15)
SETTINGS, TIMING = SharedCause(), Timing()


def fleet(number: int) -> Inventory:
    return Inventory(
        tuple(
            Server(
                name=f"ex{each:02}.contoso.com",
                roles=frozenset({Role.MAILBOX}),
                dag=None,
                site="Lyon",
                endpoint="http://127.0.0.1:1/wsman",
                credential="lab",
                tags=frozenset(),
            )
            for each in range(1, number + 1)
        )
    )


def ill(number: int, minutes: float = 0, status: IncidentStatus = IncidentStatus.OPEN) -> Incident:
    return Incident(
        id=f"i{number:02}",
        key=Key.of(f"ex{number:02}.contoso.com", "POP.Protocol", "PopDeepTestMonitor"),
        health_set="POP.Protocol",
        monitor="PopDeepTestMonitor",
        status=status,
        state="restart",
        opened_at=NOW + timedelta(minutes=minutes),
        latched=status is IncidentStatus.ESCALATED,
    )


@pytest.mark.parametrize(
    ("servers", "expected"), [(1, 2), (2, 2), (5, 2), (6, 2), (10, 2), (11, 3), (12, 3), (15, 3), (1000, 3)]
)
def test_three_servers_or_a_fifth_of_the_fleet_are_enough_but_never_one(servers: int, expected: int) -> None:
    assert threshold(servers, SETTINGS) == expected


def test_a_share_is_not_rounded_up_for_what_a_float_cannot_say() -> None:
    assert threshold(30, SharedCause(servers=1000, share=0.1)) == 3
    assert threshold(40, SharedCause(servers=1000, share=1.0)) == 40


def test_the_hold_names_the_servers_and_the_figures_and_asks_again_as_the_settings_say() -> None:
    alike = [ill(4, 1.5), ill(1), ill(3, 1), ill(2, 0.5)]
    hold = shared(alike[0], alike, fleet(12), SETTINGS, TIMING)
    assert hold is not None
    assert hold.reason == (
        "PopDeepTestMonitor (POP.Protocol) ails on 4 of 12 servers within 2 min: "
        "ex01.contoso.com, ex02.contoso.com, ex03.contoso.com, "
        "ex04.contoso.com; one cause for all is more likely than 4"
    )
    assert (hold.after, hold.deadline) == (timedelta(minutes=5), timedelta(hours=8))
    assert hold.verify_afresh
    assert hold.lets_go


def test_a_long_list_is_cut_but_its_number_is_told() -> None:
    alike = [ill(number) for number in range(1, 21)]
    hold = shared(alike[0], alike, fleet(20), SETTINGS, TIMING)
    assert hold is not None
    assert "on 20 of 20 servers" in hold.reason
    assert "ex12.contoso.com and 8 more;" in hold.reason


def test_too_few_or_too_far_apart_hold_nothing() -> None:
    assert shared(ill(1), [ill(1), ill(2)], fleet(12), SETTINGS, TIMING) is None
    spread = [ill(1), ill(2, 14), ill(3, 28)]
    assert shared(spread[1], spread, fleet(12), SETTINGS, TIMING) is None


def test_who_falls_ill_soon_after_the_others_shares_their_cause_and_who_does_much_later_does_not() -> None:
    alike = [ill(1), ill(2, 1), ill(3, 2), ill(4, 16), ill(5, 60)]
    assert shared(alike[3], alike, fleet(12), SETTINGS, TIMING) is not None
    assert shared(alike[4], alike, fleet(12), SETTINGS, TIMING) is None


def test_one_that_a_human_has_already_counts_and_a_server_that_left_the_inventory_does_not() -> None:
    alike = [ill(1), ill(2), ill(3, status=IncidentStatus.ESCALATED)]
    assert shared(alike[0], alike, fleet(12), SETTINGS, TIMING) is not None
    alike[2] = ill(99)
    assert shared(alike[0], alike, fleet(12), SETTINGS, TIMING) is None


def test_nothing_disruptive_is_done_before_an_incident_is_old_enough() -> None:
    young = unsettled(NOW, NOW + timedelta(seconds=70.5), SETTINGS, TIMING)
    assert young is not None
    assert young.reason == "the incident is 70 s old; nothing disruptive before 180 s"
    assert young.after == timedelta(seconds=109.5)
    assert young.lets_go
    assert unsettled(NOW, NOW + timedelta(seconds=180), SETTINGS, TIMING) is None


def test_an_incident_of_the_future_asks_again_soon_enough_to_reach_the_deadline_of_its_hold() -> None:
    hold = unsettled(NOW + timedelta(days=365), NOW, SETTINGS, TIMING)
    assert hold is not None
    assert (hold.after, hold.deadline) == (timedelta(minutes=5), timedelta(hours=8))


@given(st.lists(st.integers(0, 90), min_size=1, max_size=7), st.integers(2, 4), st.data())
def test_whoever_was_opened_with_enough_others_within_the_time_is_always_of_the_pattern(
    minutes: list[int], least: int, data: st.DataObject
) -> None:
    alike = [ill(number, minute) for number, minute in enumerate(minutes, 1)]
    asked = data.draw(st.sampled_from(alike))
    found = pattern(asked, data.draw(st.permutations(alike)), least, WITHIN)
    together = [group for group in combinations(alike, least) if _span(group) <= WITHIN]
    if any(asked in group for group in together):
        assert asked in found
    if not together:
        assert found == ()
    if found:
        assert asked in found
        assert all(later.opened_at - one.opened_at <= WITHIN for one, later in pairwise(found))
        assert all(pattern(each, alike, least, WITHIN) == found for each in found), "it is the same for each of them"


def _span(group: tuple[Incident, ...]) -> timedelta:
    return max(each.opened_at for each in group) - min(each.opened_at for each in group)
