"""What each script answers, over pywinrm, held against the contract."""

from datetime import timedelta
from typing import Literal

import pytest

from daemon.exchange import launch
from daemon.exchange.answers import (
    Activation,
    DatabaseCopies,
    Logons,
    ProbeRun,
    Rebooting,
    RebootPending,
    RestartedService,
    ServerHealth,
    ServerState,
    StepRunning,
    same_server,
)
from daemon.lab.faults import Fault
from daemon.lab.handlers import CHANGING, HANDLERS
from daemon.lab.lab import Lab
from daemon.lab.organisation import Power
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, Output, Running, in_time, machine_of, wait_until

MBX1, MBX2, ALONE1 = "mbx1.contoso.lab", "mbx2.contoso.lab", "alone1.contoso.lab"
CAS1 = "cas1.contoso.lab"


def test_every_shipped_script_has_a_handler() -> None:
    assert set(HANDLERS) == set(launch.NAMES)
    assert set(HANDLERS) >= CHANGING


@pytest.mark.parametrize("transport", ["ntlm", "basic", "credssp"])
def test_the_envelope_echoes_script_step_host_and_clock_over_every_transport(
    lab: Lab, transport: Literal["ntlm", "basic", "credssp"]
) -> None:
    output = Client(lab, transport=transport).call(
        "mbx2", "server_health", "inc-7.3", server=MBX1, health_sets=["pop.protocol"]
    )
    envelope = output.envelope
    assert (envelope.script, envelope.step, envelope.host) == ("server_health", "inc-7.3", MBX2)
    assert abs(envelope.clock - lab.clock.now() - timedelta(minutes=3)) < timedelta(minutes=2)
    assert output.exit_code == 0
    assert output.stderr.startswith(b"#< CLIXML")
    assert output.stdout.count(b"\n") == 1


def test_health_names_the_monitors_of_the_health_set_asked_for(client: Client) -> None:
    rows = client.call("mbx2", "server_health", server=MBX1, health_sets=["POP.Protocol"]).result(ServerHealth).rows
    assert {row.name for row in rows} == {"PopDeepTestMonitor", "PopSelfTestMonitor"}
    assert {(row.server, row.alert_value, row.is_stale) for row in rows} == {(MBX1, "Healthy", False)}


def test_a_health_set_that_the_server_does_not_have_gives_no_rows(client: Client) -> None:
    answer = client.call("mbx2", "server_health", server=MBX1, health_sets=["POP.Proxy"]).result(ServerHealth)
    assert answer.rows == ()


@pytest.mark.parametrize(("server", "kind"), [("", "broken"), ("mbx1", "broken"), ("mbx9.contoso.lab", "not_found")])
def test_a_server_must_be_named_in_full_and_exist(client: Client, server: str, kind: str) -> None:
    assert client.call("mbx2", "server_health", server=server, health_sets=["POP"]).error_kind == kind


def test_a_probe_succeeds_on_a_healthy_server_and_fails_on_a_sick_one(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.INCURABLE)
    for server, result_type in ((MBX1, "Failed"), ("mbx3.contoso.lab", "Succeeded")):
        run = client.call("mbx2", "invoke_probe", server=server, health_set="POP.Protocol", probe="PopSelfTestProbe")
        (probe,) = run.result(ProbeRun).objects
        assert (probe.server, probe.result_type) == (server, result_type)
        assert probe.started is not None
        assert probe.ended is not None
        assert probe.ended >= probe.started


def test_a_probe_that_the_server_does_not_have_gives_a_warning_and_no_object(client: Client) -> None:
    run = client.call("mbx2", "invoke_probe", server=MBX1, health_set="POP", probe="PopCTPProbe").result(ProbeRun)
    assert run.objects == ()
    assert len(run.warnings) == 1


