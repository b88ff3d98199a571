"""Monitors without a probe: sampled to a verdict, and watched over ten minutes."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config.guardrails import Timing
from daemon.domain.values import Json
from daemon.remediation.actions.contract import Again, Done
from daemon.remediation.actions.verify import Look, Sight, Verify, judge_samples
from daemon.remediation.actions.watch import WatchMonitor
from daemon.testing.clock import NOON
from tests.remediation.actions.bench import Bench
from tests.remediation.pop_world import SLOW, Ill
from tests.remediation.world import CAS1, Mishap


def bench(*, minutes: float | None = None) -> Bench:
    return Bench(monitor=SLOW, probe=None, params={} if minutes is None else {"minutes": minutes})


@pytest.mark.parametrize(("sick", "outcome"), [(True, "unhealthy"), (False, "healthy")])
async def test_three_minutes_of_agreeing_looks_are_a_verdict(sick: bool, outcome: str) -> None:
    it = bench()
    it.world.pop[CAS1].ills = [Ill(SLOW)] * sick
    began = it.clock.now()
    done = await it.drive(Verify(), "verify")
    assert done.outcome == outcome
    assert it.clock.now() - began >= timedelta(minutes=3)
    assert len(it.looks) >= 3
    assert SLOW in str(done.result["probe"])


async def test_a_monitor_that_is_healthy_only_now_and_then_is_neither() -> None:
    it = bench()
    verify, pop = Verify(), it.world.pop[CAS1]
    memo: Json = {}
    for number in range(12):
        pop.values[SLOW] = "Repairing" if number % 2 else "Healthy"
        seen = await it.look(verify, memo)
        assert isinstance(seen, Again)
        assert seen.if_late == "undecided"
        memo = seen.memo


@pytest.mark.parametrize("value", ["Degraded", "Repairing", "Disabled", "Unavailable"])
async def test_other_values_are_undecided_at_the_deadline(value: str) -> None:
    it = bench()
    it.world.pop[CAS1].values[SLOW] = value
    assert (await it.drive(Verify(), "verify")).outcome == "undecided"


async def test_a_stale_row_is_never_healthy_and_never_unhealthy() -> None:
    it = bench()
    it.world.pop[CAS1].stale.add(SLOW)
    assert (await it.drive(Verify(), "verify")).outcome == "undecided"
    it.world.pop[CAS1].ills = [Ill(SLOW)]
    assert (await it.drive(Verify(), "verify")).outcome == "undecided"


async def test_what_cannot_be_read_is_a_gap_in_remaining_healthy() -> None:
    it = bench()
    memo = await it.until(Verify(), {}, 2.5)
    assert "healthy_since" in memo
    it.world.befall("server_health", *[Mishap.GARBAGE] * 2)  # two peers are asked in one look
    began = it.clock.now()
    assert (await it.drive(Verify(), "verify", memo)).outcome == "healthy"
    assert it.clock.now() - began >= timedelta(minutes=3)


SIGHTS = st.lists(st.tuples(st.sampled_from(Sight), st.integers(1, 200)), min_size=1, max_size=30)


@settings(max_examples=300)
@given(SIGHTS)
def test_healthy_and_unhealthy_are_only_said_when_every_look_of_three_minutes_says_so(
    looks: list[tuple[Sight, int]],
) -> None:
    timing, now, memo = Timing(), NOON, dict[str, object]()
    seen: list[tuple[float, Sight]] = []
    at = 0
    for sight, apart in looks:
        seen.append((at, sight))
        verdict = judge_samples(memo, Look(sight, "it"), now + timedelta(seconds=at), timing)
        if isinstance(verdict, Done):
            assert_justified(verdict, seen, timing)
            return
        memo, at = dict(verdict.memo), at + apart


def assert_justified(verdict: Done, seen: list[tuple[float, Sight]], timing: Timing) -> None:
    wanted = {"healthy": Sight.HEALTHY, "unhealthy": Sight.FAILS}[verdict.outcome]
    # What could not be read says nothing against being unhealthy, and breaks having remained healthy.
    harmless = {wanted} if wanted is Sight.HEALTHY else {wanted, Sight.UNREAD}
    run = []
    for at, sight in reversed(seen):
        if sight not in harmless:
            break
        run.append((at, sight))
    agreeing = [at for at, sight in run if sight is wanted]
    assert agreeing[0] - agreeing[-1] >= timing.probe_span
    assert wanted is Sight.HEALTHY or len(agreeing) >= timing.probe_failures


async def test_the_ten_minutes_begin_when_the_monitor_turns_healthy() -> None:
    it = bench(minutes=10)
    it.world.pop[CAS1].ills = [Ill(SLOW, over_at=it.clock.now() + timedelta(minutes=6))]
    began = it.clock.now()
    done = await it.drive(WatchMonitor(), "watch_monitor")
    assert done.outcome == "healthy"
    assert timedelta(minutes=16) <= it.clock.now() - began < timedelta(minutes=17)


@pytest.mark.parametrize(
    ("value", "outcome"), [("Unhealthy", "unhealthy"), ("Repairing", "unknown"), ("Disabled", "unknown")]
)
async def test_only_a_monitor_that_stays_unhealthy_is_so_when_the_time_is_over(value: str, outcome: str) -> None:
    it = bench(minutes=10)
    it.world.pop[CAS1].values[SLOW] = value
    began = it.clock.now()
    assert (await it.drive(WatchMonitor(), "watch_monitor")).outcome == outcome
    assert it.clock.now() - began < timedelta(minutes=16)


@pytest.mark.parametrize(
    ("value", "outcome"), [("Unhealthy", "unhealthy"), ("Degraded", "unknown"), ("Disabled", "unknown")]
)
async def test_a_monitor_that_leaves_healthy_must_say_unhealthy_for_three_minutes_to_count_as_such(
    value: str, outcome: str
) -> None:
    it = bench(minutes=10)
    memo = await it.until(WatchMonitor(), {}, 9)
    it.world.pop[CAS1].values[SLOW] = value
    began = it.clock.now()
    assert isinstance(await it.look(WatchMonitor(), memo), Again), "one look decides nothing: a reboot may follow"
    assert (await it.drive(WatchMonitor(), "watch_monitor", memo)).outcome == outcome
    assert it.clock.now() - began >= timedelta(minutes=3)


async def test_what_could_not_be_seen_has_not_remained_so_the_minutes_begin_again() -> None:
    it = bench(minutes=10)
    memo: Json = await it.until(WatchMonitor(), {}, 9)
    it.world.befall("server_health", *[Mishap.UNREACHABLE] * 2)
    began = it.clock.now()
    assert (await it.drive(WatchMonitor(), "watch_monitor", memo)).outcome == "healthy"
    assert it.clock.now() - began >= timedelta(minutes=10)


async def test_a_monitor_that_leaves_healthy_behind_what_could_not_be_seen_is_unhealthy_too() -> None:
    it = bench(minutes=10)
    memo: Json = await it.until(WatchMonitor(), {}, 9)
    it.world.befall("server_health", *[Mishap.GARBAGE] * 2)
    it.world.pop[CAS1].values[SLOW] = "Unhealthy"
    done = await it.drive(WatchMonitor(), "watch_monitor", memo)
    assert (done.outcome, "did not remain healthy" in done.detail) == ("unhealthy", True)


@pytest.mark.parametrize(("mishap", "outcome"), [(Mishap.GARBAGE, "unknown"), (Mishap.UNREACHABLE, "unreachable")])
async def test_a_monitor_that_cannot_be_read_is_neither(mishap: Mishap, outcome: str) -> None:
    it = bench(minutes=10)
    it.world.befall("server_health", *[mishap] * 500)
    assert (await it.drive(WatchMonitor(), "watch_monitor")).outcome == outcome
