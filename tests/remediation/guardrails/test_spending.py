"""No schedule of incidents, deaths, lost answers and operators makes more happen than a budget allows."""

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config.guardrails import Budgets
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import IncidentStatus
from daemon.remediation.guardrails.budgets import limits
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from statemachines.actions import Disruption
from tests.remediation.world import ALONE, DAG, Crash, Daemon, Mishap, World, inventory

BUDGETS = Budgets(
    ladders_a_day_server=3,
    restarts_a_day_server=2,
    moves_an_hour_server=1,
    moves_a_day_dag=2,
    moves_a_day_fleet=3,
    reboots_in_12_hours_server=1,
    reboots_a_day_dag=2,
    reboots_a_day_site=2,
    reboots_a_day_fleet=3,
)
WHAT = {"restart": Disruption.RESTART, "stop_activation": Disruption.MOVE, "reboot": Disruption.REBOOT}
SCRIPTS = ("restart_service", "set_activation", "reboot")
FLEET = inventory()

falls_ill = st.tuples(st.just("falls ill"), st.sampled_from([*DAG, ALONE]), st.sampled_from(["restart", "reboot", ""]))
goes_wrong = st.tuples(st.just("goes wrong"), st.sampled_from(SCRIPTS), st.sampled_from(list(Mishap)))
ordered = st.tuples(st.sampled_from(["close", "close", "release", "undo"]), st.integers(0, 5), st.just(""))
happenings = st.one_of(falls_ill, falls_ill, goes_wrong, ordered)


class Watched:
    """What was done on the servers, and when; each is held against all ceilings as it happens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._world = World(ManualClock())
        self._store = MemoryStore()
        self._done: list[tuple[datetime, Disruption, str]] = []
        self.daemon: Daemon

    async def start(self, ids: int = 0) -> None:
        """The daemon, for the first time or after its death; real ids never repeat."""
        if not ids:
            await self._store.open()
        self.daemon = Daemon(self._world, self._store, self._folder, budgets=BUDGETS)
        self.daemon._ids = ids  # noqa: SLF001 - see above

    async def turns_for(self, span: timedelta) -> None:
        clock = self._world.clock
        until = clock.now() + span
        while (due := await self._store.next_due()) is not None and due <= until:
            before = len(self._world.effects)
            try:
                await self.daemon.turn()
            except Crash:
                await self.start(self.daemon._ids)  # noqa: SLF001 - goes on counting
            for what, server in self._world.effects[before:]:
                if what in WHAT:
                    self._within_every_ceiling(clock.now(), WHAT[what], server)
        clock.advance(max(0.0, (until - clock.now()).total_seconds()))

    def _within_every_ceiling(self, now: datetime, what: Disruption, name: str) -> None:
        self._done.append((now, what, name))
        here = FLEET.find(name)
        assert here is not None
        for limit in limits(what, here, FLEET, BUDGETS, now):
            same = [
                at for at, each, where in self._done if each is what and where in limit.servers and at > limit.since
            ]
            assert limit.of_ladders or len(same) <= limit.most, f"{len(same)} {limit.what}, {limit.most} are allowed"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(20, 200), happenings), min_size=8, max_size=20))
def test_no_schedule_makes_more_happen_than_a_budget_allows(
    schedule: Sequence[tuple[int, tuple[str, str | int, str | Mishap]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_played(schedule, Path(folder)))


async def _played(schedule: Sequence[tuple[int, tuple[str, str | int, str | Mishap]]], folder: Path) -> None:
    night = Watched(folder)
    await night.start()
    for minutes, (what, whom, how) in schedule:
        await night.turns_for(timedelta(minutes=minutes))
        world, daemon = night.daemon.world, night.daemon
        if what == "falls ill":
            world.hosts[str(whom)].sick, world.hosts[str(whom)].cured_by = True, str(how)
            await daemon.alert(str(whom))
        elif isinstance(how, Mishap):
            world.befall(str(whom), how)
        else:
            await _ordered(daemon, what, int(whom))
    await night.turns_for(timedelta(hours=30))


async def _ordered(daemon: Daemon, command: str, which: int) -> None:
    """An operator's command, about one of those that it can be about."""
    subjects = [each.server for each in await daemon.store.quarantines()]
    if command != "release":
        known = await daemon.store.incidents()
        subjects = [each.id for each in known if each.latched or each.status is IncidentStatus.OPEN]
    if subjects:
        about = subjects[which % len(subjects)]
        with contextlib.suppress(OperatorError):  # nothing is left to be undone
            request = {"command": command, "reason": "", "server": about, "incident": about}
            await daemon.operators.carry_out("ada", request)