def test_copies_are_those_of_every_database_with_a_copy_on_the_server(client: Client) -> None:
    answer = client.call("mbx2", "database_copies", server=MBX1).result(DatabaseCopies)
    assert answer.mailbox_role
    assert answer.dag == "DAG1"
    assert answer.databases == 6
    assert len(answer.copies) == 18
    assert [member.server for member in answer.members] == [MBX1, "MBX2", "MBX3"], (
        "as it was asked; then as Exchange has them"
    )
    active_here = [copy.database for copy in answer.copies if copy.active and same_server(copy.server, MBX1)]
    assert active_here == ["MBX1-DB1", "MBX1-DB2"]
    assert {copy.status for copy in answer.copies if copy.active} == {"Mounted"}
    assert {copy.status for copy in answer.copies if not copy.active} == {"Healthy"}


def test_a_standalone_server_has_no_dag_and_single_copies(client: Client) -> None:
    answer = client.call("mbx1", "database_copies", server=ALONE1).result(DatabaseCopies)
    assert answer.dag is None
    assert [member.server for member in answer.members] == [ALONE1]
    assert all(copy.active for copy in answer.copies)


def test_a_client_access_server_has_no_mailbox_role(client: Client) -> None:
    answer = client.call("mbx1", "database_copies", server="cas1.contoso.lab").result(DatabaseCopies)
    assert not answer.mailbox_role


def test_server_state_tells_boot_time_and_the_services_that_exist(client: Client) -> None:
    state = client.call("mbx1", "server_state", services=["msexchangepop3be", "NoSuchService"]).result(ServerState)
    assert state.restart_requested_at is None
    (service,) = state.services
    assert (service.name, service.status, service.start_type) == ("MSExchangePOP3BE", "Running", "Automatic")
    assert service.pid > 0
    assert service.started_at is not None
    assert service.started_at > state.boot_time


def test_server_state_tells_who_is_logged_on_since_when_and_whether_a_reboot_is_pending(
    client: Client, lab: Lab
) -> None:
    quiet = client.call("mbx2", "server_state", services=[]).result(ServerState)
    assert quiet.logons == Logons(count=0, people=())
    assert quiet.reboot_pending == RebootPending(servicing=False, windows_update=False, file_renames=False)
    lab.break_server("mbx2", Fault.LOGGED_ON, account="CONTOSO\\ann")
    lab.break_server("mbx2", Fault.REBOOT_PENDING)
    state = client.call("mbx2", "server_state", services=[]).result(ServerState)
    assert state.logons is not None
    (person,) = state.logons.people
    assert (person.account, person.how) == ("CONTOSO\\ann", "console")
    machine = machine_of(lab, "mbx2")
    assert person.since == machine.faults[Fault.LOGGED_ON].at + machine.skew
    assert state.reboot_pending is not None
    assert state.reboot_pending.windows_update


def test_times_of_a_server_are_on_its_own_clock(client: Client, lab: Lab) -> None:
    output = client.call("mbx2", "server_state", services=[])
    state = output.result(ServerState)
    machine = machine_of(lab, "mbx2")
    assert machine.skew == timedelta(minutes=3)
    assert state.boot_time == machine.boot_time + machine.skew


def test_a_restart_gives_the_service_a_new_process_and_is_recorded_once(lab: Lab, client: Client) -> None:
    before = machine_of(lab, "mbx1").services["MSExchangePOP3BE"].pid
    arguments = {"service": "MSExchangePOP3BE", "stop_timeout": 90, "not_after": in_time(lab, "mbx1")}
    restarted = client.call("mbx1", "restart_service", "r1", **arguments).result(RestartedService).service
    assert restarted.status == "Running"
    assert restarted.pid != before
    (effect,) = lab.effects()
    assert (effect.effect, effect.server, effect.executor, effect.step) == ("restart", MBX1, MBX1, "r1")
    assert effect.detail == "MSExchangePOP3BE"


def test_a_disabled_service_is_not_restarted(lab: Lab, client: Client) -> None:
    machine_of(lab, "mbx1").services["MSExchangePOP3BE"].start_type = "Disabled"
    arguments = {"service": "MSExchangePOP3BE", "stop_timeout": 90, "not_after": in_time(lab, "mbx1")}
    assert client.call("mbx1", "restart_service", **arguments).error_kind == "conflict"
    assert lab.effects() == ()


