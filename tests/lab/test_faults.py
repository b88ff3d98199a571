"""Each fault does what its description says, seen over pywinrm."""

import socket
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import requests
from winrm.exceptions import WinRMOperationTimeoutError, WSManFaultError

from daemon.domain.errors import OperatorError
from daemon.exchange.answers import DatabaseCopies, ProbeRun, RestartedService, ServerHealth, StepRunning, same_server
from daemon.lab.breakage import DEPENDENT
from daemon.lab.faults import FAULTS, Fault
from daemon.lab.lab import Lab
from daemon.lab.organisation import Power
from daemon.lab.soap import QUOTA_EXCEEDED
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, empty, in_time, machine_of, wait_until
from tests.realparts.waiting import HANG

MBX1 = "mbx1.contoso.lab"
RESTART = {"service": "MSExchangePOP3BE", "stop_timeout": 90}


def _probe(client: Client, server: str = MBX1, probe: str = "PopDeepTestProbe") -> str:
    health_set = "POP.Protocol" if "mbx" in server else "POP"
    run = client.call("mbx2", "invoke_probe", server=server, health_set=health_set, probe=probe).result(ProbeRun)
    return run.objects[0].result_type if run.objects else f"warning: {run.warnings[0]}"


def _values(client: Client) -> set[str]:
    answer = client.call("mbx2", "server_health", server=MBX1, health_sets=["POP.Protocol"]).result(ServerHealth)
    return {row.alert_value for row in answer.rows}


def _restart(lab: Lab, client: Client, server: str = "mbx1", **options: object) -> RestartedService:
    arguments = {**RESTART, "not_after": in_time(lab, server), **options}
    return client.call(server, "restart_service", **arguments).result(RestartedService)


def _reboot_and_wait(lab: Lab, client: Client) -> None:
    machine = machine_of(lab, "mbx1")
    empty(lab, "mbx1")
    client.call("mbx2", "reboot", server=MBX1, mailbox=True, not_after=in_time(lab, "mbx2"))
    wait_until(lab, lambda: machine.power is Power.OFF)
    wait_until(lab, lambda: machine.runs(*machine.services))


def test_the_probe_of_a_service_that_hangs_fails_after_110_seconds_and_a_restart_cures_it(
    lab: Lab, client: Client
) -> None:
    lab.break_server("mbx1", "hanging")
    began = lab.clock.now()
    assert _probe(client) == "Failed"
    assert lab.clock.now() - began >= timedelta(seconds=110)
    _restart(lab, client)
    assert _probe(client) == "Succeeded"


def test_every_fault_is_described() -> None:
    assert set(FAULTS) == set(Fault)


def test_a_restart_cures_and_the_monitor_follows_minutes_later(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "restart_cures")
    assert _probe(client) == "Failed"
    assert _values(client) == {"Unhealthy"}
    _restart(lab, client)
    assert _probe(client) == "Succeeded"
    wait_until(lab, lambda: not lab.servers()[MBX1]["unhealthy"])
    assert _values(client) == {"Healthy"}
    assert lab.servers()[MBX1]["faults"] == {}


