"""Step 2b of the page: a failing probe decides nothing without the monitor's row."""

from datetime import timedelta

import pytest

from daemon.domain.values import Json
from daemon.remediation.actions.contract import Again
from daemon.remediation.actions.verify import Verify
from tests.remediation.actions.bench import Bench
from tests.remediation.pop_world import CTP, Ill
from tests.remediation.world import CAS1, Mishap


def failing(value: str) -> Bench:
    """A bench whose probe fails beside a row that says something."""
    it = Bench()
    it.world.pop[CAS1].ills = [Ill(CTP)]
    it.world.pop[CAS1].rows_say[CTP] = value
    return it


@pytest.mark.parametrize(
    ("value", "outcome", "minutes"),
    [
        ("Unhealthy", "unhealthy", 3),
        ("Repairing", "undecided", 3),
        ("Disabled", "undecided", 3),
        ("Healthy", "undecided", 15),
        ("Degraded", "undecided", 15),
        ("Unavailable", "undecided", 15),
        ("Unknown", "undecided", 15),
    ],
)
async def test_a_failing_probe_is_a_licence_only_beside_an_unhealthy_row(
    value: str, outcome: str, minutes: float
) -> None:
    it = failing(value)
    began = it.clock.now()
    done = await it.drive(Verify(), "verify")
    assert done.outcome == outcome
    assert f"{CTP} is {value}" in done.detail
    assert "probe PopCTPProbe: Failed" in done.detail
    assert timedelta(minutes=minutes) <= it.clock.now() - began < timedelta(minutes=minutes + 4)


@pytest.mark.parametrize(("value", "who"), [("Repairing", "an administrator"), ("Disabled", "an override")])
async def test_who_said_hands_off_is_told(value: str, who: str) -> None:
    assert who in (await failing(value).drive(Verify(), "verify")).detail


async def test_a_monitor_that_turns_unhealthy_only_after_several_failures_is_waited_for() -> None:
    it = failing("Healthy")
    memo: Json = await it.until(Verify(), {}, 8)
    it.world.pop[CAS1].rows_say[CTP] = "Unhealthy"
    assert (await it.drive(Verify(), "verify", memo)).outcome == "unhealthy"


async def test_a_stale_row_beside_a_failing_probe_tells_nothing() -> None:
    it = failing("Unhealthy")
    it.world.pop[CAS1].stale.add(CTP)
    done = await it.drive(Verify(), "verify")
    assert (done.outcome, "is stale" in done.detail) == ("undecided", True)


@pytest.mark.parametrize(("mishap", "outcome"), [(Mishap.GARBAGE, "unknown"), (Mishap.UNREACHABLE, "unreachable")])
async def test_a_row_that_cannot_be_read_beside_a_failing_probe_tells_nothing(mishap: Mishap, outcome: str) -> None:
    it = failing("Unhealthy")
    it.world.befall("server_health", *[mishap] * 500)
    assert (await it.drive(Verify(), "verify")).outcome == outcome


async def test_one_row_that_says_hands_off_decides_before_one_that_is_unhealthy() -> None:
    it = Bench()
    it.world.pop[CAS1].ills = [Ill(CTP)]
    it.world.pop[CAS1].second_rows[CTP] = "Repairing"
    assert (await it.drive(Verify(), "verify")).outcome == "undecided"


async def test_a_probe_that_fails_only_once_beside_a_repairing_row_ends_nothing() -> None:
    it = failing("Repairing")
    assert isinstance(await it.look(Verify(), {}), Again)
    it.world.pop[CAS1].ills = []
    it.world.pop[CAS1].rows_say.clear()
    assert (await it.drive(Verify(), "verify")).outcome == "healthy"