def test_a_service_that_may_be_stopped_and_not_started_failed_once_it_is_stopped(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.START_REFUSED)
    first = {"service": "MSExchangePOP3BE", "stop_timeout": 90, "not_after": in_time(lab, "mbx1")}
    output = client.call("mbx1", "restart_service", **first)
    assert output.error_kind == "failed", "no kind may say that nothing was tried"
    assert b"Access is denied (error 5) Done before: MSExchangePOP3BE stopped." in output.stdout
    assert [effect.effect for effect in lab.effects()] == ["restart"]
    again = client.call("mbx1", "restart_service", "inc-7.4", **first)
    assert again.error_kind == "denied", "nothing was changed this time"
    assert len(lab.effects()) == 1


@pytest.mark.parametrize("script", sorted(CHANGING))
def test_an_error_of_a_scripts_own_is_broken_before_its_effect_and_no_answer_after_it(
    lab: Lab, client: Client, script: str
) -> None:
    server, executor = ("mbx1", "mbx1") if script == "restart_service" else ("cas1", "cas2")
    server, executor = ("mbx1", "mbx2") if script == "set_activation" else (server, executor)
    arguments = {
        "restart_service": {"service": "MSExchangePOP3BE", "stop_timeout": 90},
        "reboot": {"server": CAS1, "mailbox": False},
        "set_activation": {"server": MBX1, "expected": False, "value": True},
        "set_protocol_log": {"server": CAS1, "expected": False, "value": True},
    }[script] | {"not_after": in_time(lab, executor)}
    lab.break_server(server, Fault.SCRIPT_BROKEN, script=script, count=1)
    lab.break_server(server, Fault.SCRIPT_DIES, script=script, count=1)
    assert client.call(executor, script, **arguments).error_kind == "broken"
    assert lab.effects() == ()
    output = client.call(executor, script, "inc-7.4", **arguments)
    assert (output.exit_code, output.stdout) == (3, b"")
    assert len(lab.effects()) == 1


def test_an_error_of_a_reading_scripts_own_is_broken_whenever_it_comes(lab: Lab, client: Client) -> None:
    for fault in (Fault.SCRIPT_BROKEN, Fault.SCRIPT_DIES):
        lab.break_server("mbx1", fault, count=1)
        assert client.call("mbx1", "server_state", services=[]).error_kind == "broken"
    assert client.call("mbx1", "server_state", services=[]).result(ServerState)


def test_a_service_that_does_not_exist_is_not_found(lab: Lab, client: Client) -> None:
    arguments = {"service": "MSExchangePOP3", "stop_timeout": 90, "not_after": in_time(lab, "mbx1")}
    assert client.call("mbx1", "restart_service", **arguments).error_kind == "not_found"


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("restart_service", {"service": "MSExchangePOP3BE", "stop_timeout": 90}),
        ("set_activation", {"server": MBX1, "expected": False, "value": True}),
        ("reboot", {"server": CAS1, "mailbox": False}),
    ],
)
def test_what_comes_too_late_by_the_executing_servers_own_clock_does_nothing(
    lab: Lab, client: Client, script: str, arguments: dict[str, object]
) -> None:
    # mbx2's clock is three minutes ahead: what would still be in time elsewhere is too late there.
    too_late = (lab.clock.now() + timedelta(minutes=2)).isoformat()
    assert client.call("mbx2", script, **arguments, not_after=too_late).error_kind == "expired"
    assert lab.effects() == ()


def test_the_activation_flag_is_set_only_from_the_expected_value(lab: Lab, client: Client) -> None:
    def set_to(value: bool, expected: bool) -> dict[str, object]:
        return {"server": MBX1, "expected": expected, "value": value, "not_after": in_time(lab, "mbx2")}

    assert client.call("mbx2", "set_activation", **set_to(value=True, expected=True)).error_kind == "conflict"
    first = client.call("mbx2", "set_activation", **set_to(value=True, expected=False)).result(Activation)
    again = client.call("mbx2", "set_activation", **set_to(value=True, expected=False)).result(Activation)
    back = client.call("mbx2", "set_activation", **set_to(value=False, expected=True)).result(Activation)
    assert (first.before, first.after, first.changed) == (False, True, True)
    assert (again.before, again.after, again.changed) == (True, True, False)
    assert (back.before, back.after, back.changed) == (True, False, True)
    assert [effect.effect for effect in lab.effects()] == ["stop_activation", "allow_activation"]


