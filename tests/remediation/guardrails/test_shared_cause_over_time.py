"""The same problem on several servers at once: nothing disruptive is done until too few of them have it."""

import asyncio
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config.guardrails import SharedCause
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.ports import Call, Permit, Reply
from daemon.remediation.guardrails import shared_cause
from daemon.remediation.guardrails.chain import PUTTING_BACK
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import ALONE, DAG, MBX1, MBX2, MBX3, Daemon, World

DEFAULT = SharedCause()  #: in this world of six servers two are enough
WITHIN = timedelta(minutes=15)


async def world_of(folder: Path, cause: SharedCause = DEFAULT, world: World | None = None) -> Daemon:
    store = MemoryStore()
    await store.open()
    return Daemon(world or World(ManualClock()), store, folder, shared_cause=cause)


async def fall_ill(daemon: Daemon, *servers: str, cured_by: str = "restart") -> None:
    for server in servers:
        daemon.world.hosts[server].sick, daemon.world.hosts[server].cured_by = True, cured_by
        await daemon.alert(server)


async def turns_for(daemon: Daemon, span: timedelta) -> None:
    """All turns that are due within a time."""
    until = daemon.clock.now() + span
    while (due := await daemon.store.next_due()) is not None and due <= until:
        await daemon.turn()


async def test_what_comes_and_goes_elsewhere_holds_nobody_before_a_look_has_found_it(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    for _ in range(3):
        await daemon.alert(MBX2)
        await turns_for(daemon, timedelta(minutes=1))
        daemon.clock.advance(60)
    daemon.world.hosts[MBX2].monitor = "Unhealthy"  # the probe passes: polled, and neither healthy nor unhealthy
    await daemon.alert(MBX2)
    await fall_ill(daemon, MBX1)
    await turns_for(daemon, timedelta(minutes=8))
    assert (await daemon.incident(4)).status is IncidentStatus.OPEN
    assert daemon.world.effects == [("restart", MBX1)]


async def test_three_servers_with_the_same_problem_are_left_alone_and_the_hold_names_them(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2, MBX3)
    await turns_for(daemon, timedelta(hours=1))
    assert daemon.world.effects == []
    held = [row.entry for row in await daemon.audit("decision")]
    assert {entry.server for entry in held} == {MBX1, MBX2, MBX3}
    (message,) = {entry.message.partition(" (cause")[0] for entry in held}
    assert message == (
        "held: PopDeepTestMonitor (POP.Protocol) ails on 3 of 6 servers within 1 min: "
        "mbx1.contoso.lab, mbx2.contoso.lab, mbx3.contoso.lab; "
        "one cause for all is more likely than 3"
    )
    assert [await daemon.store.claim_holder(server) for server in DAG] == [None, None, None]


async def test_it_ends_by_itself_and_the_last_that_is_ill_is_healed(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2, MBX3)
    await turns_for(daemon, timedelta(hours=1))
    for server in (MBX2, MBX3):
        daemon.world.hosts[server].sick = False
    await turns_for(daemon, timedelta(hours=1))
    assert daemon.world.effects == [("restart", MBX1)]
    ends = [(await daemon.incident(number)).status for number in (1, 2, 3)]
    assert ends == [IncidentStatus.RESOLVED] * 3


async def test_what_lasts_beyond_the_deadline_of_a_hold_escalates_untouched_with_the_figures(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    incident = await daemon.drive(turns=1000)
    assert incident.status is IncidentStatus.ESCALATED
    assert "PopDeepTestMonitor (POP.Protocol) ails on 2 of 6 servers" in incident.reason
    assert daemon.world.effects == []


async def test_a_restart_of_exmedic_forgets_no_shared_cause(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await turns_for(daemon, timedelta(minutes=20))
    again = Daemon(daemon.world, daemon.store, tmp_path, shared_cause=DEFAULT)
    await turns_for(again, timedelta(hours=2))
    assert daemon.world.effects == []


async def test_different_problems_are_no_shared_cause(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1)
    await daemon.alert(MBX2, "PopSelfTestMonitor")
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.world.effects == [("restart", MBX1)]


async def test_what_holds_one_monitor_of_a_server_holds_its_others_too(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    await fall_ill(daemon, MBX1, MBX2)
    await daemon.alert(MBX1, "PopSelfTestMonitor")
    daemon.world.hosts[MBX1].also = ("PopSelfTestMonitor",)
    await turns_for(daemon, timedelta(hours=1))
    assert (await daemon.incident(3)).key.monitor == "popselftestmonitor"
    assert "PopDeepTestMonitor (POP.Protocol) ails on 2 of 6" in (await daemon.incident(3)).waiting_for
    assert daemon.world.effects == []


async def test_a_monitor_that_no_runbook_handles_holds_none_that_one_does(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path)
    for server in DAG:
        await daemon.alert(server, "OwaDeepTestMonitor", "OWA.Protocol")
    await fall_ill(daemon, MBX1)
    await turns_for(daemon, timedelta(hours=1))
    assert daemon.world.effects == [("restart", MBX1)]


async def test_no_incident_disrupts_anything_before_it_has_settled(tmp_path: Path) -> None:
    daemon = await world_of(tmp_path, SharedCause(settling=1800.0))
    await fall_ill(daemon, MBX1)
    await turns_for(daemon, timedelta(seconds=1799))
    assert daemon.world.effects == []
    assert "nothing disruptive before 1800 s" in (await daemon.audit("decision"))[0].entry.message
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    (intent,) = await daemon.audit("intent")
    assert intent.entry.at - (await daemon.incident()).opened_at >= timedelta(seconds=1800)


class _SpreadsWhileFactsAreRead(World):
    """Another server falls ill between the first look of the gates and the intent."""

    daemon: Daemon | None = None

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "server_state" and self.daemon is not None:
            daemon, self.daemon = self.daemon, None
            await fall_ill(daemon, MBX2)
        return await super().run(call, permit)


async def test_a_pattern_that_shows_while_the_facts_are_read_is_not_overlooked(tmp_path: Path) -> None:
    world = _SpreadsWhileFactsAreRead(ManualClock())
    daemon = await world_of(tmp_path, world=world)
    world.daemon = daemon
    await fall_ill(daemon, MBX1)
    await turns_for(daemon, timedelta(hours=1))
    assert world.daemon is None, "it did spread"
    assert world.effects == []


def test_putting_back_is_exempt() -> None:
    assert shared_cause.held not in PUTTING_BACK


_alerts = st.lists(
    st.tuples(
        st.integers(0, 1500),  # seconds since the one before
        st.sampled_from([*DAG, ALONE]),
        st.sampled_from(["restart", "reboot", ""]),
        st.sampled_from(["falls ill", "falls ill", "is well", "restart of exmedic"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=15)
@given(_alerts)
def test_no_schedule_of_alerts_begins_a_disruptive_effect_on_a_server_of_a_shared_cause(
    schedule: Sequence[tuple[int, str, str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_held(schedule, Path(folder)))


async def _held(schedule: Sequence[tuple[int, str, str, str]], folder: Path) -> None:
    daemon = await world_of(folder)
    for seconds, server, cured_by, what in schedule:
        await _watched(daemon, timedelta(seconds=seconds))
        daemon.clock.advance(seconds)
        if what == "falls ill":
            await fall_ill(daemon, server, cured_by=cured_by)
        elif what == "is well":
            daemon.world.hosts[server].sick = False
        else:
            ids = daemon._ids  # noqa: SLF001 - the one after a restart goes on counting, as real ids never repeat
            daemon = Daemon(daemon.world, daemon.store, folder, shared_cause=DEFAULT)
            daemon._ids = ids  # noqa: SLF001 - the same
    await _watched(daemon, timedelta(hours=2))


async def _watched(daemon: Daemon, span: timedelta) -> None:
    until = daemon.clock.now() + span
    while (due := await daemon.store.next_due()) is not None and due <= until:
        held, before = _of_a_cause(daemon), len(await daemon.audit("intent"))
        await daemon.turn()
        for row in (await daemon.audit("intent"))[before:]:
            disrupts = row.entry.fields["action"] != "undo"
            assert not (disrupts and row.entry.server in held), f"{row.entry.message}, with {held}"


def _of_a_cause(daemon: Daemon) -> set[str]:
    """By the definition, without the gate: two current incidents of the monitor within the time."""
    state = daemon.store.contents
    current: list[Incident] = [state.incidents[each] for each in state.current.values()]
    return {
        each.server
        for one, other in combinations(current, 2)
        if one.key.monitor == other.key.monitor and abs(one.opened_at - other.opened_at) <= WITHIN
        for each in (one, other)
    }