def test_on_a_client_access_server_the_front_end_is_sick(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", "restart_cures")
    assert _probe(client, "cas1.contoso.lab", "PopCTPProbe") == "Failed"
    _restart(lab, client, "cas1", service="MSExchangePOP3")
    assert _probe(client, "cas1.contoso.lab", "PopCTPProbe") == "Succeeded"


def test_only_a_reboot_cures(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "reboot_cures")
    _restart(lab, client)
    assert _probe(client) == "Failed"
    _reboot_and_wait(lab, client)
    assert _probe(client) == "Succeeded"


def test_neither_restart_nor_reboot_cures_the_incurable(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "incurable")
    _restart(lab, client)
    _reboot_and_wait(lab, client)
    assert _probe(client) == "Failed"
    lab.cure("mbx1", "incurable")
    assert _probe(client) == "Succeeded"


def test_it_heals_itself_after_the_minutes_asked_for(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "heals_itself", minutes=10)
    assert _probe(client) == "Failed"
    wait_until(lab, lambda: not machine_of(lab, "mbx1").faults)
    assert _probe(client) == "Succeeded"
    assert lab.effects() == ()


def test_a_probe_that_cannot_run_gives_a_warning_and_no_object(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "probe_cannot_run")
    assert _probe(client).startswith("warning")


def test_a_stuck_database_stays_while_the_others_move(still_lab: Lab, hand_clock: HandClock) -> None:
    still_lab.break_server("mbx1", "database_stuck", database="MBX1-DB2")
    client = Client(still_lab)
    arguments = {"server": MBX1, "expected": False, "value": True, "not_after": in_time(still_lab, "mbx2")}
    client.call("mbx2", "set_activation", **arguments)
    for _ in range(120):
        hand_clock.advance(still_lab.simulation, 30)
    copies = client.call("mbx2", "database_copies", server=MBX1).result(DatabaseCopies).copies
    assert [copy.database for copy in copies if copy.active and same_server(copy.server, MBX1)] == ["MBX1-DB2"]


def test_a_hanging_service_stays_as_it_is_and_is_stopped_only_once(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "service_hangs")
    for _ in range(2):
        arguments = {**RESTART, "not_after": in_time(lab, "mbx1")}
        assert client.call("mbx1", "restart_service", **arguments).error_kind == "hung"
        assert machine_of(lab, "mbx1").services["MSExchangePOP3BE"].status == "StopPending"
    assert [effect.effect for effect in lab.effects()] == ["restart"]


def test_a_server_that_never_comes_back_refuses_connections_until_it_is_cured(
    still_lab: Lab, hand_clock: HandClock
) -> None:
    still_lab.break_server("cas1", "never_back")
    client = Client(still_lab)
    client.call("cas2", "reboot", server="cas1.contoso.lab", mailbox=False, not_after=in_time(still_lab, "cas2"))
    hand_clock.advance(still_lab.simulation, 6 * 3600)
    with pytest.raises(requests.ConnectionError):
        client.call("cas1", "server_state", services=[])
    still_lab.cure("cas1")
    hand_clock.advance(still_lab.simulation, 60)
    assert client.call("cas1", "server_state", services=[]).exit_code == 0


def test_a_silent_endpoint_accepts_and_never_answers_until_it_is_cured(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "silent_endpoint")
    address = urlsplit(lab.endpoints[MBX1])
    with socket.create_connection((address.hostname, address.port), timeout=0.5) as raw:
        raw.sendall(b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(TimeoutError):
            raw.recv(1)
    lab.cure("mbx1")
    assert client.call("mbx1", "server_state", services=[]).exit_code == 0


def test_a_lab_with_a_silent_endpoint_and_a_client_waiting_on_it_stops_at_once(lab: Lab) -> None:
    lab.break_server("mbx1", "silent_endpoint")
    address = urlsplit(lab.endpoints[MBX1])
    with socket.create_connection((address.hostname, address.port), timeout=HANG) as raw:
        raw.sendall(b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        lab.stop()  # otherwise it would wait for the client, which waits for it


def test_a_lost_answer_means_exactly_one_effect(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "answer_lost", script="reboot", count=1)
    empty(lab, "mbx1")
    with pytest.raises(requests.ConnectionError):
        client.call("mbx2", "reboot", server=MBX1, mailbox=True, not_after=in_time(lab, "mbx2"))
    assert [effect.effect for effect in lab.effects()] == ["reboot"]


def test_a_lost_answer_strikes_only_the_script_and_the_number_of_times_asked_for(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "answer_lost", script="restart_service", count=1)
    assert _probe(client) == "Succeeded"
    with pytest.raises(requests.ConnectionError):
        _restart(lab, client)
    _restart(lab, client)
    assert [effect.effect for effect in lab.effects()] == ["restart", "restart"]


@pytest.mark.parametrize("request_name", ["Create", "Command", "Send"])
def test_a_cut_before_means_no_effect(lab: Lab, client: Client, request_name: str) -> None:
    lab.break_server("mbx1", "cut_before", request=request_name, count=1)
    with pytest.raises(requests.ConnectionError):
        _restart(lab, client)
    assert lab.effects() == ()
    _restart(lab, client)
    assert len(lab.effects()) == 1


def test_a_garbage_answer_follows_a_real_effect(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "garbage_answer", count=1)
    output = client.call("mbx1", "restart_service", **RESTART, not_after=in_time(lab, "mbx1"))
    assert output.exit_code == 0
    with pytest.raises(ValueError, match="JSON"):
        _ = output.envelope
    assert [effect.effect for effect in lab.effects()] == ["restart"]


def test_a_quota_refuses_new_shells(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", "wsman_quota", count=1)
    with pytest.raises(WSManFaultError) as caught:
        client.call("mbx1", "server_state", services=[])
    assert caught.value.wsman_fault_code == QUOTA_EXCEEDED
    assert client.call("mbx1", "server_state", services=[]).exit_code == 0


def test_a_late_answer_comes_after_operation_time_outs(lab: Lab) -> None:
    client = Client(lab, operation_timeout=1)
    lab.break_server("mbx1", "late_answer", timeouts=2, count=1)
    with client.started("mbx1", client.launch("server_state", {"services": []})) as (protocol, shell, command):
        for _ in range(2):
            with pytest.raises(WinRMOperationTimeoutError):
                protocol.get_command_output_raw(shell, command)
        stdout, _, _, done = protocol.get_command_output_raw(shell, command)
    assert done
    assert stdout


def test_faults_of_the_answer_strike_calls_about_the_server_too(lab: Lab, client: Client) -> None:
    lab.break_server("mbx3", "garbage_answer", count=1)
    output = client.call("mbx2", "database_copies", server="mbx3.contoso.lab")
    with pytest.raises(ValueError, match="JSON"):
        _ = output.envelope


def test_faults_combine_are_listed_and_cleared(lab: Lab) -> None:
    lab.break_server("mbx1", "incurable")
    lab.break_server("MBX1.contoso.lab", Fault.PROBE_CANNOT_RUN)
    assert set(lab.servers()[MBX1]["faults"]) == {"incurable", "probe_cannot_run"}  # type: ignore[call-overload]  # it is JSON
    lab.cure("mbx1")
    assert lab.servers()[MBX1]["faults"] == {}


@pytest.mark.parametrize(
    ("server", "fault", "options"),
    [
        ("mbx9", "incurable", {}),
        ("mbx1", "on_fire", {}),
        ("mbx1", "incurable", {"minutes": 3}),
        ("mbx1", "incurable", {"service": "MSExchangePOP3"}),
        ("mbx1", "heals_itself", {"minutes": "three"}),
        ("mbx1", "answer_lost", {"count": True}),
        ("cas1", "database_stuck", {}),
        ("mbx1", "database_stuck", {"database": "MBX2-DB1"}),
        ("mbx1", "monitor_says", {"monitor": "PopDeppTestMonitor"}),
        ("mbx1", "monitor_says", {"value": "repairing"}),
        ("mbx1", "probe_says", {"value": "Succeeded"}),
        ("mbx1", "incurable", {"reason": " "}),
        ("mbx1", "service_hangs", {"how": "a little"}),
        ("mbx1", "service_dies", {"service": "MSExchangePOP4"}),
        ("mbx1", "windows_denies", {"right": "everything"}),
        ("mbx1", "start_type", {"start_type": "Automatic"}),
        ("mbx1", "recovery_running", {"action": "MakeCoffee"}),
        ("mbx1", "recovery_running", {"minutes": 0}),
        ("mbx1", "logged_on", {"account": "CONTOSO\\anna,"}),
        ("mbx1", "empty_answer", {"script": "server_helath"}),
        ("cas1", "log_names_nobody", {"form": "policy"}),
        ("cas1", "popproxy_inactive", {"requester": "me"}),
        ("mbx1", "log_columns_differ", {}),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_and_changes_nothing(
    lab: Lab, server: str, fault: str, options: dict[str, object]
) -> None:
    with pytest.raises(OperatorError):
        lab.break_server(server, fault, **options)
    assert not any(machine.faults for machine in lab.simulation.organisation.machines.values())


def test_a_restart_whose_shell_is_deleted_midway_leaves_the_service_stopped(
    still_lab: Lab, hand_clock: HandClock
) -> None:
    client = Client(still_lab)
    service = machine_of(still_lab, "mbx1").services["MSExchangePOP3BE"]
    launch = client.launch("restart_service", {**RESTART, "not_after": in_time(still_lab, "mbx1")}, "s1")
    with client.started("mbx1", launch):
        wait_until(still_lab, lambda: service.status == "StopPending")
    hand_clock.advance(still_lab.simulation, 600)
    assert service.status == "Stopped"
    assert not client.call("mbx1", "step_running", step="s1").result(StepRunning).running


def test_a_restart_whose_connection_is_lost_goes_on_to_its_end(still_lab: Lab, hand_clock: HandClock) -> None:
    client = Client(still_lab)
    service = machine_of(still_lab, "mbx1").services["MSExchangePOP3BE"]
    before = service.pid
    launch = client.launch("restart_service", {**RESTART, "not_after": in_time(still_lab, "mbx1")}, "s1")
    with client.protocol_open("mbx1") as (protocol, shell):
        command = protocol.run_command(shell, launch.executable, launch.arguments, skip_cmd_shell=True)
        protocol.send_command_input(shell, command, launch.stdin, end=True)
        wait_until(still_lab, lambda: service.status == "StopPending")
    assert client.call("mbx1", "step_running", step="s1").result(StepRunning).running
    hand_clock.advance(still_lab.simulation, 4)
    wait_until(still_lab, lambda: service.status == "StartPending")
    hand_clock.advance(still_lab.simulation, 5)
    assert service.running
    assert service.pid != before


@pytest.mark.parametrize(
    ("how", "restarts", "told"),
    [("no_answer", 1, "(error 1053)"), ("starting", 0, "is still starting, so it cannot be stopped")],
)
def test_a_service_that_takes_no_orders_is_hung_and_what_only_starts_was_not_touched(
    lab: Lab, client: Client, how: str, restarts: int, told: str
) -> None:
    lab.break_server("mbx1", Fault.SERVICE_HANGS, how=how)
    output = client.call("mbx1", "restart_service", **{**RESTART, "not_after": in_time(lab, "mbx1")})
    assert (output.error_kind, told in output.stdout.decode()) == ("hung", True), output.stdout
    assert len(lab.effects()) == restarts


def test_a_service_that_is_just_starting_is_restarted_once_it_runs(lab: Lab, client: Client) -> None:
    service = machine_of(lab, "mbx1").services["MSExchangePOP3BE"]
    with lab.simulation.timeline.up_to_date():
        lab.simulation.windows.start_service(machine_of(lab, "mbx1"), service)
    first = service.pid
    assert _restart(lab, client).service.pid > first + 4, "the process that was just starting is not the answer's"
    assert [effect.effect for effect in lab.effects()] == ["restart"]


def test_a_service_that_ends_by_itself_leaves_a_restart_without_an_answer_until_it_is_cured(
    lab: Lab, client: Client
) -> None:
    lab.break_server("mbx1", Fault.SERVICE_DIES)
    output = client.call("mbx1", "restart_service", **{**RESTART, "not_after": in_time(lab, "mbx1")})
    assert (output.exit_code, output.stdout) == (3, b"")
    assert [effect.effect for effect in lab.effects()] == ["restart"]
    lab.cure("mbx1")
    wait_until(lab, lambda: machine_of(lab, "mbx1").runs("MSExchangePOP3BE"))


def test_who_depends_on_a_service_is_restarted_with_it_and_none_is_touched_where_one_could_not_be_started_again(
    lab: Lab, client: Client
) -> None:
    lab.break_server("mbx1", Fault.HAS_DEPENDENT)
    child = machine_of(lab, "mbx1").services["ContosoPopWatch"]
    before = child.pid
    _restart(lab, client)
    assert (child.running, child.pid != before) == (True, True)
    lab.break_server("mbx1", Fault.HAS_DEPENDENT, start_type="Disabled")
    output = client.call("mbx1", "restart_service", **{**RESTART, "not_after": in_time(lab, "mbx1")})
    assert output.error_kind == "conflict"
    assert len(lab.effects()) == 1


def test_windows_can_deny_every_question_or_one_service_and_nothing_is_done_then(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.WINDOWS_DENIES)
    restart = {**RESTART, "not_after": in_time(lab, "mbx1")}
    for script, arguments in (("server_state", {"services": []}), ("recovery_log", {"hours": 1})):
        assert client.call("mbx1", script, **arguments).error_kind == "denied"
    assert client.call("mbx1", "restart_service", **restart).error_kind == "denied"
    lab.break_server("mbx1", Fault.WINDOWS_DENIES, right="service")
    assert client.call("mbx1", "server_state", services=[]).envelope.ok
    assert client.call("mbx1", "restart_service", **restart).error_kind == "denied"
    assert lab.effects() == ()


def test_a_dependent_of_a_service_that_does_not_run_does_not_run_either(lab: Lab) -> None:
    machine = lab.simulation.machine("mbx1")
    lab.break_server("mbx1", Fault.MEMBER_DOWN)
    lab.break_server("mbx1", Fault.HAS_DEPENDENT)
    dependent = machine.services[DEPENDENT]
    assert (dependent.status, dependent.pid, dependent.started_at) == ("Stopped", 0, None)