def test_stopping_activation_moves_the_databases_later_to_healthy_copies_elsewhere(lab: Lab, client: Client) -> None:
    arguments = {"server": MBX1, "expected": False, "value": True, "not_after": in_time(lab, "mbx2")}
    client.call("mbx2", "set_activation", **arguments)
    databases = lab.simulation.organisation.databases
    wait_until(lab, lambda: all(database.active != MBX1 for database in databases.values()))
    wait_until(lab, lambda: all(database.state == "Mounted" for database in databases.values()))
    copies = client.call("mbx3", "database_copies", server=MBX1).result(DatabaseCopies).copies
    assert not [copy for copy in copies if copy.active and same_server(copy.server, MBX1)]
    assert [effect.effect for effect in lab.effects()] == ["stop_activation"]


def test_a_reboot_cuts_connections_and_the_server_comes_back_with_a_new_boot_time(lab: Lab, client: Client) -> None:
    machine = machine_of(lab, "cas1")
    booted = client.call("cas1", "server_state", services=[]).result(ServerState).boot_time
    waiting = client.protocol("cas1")
    shell = waiting.open_shell()

    arguments = {"server": CAS1, "mailbox": False, "not_after": in_time(lab, "cas2")}
    assert client.call("cas2", "reboot", **arguments).result(Rebooting).accepted
    wait_until(lab, lambda: machine.power is Power.OFF)
    with pytest.raises(Exception, match=r"Connection|closed"):
        waiting.close_shell(shell)
    with pytest.raises(Exception, match="refused"):
        client.call("cas1", "server_state", services=[])

    wait_until(lab, lambda: machine.power is Power.UP)
    state = client.call("cas1", "server_state", services=["MSExchangePOP3"]).result(ServerState)
    assert state.boot_time > booted
    assert state.restart_requested_at is None
    wait_until(lab, lambda: machine.services["MSExchangePOP3"].running)
    assert [effect.effect for effect in lab.effects()] == ["reboot"]


def test_a_server_that_is_going_down_says_that_a_restart_was_requested(still_lab: Lab) -> None:
    client = Client(still_lab)
    arguments = {"server": CAS1, "mailbox": False, "not_after": in_time(still_lab, "cas2")}
    rebooting = client.call("cas2", "reboot", **arguments)
    state = client.call("cas1", "server_state", services=[]).result(ServerState)
    assert state.restart_requested_at == still_lab.clock.now()
    assert state.restart_comment == f"exmedic {rebooting.envelope.step}"


def test_a_mailbox_server_is_rebooted_only_while_activation_is_blocked_and_no_copy_there_is_active(
    lab: Lab, client: Client
) -> None:
    def reboot(mailbox: bool = True) -> Output:
        arguments = {"server": MBX1, "mailbox": mailbox, "not_after": in_time(lab, "mbx2")}
        return client.call("mbx2", "reboot", **arguments)

    assert reboot(mailbox=False).error_kind == "conflict", "it is a Mailbox server, whatever the call says"
    assert reboot().error_kind == "conflict", "activation is not blocked"
    lab.break_server("mbx1", Fault.DATABASE_STUCK, database="MBX1-DB2")
    machine_of(lab, "mbx1").activation_blocked = True
    assert reboot().error_kind == "conflict", "copies are still active"
    assert lab.effects() == ()

    for database in lab.simulation.organisation.active_on(machine_of(lab, "mbx1")):
        database.active = MBX2
    machine_of(lab, "mbx1").activation_blocked = False
    assert reboot().error_kind == "conflict", "somebody has allowed activation again"
    machine_of(lab, "mbx1").activation_blocked = True
    assert reboot().result(Rebooting).accepted
    assert [effect.effect for effect in lab.effects()] == ["reboot"]


