"""Who is asked about a server: a quarantined, claimed or silent one only when nobody else can answer."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.config.guardrails import ActionClass, ModeRule, Safety
from daemon.domain.commits import Commit, GuardChanges
from daemon.domain.incidents import IncidentStatus, Quarantine
from daemon.domain.ports import Call, Permit, Reply, ReplyKind
from daemon.domain.verdicts import Mode
from daemon.exchange.launch import ON_THEIR_OWN
from daemon.exchange.silences import LASTS, AttentiveShell
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from daemon.testing.scripted_shell import Answer, Failed, Lost, Ok, ScriptedShell, Unreachable
from tests.remediation.pop_world import CTP, PopDaemon, PopWorld
from tests.remediation.world import ALONE, CAS1, CAS2, MBX1, MBX2, MBX3, Daemon, Mishap, World, inventory

HERE = next(server for server in inventory() if server.name == MBX1)
#: The one that is asked about mbx1 if nothing speaks against it.
FIRST = inventory().peers(HERE)[0].name
#: Who is asked first may be a member of its DAG, and one that is worked on forbids a move and a reboot here.
alone_first = pytest.mark.usefixtures("alone_is_asked_first")


async def quarantine(daemon: Daemon, *servers: str) -> None:
    """Quarantine servers, and listen from now on. A quarantine names a step, so the first turn was taken before."""
    step, now = (await daemon.steps())[0], daemon.clock.now()
    for server in servers:
        held = Quarantine(server=server, incident_id="i1", step_id=step.id, reason="an answer was lost", since=now)
        await daemon.store.commit(Commit(at=now, guards=GuardChanges(quarantine=held)))
    daemon.world.calls.clear()


def executors(daemon: Daemon) -> set[str]:
    """Who was asked about another server, or acted on one."""
    return {call.executor for call in daemon.world.calls if call.script not in ON_THEIR_OWN}


@alone_first
async def test_no_turn_relies_on_a_quarantined_server_while_others_can_answer(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick, daemon.world.hosts[MBX1].cured_by = True, "reboot"
    for script in ("restart_service", "set_activation", "reboot"):
        daemon.world.befall(script, Mishap.ANSWER_LOST)
    await daemon.alert(MBX1)
    await daemon.turn()
    await quarantine(daemon, ALONE)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert "set_activation" in {call.script for call in daemon.world.calls}, "reads, effects and settling: all of them"
    assert ALONE not in executors(daemon)


@alone_first
async def test_nor_does_the_watch_of_an_escalated_incident(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    await quarantine(daemon, ALONE)
    daemon.world.hosts[MBX1].sick = False
    await daemon.drive(lambda incident: not incident.latched, turns=3)
    assert executors(daemon)
    assert ALONE not in executors(daemon)


@alone_first
async def test_nor_does_the_evidence_that_may_lift_a_quarantine(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    await daemon.drive(lambda incident: incident.state == "reboot.reboot")
    await quarantine(daemon, ALONE)
    daemon.world.befall("reboot", Mishap.VANISHED)
    daemon.world.befall("step_running", *[Mishap.UNREACHABLE] * 500)
    assert (await daemon.drive()).status is IncidentStatus.ESCALATED
    daemon.world.mishaps.clear()
    daemon.world.calls.clear()
    await daemon.turn()
    assert await daemon.store.quarantine(MBX1) is None
    assert ALONE not in executors(daemon)


@alone_first
async def test_nor_does_the_last_look_at_a_server_that_a_mode_kept_us_from(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    modes = (ModeRule(mode=Mode.OBSERVE, servers=(MBX1,), actions=(ActionClass.MOVE,)),)
    safety = Safety(auto_tags=("auto",), modes=modes)
    daemon = Daemon(World(ManualClock()), store, tmp_path, inventory(), safety)
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    await daemon.turn()
    await quarantine(daemon, ALONE)
    await daemon.drive(lambda incident: bool(incident.recommended))
    daemon.world.hosts[MBX1].sick = False
    await daemon.drive()
    assert "database_copies" in {call.script for call in daemon.world.calls if call.step_id.endswith("-look")}
    assert ALONE not in executors(daemon)
    await store.close()


async def test_when_all_others_are_quarantined_they_are_asked_all_the_same(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    await daemon.alert(MBX1)
    await daemon.turn()
    await quarantine(daemon, ALONE, CAS1, CAS2, MBX2, MBX3)
    daemon.world.hosts[MBX1].sick = False
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED


async def test_a_silent_server_is_not_asked_first_again_until_some_minutes_have_passed(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].sick = True
    daemon.world.hosts[FIRST].up_at = daemon.clock.now() + timedelta(days=1)
    await daemon.alert(MBX1)
    began = daemon.clock.now()
    times: list[timedelta] = []
    while daemon.clock.now() - began < 4 * LASTS:
        before = len(daemon.world.calls)
        await daemon.turn()
        asked = [call.executor for call in daemon.world.calls[before:] if call.script not in ON_THEIR_OWN]
        if FIRST in asked:
            assert asked.count(FIRST) == 1, "nor twice within a turn"
            times.append(daemon.clock.now() - began)
    assert len(times) >= 2, "it is forgotten, so it is asked again"
    assert all(later - earlier >= LASTS for earlier, later in pairwise(times))


async def test_a_neighbour_that_does_not_answer_is_not_taken_for_one_that_is_worked_on(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = PopDaemon(PopWorld(ManualClock()), store, tmp_path)
    for silent in (ALONE, CAS2):  # both are asked first about cas1
        daemon.world.hosts[silent].up_at = daemon.clock.now() + timedelta(days=1)
    await daemon.sick(CTP, "reboot")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, "what Exchange says of cas2, through others, is what counts"
    assert "reboot" in daemon.did(CAS1)
    await store.close()


UNOPENED = [
    ("no_session", "Opening the Microsoft.Exchange session: the server returned 503"),
    ("second_hop", "Opening the Microsoft.Exchange session: a specified logon session does not exist"),
    ("denied", "Opening the Microsoft.Exchange session: Access is denied."),
    ("broken", "You cannot call a method on a null-valued expression."),
]


@pytest.mark.parametrize("opens", UNOPENED, ids=[kind for kind, _ in UNOPENED])
async def test_a_peer_that_opens_no_session_costs_calls_but_no_step(daemon: Daemon, opens: tuple[str, str]) -> None:
    daemon.world.hosts[MBX1].sick, daemon.world.hosts[MBX1].cured_by = True, "reboot"
    daemon.world.hosts[FIRST].opens = opens
    await daemon.alert(MBX1)
    began = daemon.clock.now()
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    asked = [call.executor for call in daemon.world.calls if call.script not in ON_THEIR_OWN]
    most = 2 * ((daemon.clock.now() - began) // LASTS + 1)  # two questions at a time
    assert 0 < asked.count(FIRST) <= most, "it is asked last until some minutes have passed"


@pytest.mark.parametrize("opens", UNOPENED, ids=[kind for kind, _ in UNOPENED])
@pytest.mark.parametrize("script", ["set_activation", "reboot"])
async def test_an_effect_whose_executor_opens_no_session_any_more_goes_through_another(
    daemon: Daemon, opens: tuple[str, str], script: str
) -> None:
    daemon.world.hosts[MBX1].sick, daemon.world.hosts[MBX1].cured_by = True, "reboot"
    shut: list[str] = []
    run = daemon.world.run

    async def shuts(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == script and not shut:
            shut.append(call.executor)
            daemon.world.hosts[call.executor].opens = opens
        return await run(call, permit)

    daemon.world.run = shuts  # type: ignore[method-assign]
    await daemon.alert(MBX1)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    first, second = [call for call in daemon.world.calls if call.script == script][:2]
    assert [first.executor] == shut
    assert second.executor != first.executor


@pytest.mark.parametrize("opens", UNOPENED, ids=[kind for kind, _ in UNOPENED])
async def test_what_needs_no_session_does_not_end_what_is_known_of_sessions(
    scripted: ScriptedShell, opens: tuple[str, str]
) -> None:
    shell = AttentiveShell(scripted, ManualClock())
    scripted.queue(MBX1, "server_health", Failed(*opens), Ok({}))
    scripted.always(MBX1, "server_state", Ok({}))
    await shell.run(call(MBX1, "server_health"))
    await shell.run(call(MBX1))
    assert shell.silent() == {MBX1}
    await shell.run(call(MBX1, "server_health"))
    assert shell.silent() == frozenset()


def call(executor: str, script: str = "server_state") -> Call:
    return Call(executor=executor, script=script, args={}, step_id="i1-01", timeout=60.0, read_only=True)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedShell]:
    shell = ScriptedShell(ManualClock())
    yield shell
    await shell.close()


@pytest.mark.parametrize("answer", [Unreachable(), Lost()])
@pytest.mark.parametrize("later", [Ok({}), Failed("denied")])
async def test_any_answer_ends_a_silence(scripted: ScriptedShell, answer: Answer, later: Answer) -> None:
    shell = AttentiveShell(scripted, ManualClock())
    scripted.queue(MBX1, "server_state", answer, later)
    await shell.run(call(MBX1))
    assert shell.silent() == {MBX1}
    await shell.run(call(MBX1))
    assert shell.silent() == frozenset()


async def test_a_silence_is_forgotten_after_some_minutes(scripted: ScriptedShell) -> None:
    clock = ManualClock()
    shell = AttentiveShell(scripted, clock)
    scripted.always(MBX1, "server_state", Unreachable())
    assert (await shell.run(call(MBX1))).kind is ReplyKind.UNREACHABLE
    clock.advance(LASTS.total_seconds() - 1)
    assert shell.silent() == {MBX1}
    clock.advance(1)
    assert shell.silent() == frozenset()
