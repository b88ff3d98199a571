"""The crash test in small: two branches, killed once at a point of each kind. `make chaos` does it at every point.

The daemon is the real one, and dies by a real SIGKILL; see doomed.py for how, and points.py for what a point is.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.chaos.branches import Branch, branches
from tests.chaos.judge import judge
from tests.chaos.points import Point, distinct
from tests.chaos.world import Nursery, Played, play

AT_ONCE = 2  #: worlds side by side: they wait more than they work

#: A service is restarted, and that heals: what was in course, and where it was killed.
RESTART = (
    ("ingested", "before"),
    ("ingested", "after"),
    ("published events", "after"),
    ("emitted intent", "after"),
    ("restart sent", "commanded"),
    ("restart sent", "sent"),
    ("outcome restart done", "before"),
)
#: Databases are moved away, the server is rebooted, and activation allowed again.
REBOOT = (
    ("reboot.reboot intended", "after"),
    ("reboot.reboot sent", "carried out"),
    ("undo.resolved sent", "carried out"),
)


@pytest.fixture
def nurseries() -> Iterator[asyncio.Queue[Nursery]]:
    """As many daemons as may run at once."""
    all_of_them = [Nursery() for _ in range(AT_ONCE)]
    free: asyncio.Queue[Nursery] = asyncio.Queue()
    for each in all_of_them:
        free.put_nowait(each)
    yield free
    for each in all_of_them:
        each.close()


async def run(directory: Path, branch: Branch, at: str, free: asyncio.Queue[Nursery]) -> Played:
    nursery = await free.get()
    try:
        return await play(directory, branch.scenarios, at, nursery)
    finally:
        free.put_nowait(nursery)


def chosen(points: Sequence[Point], wanted: Sequence[tuple[str, str]]) -> list[Point]:
    found = {(point.what, point.side): point for point in reversed(distinct(points))}
    return [found[each] for each in wanted]


async def compare(directory: Path, shows: str, wanted: Sequence[tuple[str, str]], free: asyncio.Queue[Nursery]) -> None:
    """One branch undisturbed, and with each of these kills."""
    (branch,) = [branch for branch in branches() if branch.shows == shows]
    undisturbed = await run(directory / "undisturbed", branch, "", free)
    assert [*undisturbed.wrong, *judge(undisturbed.facts, undisturbed.facts)] == []
    points = chosen(undisturbed.points, wanted)
    played = await asyncio.gather(
        *(run(directory / str(number), branch, point.name, free) for number, point in enumerate(points))
    )
    for point, each in zip(points, played, strict=True):
        assert each.died, f"it did not come to {point.name}"
        assert judge(undisturbed.facts, each.facts) == [], point.name


async def test_killed_at_a_point_of_each_kind_nothing_is_lost_and_nothing_done_twice(
    tmp_path: Path, nurseries: asyncio.Queue[Nursery]
) -> None:
    await asyncio.gather(
        compare(tmp_path / "reboot", "reboot_cures at mbx4", REBOOT, nurseries),
        compare(tmp_path / "restart", "restart_cures at mbx1", RESTART, nurseries),
    )
