"""The ladder of PopCTPMonitor, healed and escalated at each rung; its protocol log is off again on every way out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.domain.commits import Channel
from daemon.domain.incidents import IncidentStatus, UndoStatus
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from statemachines.actions import Effect
from tests.remediation.pop_world import BACK, CTP, DEEP, FRONT, Ill, PopDaemon, PopWorld
from tests.remediation.world import CAS1, CAS2, MBX2, MBX3, Mishap

RESTART = f"restart {FRONT}"
LOGGED = [RESTART, "log on", RESTART]
OFF = ["log off", RESTART]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[PopDaemon]:
    store = MemoryStore()
    await store.open()
    yield PopDaemon(PopWorld(ManualClock()), store, tmp_path)
    await store.close()


async def is_clean(daemon: PopDaemon) -> None:
    """Nothing is left changed or claimed, and no other CAS was touched."""
    assert not daemon.world.pop[CAS1].log
    assert not daemon.world.pop[CAS1].logging, "the service still writes the log"
    assert all(item.status is UndoStatus.DONE for item in await daemon.store.undo_items("i1"))
    assert await daemon.store.claim_holder(CAS1) is None
    assert daemon.did(CAS2) == []


async def test_healed_by_the_first_restart(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "restart")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did() == [RESTART]
    await is_clean(daemon)


async def test_healed_by_the_second_restart_and_the_log_is_off_before_it_is_verified_last(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "restart", restarts=2)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did() == [*LOGGED, *OFF]
    steps = await daemon.steps()
    assert (steps[-1].state, steps[-1].outcome) == ("confirm", "healthy")
    undone = [step for step in steps if step.action == "undo"]
    assert [step.effect for step in undone] == [Effect.IDEMPOTENT, Effect.DISRUPTIVE]
    await is_clean(daemon)


@pytest.mark.parametrize("backends", [(MBX2,), ()])
async def test_healed_by_the_reboot_if_the_mailbox_servers_are_well_or_the_log_names_none(
    daemon: PopDaemon, backends: tuple[str, ...]
) -> None:
    daemon.world.pop[CAS1].backends = backends
    await daemon.sick(CTP, "reboot")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did() == [*LOGGED, "log off", "reboot"]
    traced = next(step for step in await daemon.steps() if step.action == "find_backends")
    assert traced.outcome == ("found" if backends else "none")
    assert traced.result.get("servers", []) == list(backends), "not the server of another user's session"
    await is_clean(daemon)


async def test_a_sick_mailbox_server_is_healed_by_its_own_ladder_while_this_one_holds_nothing(
    daemon: PopDaemon,
) -> None:
    daemon.world.pop[CAS1].backends = (MBX2, MBX3)
    daemon.world.pop[MBX2].ills.append(Ill(DEEP, "restart"))
    await daemon.sick(CTP, MBX2)
    parent = await daemon.drive(lambda incident: incident.state == "child")
    assert daemon.did() == [*LOGGED, *OFF], "put back before it waits"
    assert await daemon.store.claim_holder(CAS1) is None
    await is_clean(daemon)
    parent = await daemon.drive()
    assert parent.status is IncidentStatus.RESOLVED, parent.reason
    child = await daemon.incident(2)
    assert (child.server, child.monitor, child.parent) == (MBX2, DEEP, "i1")
    assert daemon.did(MBX2) == [f"restart {BACK}"]
    assert daemon.did() == [*LOGGED, *OFF]


async def test_a_mailbox_server_that_cannot_be_healed_escalates_and_the_cas_is_not_rebooted(daemon: PopDaemon) -> None:
    daemon.world.pop[CAS1].backends = (MBX2,)
    daemon.world.pop[MBX2].ills.append(Ill(DEEP))
    await daemon.sick(CTP, MBX2)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("child: not_healed")
    assert daemon.did() == [*LOGGED, *OFF]
    await is_clean(daemon)


async def test_a_healed_mailbox_server_that_did_not_help_here_goes_on_to_the_reboot(daemon: PopDaemon) -> None:
    daemon.world.pop[CAS1].backends = (MBX2,)
    daemon.world.pop[MBX2].ills.append(Ill(DEEP, "restart"))
    await daemon.sick(CTP, "reboot")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did() == [*LOGGED, *OFF, "reboot"]
    await is_clean(daemon)


async def test_what_nothing_cures_escalates_after_the_reboot_with_the_log_off(daemon: PopDaemon) -> None:
    await daemon.sick(CTP)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("final: unhealthy")
    assert daemon.did() == [*LOGGED, "log off", "reboot"]
    await is_clean(daemon)


async def test_a_log_that_somebody_else_switched_on_is_left_on(daemon: PopDaemon) -> None:
    daemon.world.pop[CAS1].log = True
    await daemon.sick(CTP, "reboot")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did() == [RESTART, RESTART, "reboot"]
    assert daemon.world.pop[CAS1].log
    assert await daemon.store.undo_items("i1") == []


async def test_a_log_that_somebody_else_switched_off_meanwhile_is_as_it_was_and_the_service_is_restarted(
    daemon: PopDaemon,
) -> None:
    await daemon.sick(CTP, "restart", restarts=2)
    await daemon.drive(lambda incident: incident.state == "logged")
    daemon.world.pop[CAS1].log = False
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert daemon.did() == [*LOGGED, RESTART]
    await is_clean(daemon)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ({"truncated": True}, "more rows than were sent"),
        ({"files": 0}, "there is no log file"),
        ({"columns": ["user", "weather"]}, "has no column context or parameters"),
        ({"backends": ("other.example.org",)}, "names other.example.org, which the inventory does not have"),
    ],
)
async def test_a_log_that_tells_nothing_certain_escalates_and_reboots_nothing(
    daemon: PopDaemon, spoil: dict[str, object], why: str
) -> None:
    pop = daemon.world.pop[CAS1]
    pop.backends = (MBX2,)
    for name, value in spoil.items():
        setattr(pop, name, value)
    await daemon.sick(CTP, "reboot")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("trace: unknown")
    assert why in incident.reason
    assert daemon.did() == [*LOGGED, *OFF]
    await is_clean(daemon)


@pytest.mark.parametrize("state", ["log_on", "restart_logging", "logged", "trace", "backend", "reboot.copies", "final"])
async def test_an_operator_may_close_it_anywhere_and_the_log_is_off_and_the_service_restarted(
    daemon: PopDaemon, state: str
) -> None:
    daemon.world.pop[CAS1].backends = (MBX2,)
    await daemon.sick(CTP)
    await daemon.drive(lambda incident: incident.state == state)
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.CANCELLED
    if "log on" in daemon.did():
        began_while_on = state not in ("log_on", "restart_logging", "final")
        assert daemon.did()[3:] == (["log off", "reboot"] if state == "final" else OFF if began_while_on else [])
        assert ("log off" in daemon.did()) or state == "log_on"
    await is_clean(daemon)


#: What is sent, in order: restart, log on, restart, log off, reboot.
SENT = ("restart_service", "set_protocol_log", "restart_service", "set_protocol_log", "reboot")


@pytest.mark.parametrize("mishap", [Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER, Mishap.ANSWER_LOST, Mishap.VANISHED])
@pytest.mark.parametrize("number", range(len(SENT)))
async def test_a_death_or_a_lost_answer_at_any_send_repeats_nothing_and_leaves_nothing(
    daemon: PopDaemon, number: int, mishap: Mishap
) -> None:
    await daemon.sick(CTP, "reboot")
    while len(daemon.did()) < number:
        await daemon.turn()
    daemon.world.befall(SENT[number], mishap)
    incident = await daemon.outlive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert daemon.did() == [*LOGGED, "log off", "reboot"]
    await is_clean(daemon)


@pytest.mark.parametrize("state", ["park", "child", "recheck"])
async def test_an_operator_may_close_it_around_its_parking_and_nothing_is_left(daemon: PopDaemon, state: str) -> None:
    daemon.world.pop[CAS1].backends = (MBX2,)
    daemon.world.pop[MBX2].ills.append(Ill(DEEP, "restart"))
    await daemon.sick(CTP, MBX2)
    await daemon.drive(lambda incident: incident.state == state)
    await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    assert (await daemon.drive()).status is IncidentStatus.CANCELLED
    assert daemon.did() == [*LOGGED, *OFF]
    await is_clean(daemon)
    await daemon.settle_down()
    if state == "recheck":
        assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED


HARMLESS = [Mishap.UNREACHABLE, Mishap.ANSWER_LOST, Mishap.VANISHED, Mishap.GARBAGE, Mishap.FAILED]
DEADLY = [Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER]
SCRIPTS = [*dict.fromkeys(SENT), "pop_settings", "protocol_log", "server_state", "server_health", "invoke_probe"]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cure=st.tuples(st.sampled_from(["restart", "reboot", MBX2, ""]), st.integers(1, 2)),
    sick_backend=st.booleans(),
    close_in=st.sampled_from(["", "restart_logging", "logged", "trace", "park", "child", "final", "undo.escalated"]),
    mishaps=st.lists(
        st.tuples(st.sampled_from([*SCRIPTS, "step_running"]), st.sampled_from(HARMLESS + DEADLY), st.integers(1, 80)),
        max_size=8,
    ),
)
async def test_whatever_befalls_the_log_is_off_and_the_service_restarted_or_it_is_said_what_is_left(
    tmp_path: Path,
    cure: tuple[str, int],
    sick_backend: bool,
    close_in: str,
    mishaps: list[tuple[str, Mishap, int]],
) -> None:
    store = MemoryStore()
    await store.open()
    daemon = PopDaemon(PopWorld(ManualClock()), store, tmp_path)
    daemon.world.pop[CAS1].backends = (MBX2,)
    daemon.world.pop[MBX2].ills = [Ill(DEEP, "restart")] if sick_backend else []
    for script, mishap, times in mishaps:
        daemon.world.befall(script, *[mishap] * (1 if mishap in DEADLY else times))
    await daemon.sick(CTP, cure[0], restarts=cure[1])
    incident = await daemon.outlive(lambda now: now.status is not IncidentStatus.OPEN or now.state == close_in)
    if incident.status is IncidentStatus.OPEN:
        await daemon.operators.carry_out("ada", {"command": "close", "incident": "i1"})
    incident = await daemon.outlive()
    assert incident.status is not IncidentStatus.OPEN
    items = await store.undo_items("i1")
    left = {item.setting for item in items if item.status is UndoStatus.LEFT}
    assert all(item.status is not UndoStatus.PENDING for item in items)
    pop = daemon.world.pop[CAS1]
    assert not pop.log or "protocol_log" in left, "the log is on, and nobody was told"
    assert not pop.logging or left, "the service still writes the log, and nobody was told"
    assert incident.status is not IncidentStatus.RESOLVED or not left
    assert daemon.did().count("reboot") <= 1
    assert daemon.did().count("log on") <= 1
    assert daemon.did(CAS2) == []
    assert await store.claim_holder(CAS1) is None
    await store.close()


async def test_a_restart_on_the_way_out_of_which_nothing_can_be_told_quarantines_the_server(daemon: PopDaemon) -> None:
    await daemon.sick(CTP, "restart", restarts=2)
    await daemon.drive(lambda _: "log off" in daemon.did())
    daemon.world.befall("restart_service", Mishap.VANISHED)
    daemon.world.befall("step_running", *[Mishap.UNREACHABLE] * 500)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert await daemon.store.quarantine(CAS1) is not None
    left = [item for item in await daemon.store.undo_items("i1") if item.status is UndoStatus.LEFT]
    assert [item.setting for item in left] == ["pop_restart"]
    (page,) = await daemon.store.outbox(Channel.NOTIFY, 10)
    assert f"Invoke-Command -ComputerName {CAS1} {{ Restart-Service {FRONT} }}" in str(page.message.body["text"])
    daemon.world.mishaps.clear()
    await daemon.turn()
    assert await daemon.store.quarantine(CAS1) is None, "evidence that turns up later lifts it"


async def test_a_log_that_cannot_be_switched_off_is_told_and_the_service_is_not_restarted_for_nothing(
    daemon: PopDaemon,
) -> None:
    await daemon.sick(CTP)
    await daemon.drive(lambda incident: incident.state == "quiet")
    daemon.world.befall("set_protocol_log", *[Mishap.FAILED] * 9)
    done = list(daemon.did())
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert daemon.did() == done
    left = {item.setting: item.status for item in await daemon.store.undo_items("i1")}
    assert left == {"protocol_log": UndoStatus.LEFT, "pop_restart": UndoStatus.LEFT}
    (page,) = await daemon.store.outbox(Channel.NOTIFY, 10)
    assert f"Set-PopSettings -Server {CAS1} -ProtocolLogEnabled $false" in str(page.message.body["text"])
