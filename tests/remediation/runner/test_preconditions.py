"""What the page forgets, on the ladder: refused and escalated with nothing done, or held and gone on with."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Call, Permit, Reply, ReplyKind
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import ALONE, CAS1, CAS2, DAG, MBX1, MBX2, MBX3, Daemon, Mishap, World, inventory

Change = Callable[[World], None]


def done(daemon: Daemon) -> list[tuple[str, str]]:
    return daemon.world.effects


async def sick_mailbox(daemon: Daemon, cured_by: str = "reboot") -> None:
    host = daemon.world.hosts[MBX1]
    host.sick, host.cured_by = True, cured_by
    await daemon.alert(MBX1)


async def sick_cas(daemon: Daemon, name: str = CAS1, cured_by: str = "reboot") -> None:
    for cas in (CAS1, CAS2):
        daemon.world.hosts[cas].also = ("PopProxyTestMonitor",)
    host = daemon.world.hosts[name]
    host.sick, host.cured_by = True, cured_by
    await daemon.alert(name, "PopProxyTestMonitor", "POP.Proxy")


def at(incident: Incident, state: str) -> bool:
    return incident.state == state or incident.status is not IncidentStatus.OPEN


def component(server: str, name: str, state: str, requester: str) -> Change:
    return lambda world: world.around[server].components.update({name: (state, requester)})


def host(server: str, name: str, value: object) -> Change:
    return lambda world: setattr(world.hosts[server], name, value)


def around(server: str, name: str, value: object) -> Change:
    return lambda world: setattr(world.around[server], name, value)


def recovered(server: str, action: str, hours: float) -> Change:
    def change(world: World) -> None:
        started = world.local(server) - timedelta(hours=hours)
        world.around[server].recovery.append((action, started, started + timedelta(minutes=1)))

    return change


def copy_is(server: str, status: str) -> Change:
    return lambda world: world.copy_status.update({("DB1", server): status})


def two_members(world: World) -> None:
    world.members = (MBX1, MBX2)


BEFORE_ANYTHING: Mapping[str, tuple[Change, str]] = {
    "roles": (around(MBX1, "client_access", True), "the server answers client_access and mailbox"),
    "site": (around(MBX1, "site", "Nantes"), "in the site Lyon, Exchange in Nantes"),
    "no site": (around(MBX1, "site", ""), "in the site Lyon, Exchange in none"),
    "offline": (component(MBX1, "ServerWideOffline", "Inactive", "Maintenance"), "requested by Maintenance: somebody"),
    "transport": (
        component(MBX1, "HubTransport", "Draining", "Maintenance"),
        "HubTransport on mbx1.contoso.lab is Dra",
    ),
    "node": (around(MBX1, "node", "Paused"), "the cluster node of mbx1.contoso.lab is Paused"),
    "dag maintenance": (around(MBX1, "in_maintenance", True), "lists mbx1.contoso.lab as in maintenance"),
    "flag": (host(MBX1, "blocked", True), "activation is already blocked on mbx1.contoso.lab, not by this incident"),
    "policy": (host(MBX1, "policy", "Blocked"), "the activation policy of mbx1.contoso.lab is Blocked"),
    "start type": (host(MBX1, "start_type", "Manual"), "starts Manual, not Automatic"),
}

BEFORE_THE_MOVE: Mapping[str, tuple[Change, str]] = {
    "member down": (around(MBX2, "operational", False), "mbx2.contoso.lab of DAG1 is not operational"),
    "member in maintenance": (around(MBX3, "in_maintenance", True), "mbx3.contoso.lab of DAG1 is in maintenance"),
    "node down": (around(MBX2, "node", "Down"), "the cluster node of mbx2.contoso.lab is Down"),
    "quorum": (two_members, "without mbx1.contoso.lab, DAG1 keeps 1 of 2 votes: no quorum"),
    "replication": (around(MBX1, "failed_checks", ("ReplayService",)), "did not pass: ReplayService"),
    "seeding": (copy_is(MBX3, "Seeding"), "the copy of DB1 on mbx3.contoso.lab is being seeded from mbx1.contoso.lab"),
    "update": (
        host(MBX1, "reboot_pending", True),
        "a reboot of mbx1.contoso.lab is pending for Component Based Servic",
    ),
    "rebooted": (
        recovered(MBX1, "ForceReboot", 11),
        "Managed Availability acted on mbx1.contoso.lab already: ForceReb",
    ),
    "failed over": (recovered(MBX1, "ServerFailover", 0.5), "already: ServerFailover"),
}


@pytest.mark.parametrize("name", BEFORE_ANYTHING)
async def test_a_server_that_must_be_left_alone_is_not_even_restarted(daemon: Daemon, name: str) -> None:
    change, reason = BEFORE_ANYTHING[name]
    change(daemon.world)
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("restart: refused: ")
    assert reason in incident.reason
    assert done(daemon) == []
    (decision,) = await daemon.audit("decision")
    assert decision.entry.fields["verdict"] == "refuse"
    assert decision.entry.fields["facts"], "the figures are on record"


@pytest.mark.parametrize("name", BEFORE_THE_MOVE)
async def test_a_dag_that_cannot_spare_a_server_keeps_it(daemon: Daemon, name: str) -> None:
    change, reason = BEFORE_THE_MOVE[name]
    await sick_mailbox(daemon)
    change(daemon.world)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("reboot.move: refused: ")
    assert reason in incident.reason
    assert done(daemon) == [("restart", MBX1)]


@pytest.mark.parametrize("name", [name for name in BEFORE_THE_MOVE if name not in ("quorum", "seeding")])
async def test_what_turns_bad_after_the_move_stops_the_reboot_and_activation_is_put_back(
    daemon: Daemon, name: str
) -> None:
    change, reason = BEFORE_THE_MOVE[name]
    await sick_mailbox(daemon)
    await daemon.drive(lambda incident: at(incident, "reboot.moved"))
    change(daemon.world)
    incident = await daemon.drive()
    assert incident.reason.startswith("reboot.reboot: refused: ")
    assert reason in incident.reason
    assert [effect for effect, _ in done(daemon)] == ["restart", "stop_activation", "allow_activation"]


@pytest.mark.parametrize("script", ["exchange_server", "dag_health", "recovery_log", "database_copies", "server_state"])
@pytest.mark.parametrize(
    ("mishap", "outcome"),
    [(Mishap.UNREACHABLE, "unreachable"), (Mishap.GARBAGE, "unknown"), (Mishap.FAILED, "unknown")],
)
async def test_what_cannot_be_read_allows_nothing_and_is_asked_to_the_deadline(
    daemon: Daemon, script: str, mishap: Mishap, outcome: str
) -> None:
    daemon.world.befall(script, *[mishap] * 500)
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.reason.startswith(f"restart: {outcome}: waited since")
    assert done(daemon) == []
    assert len([call for call in daemon.world.calls if call.script == script]) > 30, "asked again and again"


@pytest.mark.parametrize("script", ["exchange_server", "dag_health", "recovery_log", "database_copies", "server_state"])
async def test_a_fact_that_is_missing_for_a_while_only_delays(daemon: Daemon, script: str) -> None:
    daemon.world.befall(script, *[Mishap.GARBAGE] * 6)
    await sick_mailbox(daemon, "restart")
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert done(daemon) == [("restart", MBX1)]


async def test_a_cluster_whose_nodes_nobody_can_see_is_left_alone(daemon: Daemon) -> None:
    daemon.world.around[MBX1].node = ""
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.reason.startswith("restart: unknown: waited since")
    assert done(daemon) == []


async def test_managed_availability_is_waited_for_and_the_problem_verified_afresh(daemon: Daemon) -> None:
    began = daemon.world.local(MBX1)
    daemon.world.around[MBX1].recovery = [("RestartService", began, None)]
    await sick_mailbox(daemon, "restart")
    incident = await daemon.drive(lambda incident: at(incident, "restart.recheck"))
    assert "Managed Availability is acting on mbx1.contoso.lab: RestartService" in incident.waiting_for
    assert done(daemon) == []
    daemon.world.around[MBX1].recovery = [("RestartService", began, began + timedelta(minutes=6))]
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert done(daemon) == [("restart", MBX1)]
    assert [step.action for step in await daemon.steps()][:3] == ["verify", "verify", "restart_service"]


async def test_what_managed_availability_heals_while_it_is_waited_for_is_left_alone(daemon: Daemon) -> None:
    daemon.world.around[MBX1].recovery = [("RestartService", daemon.world.local(MBX1), None)]
    await sick_mailbox(daemon)
    await daemon.drive(lambda incident: at(incident, "restart.recheck"))
    daemon.world.hosts[MBX1].sick = False
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert done(daemon) == []


async def test_a_recovery_that_never_ends_escalates(daemon: Daemon) -> None:
    daemon.world.around[MBX1].recovery = [("RestartService", daemon.world.local(MBX1), None)]
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("restart: refused: waited since")
    assert incident.ended_at is not None
    waited = incident.ended_at - incident.opened_at
    assert timedelta(minutes=30) <= waited < timedelta(minutes=45)
    assert done(daemon) == []


def slow_down(daemon: Daemon, **seconds: float) -> None:
    """Let these scripts take so long."""
    run = daemon.world.run

    async def slowly(call: Call, permit: Permit | None = None) -> Reply:
        daemon.clock.advance(seconds.get(call.script, 0))
        return await run(call, permit)

    daemon.world.run = slowly  # type: ignore[method-assign]  # the test stands in between


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        ({"exchange_server": 20, "database_copies": 20}, "the facts were too old by the time they were complete"),
        ({"dag_health": 130}, "what is slow to read was too old by the time that all was read"),
    ],
)
async def test_facts_that_took_too_long_to_gather_are_not_acted_on(
    daemon: Daemon, seconds: dict[str, float], why: str
) -> None:
    slow_down(daemon, **seconds)
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert why in incident.reason
    assert done(daemon) == []


async def test_what_is_slow_to_read_takes_nothing_from_the_time_of_what_is_dangerous(daemon: Daemon) -> None:
    slow_down(daemon, dag_health=60, recovery_log=15, database_copies=10)
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason


async def test_copies_activation_and_the_server_itself_are_read_last(daemon: Daemon) -> None:
    await sick_mailbox(daemon)
    await daemon.drive()
    scripts = [call.script for call in daemon.world.calls]
    before = scripts[: scripts.index("set_activation")]
    assert set(before[-3:]) == {"exchange_server", "server_state", "database_copies"}


@pytest.mark.usefixtures("alone_is_asked_first")
async def test_all_facts_come_from_a_peer_that_answers_and_the_dag_from_one_of_its_members(daemon: Daemon) -> None:
    await sick_mailbox(daemon)
    await daemon.drive(lambda incident: at(incident, "restart"))
    daemon.world.hosts[ALONE].up_at = daemon.clock.now() + timedelta(days=1)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    asked = {(call.script, call.executor) for call in daemon.world.calls}
    assert ("exchange_server", ALONE) in asked
    assert {executor for script, executor in asked if script == "exchange_server"} > {ALONE}
    prepared = [call for call in daemon.world.calls if call.script == "dag_health"]
    assert {call.executor for call in prepared} <= set(DAG) - {MBX1}


async def test_undo_is_not_held_up_by_what_holds_up_everything_else(daemon: Daemon) -> None:
    await sick_mailbox(daemon)
    await daemon.drive(lambda incident: at(incident, "undo.resolved"))
    for change, _ in (*BEFORE_ANYTHING.values(), *BEFORE_THE_MOVE.values()):
        change(daemon.world)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED
    assert not daemon.world.hosts[MBX1].blocked


@pytest.mark.parametrize(
    ("state", "effects"),
    [("reboot.move", ["restart"]), ("reboot.reboot", ["restart", "stop_activation", "allow_activation"])],
)
async def test_a_service_that_nobody_means_to_run_any_more_is_no_reason_to_move_or_reboot(
    daemon: Daemon, state: str, effects: list[str]
) -> None:
    await sick_mailbox(daemon)
    await daemon.drive(lambda incident: at(incident, state))
    daemon.world.hosts[MBX1].start_type = "Manual"
    incident = await daemon.drive()
    assert incident.reason.startswith(f"{state}: refused: MSExchangePOP3BE on mbx1.contoso.lab starts Manual")
    assert [effect for effect, _ in done(daemon)] == effects


async def test_a_server_whose_activation_somebody_allowed_again_is_not_rebooted(daemon: Daemon) -> None:
    await sick_mailbox(daemon)
    await daemon.drive(lambda incident: at(incident, "reboot.reboot"))
    daemon.world.hosts[MBX1].blocked = False
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("reboot.reboot: refused: activation is not blocked by this incident")
    assert [effect for effect, _ in done(daemon)] == ["restart", "stop_activation"]


@pytest.mark.parametrize("comes_back", [True, False])
async def test_what_changes_between_the_facts_and_the_command_is_seen_by_the_command_itself(
    daemon: Daemon, comes_back: bool
) -> None:
    run = daemon.world.run

    async def run_late(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "reboot":
            if comes_back:
                daemon.world.active["DB1"] = MBX1
            else:
                daemon.world.hosts[MBX1].blocked = False
        return await run(call, permit)

    daemon.world.run = run_late  # type: ignore[method-assign]  # the test stands in between
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("reboot.reboot: refused: ")
    assert "reboot" not in [effect for effect, _ in done(daemon)]
    assert not daemon.world.hosts[MBX1].blocked
    assert await daemon.store.quarantine(MBX1) is None, "it is known that nothing happened"


async def test_a_client_access_server_that_turns_out_to_hold_mailboxes_refuses_its_reboot_itself(
    daemon: Daemon,
) -> None:
    run = daemon.world.run

    async def run_late(call: Call, permit: Permit | None = None) -> Reply:
        if call.script == "reboot":
            daemon.world.around[CAS1].mailbox = True
        return await run(call, permit)

    daemon.world.run = run_late  # type: ignore[method-assign]  # the test stands in between
    await sick_cas(daemon)
    incident = await daemon.drive()
    assert incident.reason.startswith("reboot.reboot: refused: ")
    assert done(daemon) == [("restart", CAS1)]


@pytest.mark.parametrize("state", ["restart", "reboot.move", "reboot.reboot"])
async def test_nothing_is_done_while_somebody_is_logged_on_and_then_the_problem_is_verified_afresh(
    daemon: Daemon, state: str
) -> None:
    await sick_mailbox(daemon)
    await daemon.drive(lambda incident: at(incident, state))
    before = list(done(daemon))
    daemon.world.hosts[MBX1].logged_on = ("CONTOSO\\ann",)
    incident = await daemon.drive(lambda incident: at(incident, f"{state}.recheck"))
    assert incident.waiting_for.startswith("logged on to mbx1.contoso.lab: CONTOSO\\ann (remote); nothing is done")
    for _ in range(3):
        await daemon.turn()
    assert done(daemon) == before
    daemon.world.hosts[MBX1].logged_on = ()
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert [effect for effect, _ in done(daemon)] == ["restart", "stop_activation", "reboot", "allow_activation"]


async def test_somebody_who_never_logs_off_is_left_alone_and_a_human_is_told(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].logged_on = ("CONTOSO\\ann", "MBX1\\Administrator")
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert "CONTOSO\\ann (remote), MBX1\\Administrator (remote)" in incident.reason
    assert incident.ended_at is not None
    assert timedelta(hours=8) <= incident.ended_at - incident.opened_at < timedelta(hours=9)
    assert done(daemon) == []


async def test_an_answer_that_does_not_say_who_is_logged_on_allows_nothing(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].says_who = False
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.reason.startswith("restart: unknown: waited since")
    assert "does not say who is logged on" in incident.reason
    assert done(daemon) == []


# What others did


@pytest.mark.parametrize("spent", [True, False])
async def test_failovers_of_other_members_count_for_the_moves_of_a_dag(daemon: Daemon, spent: bool) -> None:
    daemon.world.hosts[MBX2].skew = timedelta(hours=-5)
    # Two that follow one another closely are one; alone1 is in no DAG, so nobody asks it.
    moves = [(MBX2, 23.5), (MBX3, 9.0), (MBX3, 8.95), (MBX3, 4.0), (ALONE, 7.0), *([(MBX2, 15.0)] if spent else [])]
    for server, ago in moves:
        recovered(server, "DatabaseFailover", ago)(daemon.world)
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    if not spent:
        assert incident.status is IncidentStatus.RESOLVED, incident.reason
        return
    assert incident.reason.startswith(
        "reboot.move: refused: the budget is spent: 4 of 4 moves within DAG1 in a day, others' included "
    ), incident.reason
    assert "move of mbx3.contoso.lab by Managed Availability at " in incident.reason


async def test_a_server_that_somebody_has_just_rebooted_is_not_rebooted_again(daemon: Daemon) -> None:
    daemon.world.hosts[MBX1].booted = daemon.clock.now() - timedelta(hours=11)
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith(
        "reboot.reboot: refused: the budget is spent: 1 of 1 reboots of mbx1.contoso.lab in 12 hours, others' included "
        "(reboot of mbx1.contoso.lab by somebody at "
    )
    assert [effect for effect, _ in done(daemon)] == ["restart", "stop_activation", "allow_activation"]


async def test_a_boot_of_ours_is_not_counted_a_second_time(daemon: Daemon) -> None:
    await sick_mailbox(daemon)
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    daemon.clock.advance(13 * 3600)
    for name in (MBX2, MBX3):
        daemon.world.hosts[name].booted = daemon.clock.now() - timedelta(hours=2)
    await sick_mailbox(daemon)
    while (await daemon.incident(2)).status is IncidentStatus.OPEN:
        await daemon.turn()
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED, (await daemon.incident(2)).reason
    assert [effect for effect, _ in done(daemon)].count("reboot") == 2  # the fourth of four within the DAG


async def test_a_member_of_the_dag_that_does_not_tell_stops_a_move_and_not_a_restart(daemon: Daemon) -> None:
    run = daemon.world.run

    async def run_without(call: Call, permit: Permit | None = None) -> Reply:
        if call.executor == MBX3 and call.script == "recovery_log":
            return Reply(kind=ReplyKind.UNKNOWN, result={}, detail="no answer")
        return await run(call, permit)

    daemon.world.run = run_without  # type: ignore[method-assign]  # the test stands in between
    await sick_mailbox(daemon)
    incident = await daemon.drive()
    assert incident.reason.startswith("reboot.move: unknown: waited since")
    assert "what others did on mbx3.contoso.lab is not known: " in incident.reason
    assert done(daemon) == [("restart", MBX1)]


# Client Access servers


async def test_a_client_access_server_is_rebooted_while_another_one_serves_its_site(daemon: Daemon) -> None:
    await sick_cas(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.RESOLVED, incident.reason
    assert done(daemon) == [("restart", CAS1), ("reboot", CAS1)]
    assert await daemon.store.claim_holder("site:lyon") is None
    (reboot,) = [step for step in await daemon.steps() if step.action == "reboot"]
    back = [
        call.args["services"]
        for call in daemon.world.calls
        if call.script == "server_state" and len(call.args["services"]) > 1
    ]
    assert back
    services = ["MSExchangeADTopology", "MSExchangeHM", "MSExchangePOP3", "MSExchangePOP3BE"]
    assert all(names == services for names in back)
    assert reboot.executor != CAS1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (host(CAS2, "sick", True), "on cas2.contoso.lab is Unhealthy"),
        (
            component(CAS2, "ServerWideOffline", "Inactive", "Maintenance"),
            "ServerWideOffline on cas2.contoso.lab is Ina",
        ),
        (component(CAS2, "PopProxy", "Inactive", "Maintenance"), "PopProxy on cas2.contoso.lab is Inactive"),
        (recovered(CAS1, "ForceReboot", 1), "Managed Availability acted on cas1.contoso.lab already"),
    ],
)
async def test_a_client_access_server_that_its_site_cannot_spare_is_not_rebooted(
    daemon: Daemon, change: Change, reason: str
) -> None:
    change(daemon.world)
    await sick_cas(daemon)
    incident = await daemon.drive()
    assert incident.status is IncidentStatus.ESCALATED
    assert incident.reason.startswith("reboot.reboot: refused: ")
    assert reason in incident.reason
    assert done(daemon) == [("restart", CAS1)]


async def test_the_only_client_access_server_of_a_site_is_not_rebooted(tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    servers = Inventory(tuple(server for server in inventory() if server.name != CAS2))
    daemon = Daemon(World(ManualClock()), store, tmp_path, servers)
    await sick_cas(daemon)
    incident = await daemon.drive()
    assert "cas1.contoso.lab is the only Client Access server of Lyon in the inventory" in incident.reason
    assert done(daemon) == [("restart", CAS1)]
    await store.close()


async def test_two_client_access_servers_of_a_site_that_are_both_sick_are_both_left_running(daemon: Daemon) -> None:
    await sick_cas(daemon, CAS1)
    await sick_cas(daemon, CAS2)
    while {(await daemon.incident(1)).status, (await daemon.incident(2)).status} & {IncidentStatus.OPEN}:
        await daemon.turn()
    assert "reboot" not in [effect for effect, _ in done(daemon)]
    for number in (1, 2):
        assert "no other Client Access server of Lyon is healthy" in (await daemon.incident(number)).reason


async def test_two_client_access_servers_of_a_site_are_never_rebooted_at_the_same_time(daemon: Daemon) -> None:
    await sick_cas(daemon, CAS1)
    await daemon.drive(lambda incident: at(incident, "reboot.back"))
    daemon.world.hosts[CAS1].up_at = daemon.clock.now() + timedelta(minutes=20)
    await sick_cas(daemon, CAS2)
    waited = set()
    while (await daemon.incident(2)).status is IncidentStatus.OPEN:
        await daemon.turn()
        waited.add((await daemon.incident(2)).waiting_for)
    assert "site:lyon is claimed by incident i1" in waited
    assert done(daemon).index(("reboot", CAS1)) < done(daemon).index(("reboot", CAS2))
    assert (await daemon.incident(2)).status is IncidentStatus.RESOLVED


@pytest.mark.parametrize("requester", ["Maintenance", "Sidelined"])
async def test_pop_proxy_that_somebody_took_out_is_not_restarted(daemon: Daemon, requester: str) -> None:
    component(CAS1, "PopProxy", "Inactive", requester)(daemon.world)
    await sick_cas(daemon)
    incident = await daemon.drive()
    assert incident.reason.startswith("restart: refused: ")
    assert f"requested by {requester}: a restart cannot help" in incident.reason
    assert done(daemon) == []


async def test_pop_proxy_that_managed_availability_took_out_is_waited_for(daemon: Daemon) -> None:
    component(CAS1, "PopProxy", "Inactive", "HealthAPI")(daemon.world)
    await sick_cas(daemon, cured_by="restart")
    incident = await daemon.drive(lambda incident: at(incident, "restart.recheck"))
    assert "Managed Availability is acting" in incident.waiting_for
    assert done(daemon) == []
    daemon.world.around[CAS1].components.clear()
    assert (await daemon.drive()).status is IncidentStatus.RESOLVED
    assert done(daemon) == [("restart", CAS1)]


async def test_pop_proxy_that_somebody_takes_out_after_the_restart_is_no_reason_to_reboot(daemon: Daemon) -> None:
    await sick_cas(daemon)
    await daemon.drive(lambda incident: at(incident, "reboot.reboot"))
    component(CAS1, "PopProxy", "Inactive", "Maintenance")(daemon.world)
    incident = await daemon.drive()
    assert incident.reason.startswith("reboot.reboot: refused: PopProxy on cas1.contoso.lab is Inactive")
    assert done(daemon) == [("restart", CAS1)]


@pytest.mark.parametrize("answers", [True, False])
async def test_a_client_access_server_that_may_hold_copies_is_not_rebooted_as_one(
    daemon: Daemon, answers: bool
) -> None:
    await sick_cas(daemon)
    await daemon.drive(lambda incident: at(incident, "reprobe"))
    daemon.world.around[CAS1].mailbox = answers
    incident = await daemon.drive()
    assert (("reboot", CAS1) in done(daemon)) is not answers
    assert (incident.status is IncidentStatus.RESOLVED) is not answers
