"""What settles a lost restart or reboot, and what must not: process ids come again, and clocks are set back."""

from datetime import timedelta

import pytest

from daemon.domain.incidents import Step
from daemon.domain.values import Json, timestamp
from daemon.remediation.actions.contract import Again, Done, EffectAction, Withdrawn
from daemon.remediation.actions.reboot import Reboot
from daemon.remediation.actions.restart import RestartService
from statemachines.actions import Effect
from tests.remediation.actions.bench import Bench
from tests.remediation.pop_world import BACK
from tests.remediation.world import MBX1, MBX2

HOUR = timedelta(hours=1)


def bench() -> Bench:
    return Bench(server=MBX1, params={"service": BACK})


def step(world: Bench, executor: str, baseline: Json) -> Step:
    """One that can no longer begin; `baseline` was read an hour ago, on the clock of mbx1."""
    return Step(
        id="i1-01",
        incident_id="i1",
        number=1,
        state="it",
        action="it",
        effect=Effect.DISRUPTIVE,
        server=MBX1,
        executor=executor,
        baseline={"not_after": timestamp(world.clock.now() - HOUR), **baseline},
        started_at=world.clock.now() - HOUR,
        deadline_at=world.clock.now() + HOUR,
    )


async def settled(world: Bench, action: EffectAction, executor: str, baseline: Json) -> Done | Again | Withdrawn:
    return await action.settle(world.context(), step(world, executor, baseline))


@pytest.mark.parametrize(
    ("pid", "began", "expected"),
    [
        (100, timedelta(0), Withdrawn),  # the very same
        (100, HOUR, Done),  # newer, with the id of the old one
        (101, HOUR, Done),
        (101, -HOUR, Again),  # it is another process, and its start is before the old one's: the clock was set back
        (100, -HOUR, Again),
        (101, timedelta(0), Again),
    ],
)
async def test_only_a_process_that_began_later_proves_a_restart_and_only_the_same_one_disproves_it(
    pid: int, began: timedelta, expected: type
) -> None:
    world = bench()
    host = world.world.hosts[MBX1]
    assert host.service_since is not None
    before = host.service_since + host.skew
    host.pid, host.service_since = pid, host.service_since + began
    baseline = {"pid": 100, "started_at": timestamp(before), "clock": timestamp(world.world.local(MBX1) - HOUR)}
    assert isinstance(await settled(world, RestartService(), MBX1, baseline), expected)


@pytest.mark.parametrize(("ago", "expected"), [(timedelta(minutes=5), Done), (2 * HOUR, Again)])
async def test_where_nothing_ran_before_a_process_must_have_begun_after_the_intent(
    ago: timedelta, expected: type
) -> None:
    world = bench()
    world.world.hosts[MBX1].service_since = world.clock.now() - ago
    baseline = {"pid": 0, "started_at": None, "clock": timestamp(world.world.local(MBX1) - HOUR)}
    assert isinstance(await settled(world, RestartService(), MBX1, baseline), expected)


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        (timedelta(0), Withdrawn),
        (timedelta(seconds=2), Withdrawn),  # Windows reckons it from a clock that is being corrected
        (-2 * HOUR, Again),
        (2 * HOUR, Again),  # later than the old boot, and not later than the intent
        (timedelta(days=3), Done),
    ],
)
async def test_only_the_same_boot_time_disproves_a_reboot(moved: timedelta, expected: type) -> None:
    world = bench()
    host = world.world.hosts[MBX1]
    assert host.booted is not None
    before = host.booted + host.skew
    host.booted += moved
    baseline = {"boot_time": timestamp(before), "since": timestamp(world.world.local(MBX1) - HOUR)}
    assert isinstance(await settled(world, Reboot(), MBX2, baseline), expected)


async def test_a_server_that_does_not_say_whether_a_restart_was_asked_for_disproves_none() -> None:
    world = bench()
    host = world.world.hosts[MBX1]
    assert host.booted is not None
    host.restarts_readable = False
    since = timestamp(world.world.local(MBX1) - HOUR)
    baseline = {"boot_time": timestamp(host.booted + host.skew), "since": since}
    assert isinstance(await settled(world, Reboot(), MBX2, baseline), Again)