def test_a_reboot_without_an_exchange_session_to_look_through_says_so_and_does_nothing(
    lab: Lab, client: Client
) -> None:
    windows, machine = lab.simulation.windows, machine_of(lab, "cas2")
    windows.stop_service(machine, machine.services["MSExchangeADTopology"])
    wait_until(lab, lambda: not machine.runs("MSExchangeADTopology"))
    arguments = {"server": CAS1, "mailbox": False, "not_after": in_time(lab, "cas2")}
    assert client.call("cas2", "reboot", **arguments).error_kind == "no_session"
    assert lab.effects() == ()


def test_a_second_reboot_of_a_server_going_down_gives_no_answer_and_no_second_effect(still_lab: Lab) -> None:
    client = Client(still_lab)
    arguments = {"server": CAS1, "mailbox": False, "not_after": in_time(still_lab, "cas2")}
    client.call("cas2", "reboot", **arguments)
    again = client.call("cas2", "reboot", **arguments)
    assert (again.exit_code, again.stdout) == (3, b"")
    assert len(still_lab.effects()) == 1


def test_a_server_does_not_reboot_itself(lab: Lab, client: Client) -> None:
    arguments = {"server": CAS1, "mailbox": False, "not_after": in_time(lab, "cas1")}
    assert client.call("cas1", "reboot", **arguments).error_kind == "broken"
    assert lab.effects() == ()


@pytest.mark.parametrize("script", ["server_health", "invoke_probe", "database_copies", "set_activation", "reboot"])
def test_without_a_credential_the_second_hop_fails_under_ntlm_but_not_under_credssp(lab: Lab, script: str) -> None:
    arguments = {
        "server": MBX1,
        "health_set": "POP.Protocol",
        "health_sets": ["POP.Protocol"],
        "probe": "PopSelfTestProbe",
        "expected": False,
        "value": False,
        "mailbox": True,
        "not_after": "2000-01-01T00:00:00Z",
    }
    assert Client(lab, logon=False).call("mbx2", script, **arguments).error_kind == "second_hop"
    delegated = Client(lab, logon=False, transport="credssp").call("mbx2", script, **arguments).envelope
    # mbx1 holds active copies, so its reboot is refused even before it is too late.
    late = "conflict" if script == "reboot" else "expired"
    assert delegated.ok or (delegated.error is not None and delegated.error.kind == late)


def test_a_wrong_credential_for_the_second_hop_is_a_refused_logon(lab: Lab) -> None:
    client = Client(lab, second_hop_password="wrong")
    output = client.call("mbx2", "database_copies", server=MBX1)
    assert output.error_kind == "logon"
    assert lab.refused_logons() == 1
    assert b"wrong" not in output.stdout


def test_step_running_sees_a_restart_that_still_runs_and_not_itself(still_lab: Lab, hand_clock: HandClock) -> None:
    client = Client(still_lab)
    still_lab.break_server("mbx1", Fault.SERVICE_HANGS)
    arguments = {"service": "MSExchangePOP3BE", "stop_timeout": 600, "not_after": in_time(still_lab, "mbx1")}
    hung = Running(lambda: Client(still_lab).call("mbx1", "restart_service", "inc-1.2", **arguments))
    service = machine_of(still_lab, "mbx1").services["MSExchangePOP3BE"]
    wait_until(still_lab, lambda: service.status == "StopPending")
    assert client.call("mbx1", "step_running", step="inc-1.2").result(StepRunning).running
    assert not client.call("mbx1", "step_running", step="inc-1").result(StepRunning).running
    assert not client.call("mbx2", "step_running", step="inc-1.2").result(StepRunning).running
    hand_clock.advance(still_lab.simulation, 600)
    assert hung.result().error_kind == "hung"
    assert not client.call("mbx1", "step_running", step="inc-1.2").result(StepRunning).running


def test_reads_are_counted_and_leave_no_effect(lab: Lab, client: Client) -> None:
    client.call("mbx2", "database_copies", server=MBX1)
    client.call("mbx2", "database_copies", server=MBX1)
    assert lab.reads() == {(MBX2, "database_copies"): 2}
    assert lab.effects() == ()
