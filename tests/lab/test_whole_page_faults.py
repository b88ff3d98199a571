"""Each fault that the whole page needs does what its description says, seen over pywinrm and held to the contract."""

from datetime import timedelta

import pytest

from daemon.domain.errors import OperatorError
from daemon.exchange.answers import (
    DagHealth,
    DatabaseCopies,
    DatabaseCopy,
    ExchangeServer,
    HealthRow,
    ProbeRun,
    ProtocolLog,
    RecoveryLog,
    ServerHealth,
    ServerState,
    same_server,
)
from daemon.lab.fault_words import MAINTENANCE_FORMS
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from daemon.lab.organisation import COUNTER_MONITOR, Power
from daemon.lab.own_logs import log_writer
from daemon.lab.pop_log import COLUMNS, FOLDER
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, empty, in_time, machine_of, wait_until

CAS1, MBX1, MBX2 = "cas1.contoso.lab", "mbx1.contoso.lab", "mbx2.contoso.lab"


def _rows(client: Client, server: str) -> list[HealthRow]:
    output = client.call("mbx3", "server_health", server=f"{server}.contoso.lab", health_sets=["POP*"])
    return list(output.result(ServerHealth).rows)


def _unhealthy(client: Client, server: str) -> set[str]:
    return {row.name for row in _rows(client, server) if row.alert_value != "Healthy"}


def _probe(client: Client, server: str, health_set: str, probe: str) -> str:
    run = client.call("mbx3", "invoke_probe", server=f"{server}.contoso.lab", health_set=health_set, probe=probe)
    (found,) = run.result(ProbeRun).objects
    return found.result_type


def _restart(lab: Lab, client: Client, server: str, service: str) -> None:
    arguments = {"service": service, "stop_timeout": 90, "not_after": in_time(lab, server)}
    assert client.call(server, "restart_service", **arguments).envelope.ok


def _reboot(lab: Lab, client: Client, server: str) -> None:
    machine = machine_of(lab, server)
    empty(lab, server)
    arguments = {"server": machine.name, "mailbox": machine.mailbox, "not_after": in_time(lab, "mbx3")}
    assert client.call("mbx3", "reboot", **arguments).envelope.ok
    wait_until(lab, lambda: machine.power is Power.OFF)
    wait_until(lab, lambda: machine.runs(*machine.services))


def _copies(client: Client, server: str) -> list[DatabaseCopy]:
    answer = client.call("mbx3", "database_copies", server=f"{server}.contoso.lab").result(DatabaseCopies)
    return [copy for copy in answer.copies if same_server(copy.server, f"{server}.contoso.lab")]


@pytest.mark.parametrize(
    ("server", "monitor", "service", "probe"),
    [
        ("mbx1", "PopDeepTestMonitor", "MSExchangePOP3BE", "POP.Protocol/PopDeepTestProbe"),
        ("mbx1", "PopSelfTestMonitor", "MSExchangePOP3BE", "POP.Protocol/PopSelfTestProbe"),
        ("cas1", "PopCTPMonitor", "MSExchangePOP3", "POP/PopCTPProbe"),
        ("multi1", "popproxytestmonitor", "MSExchangePOP3", "POP.Proxy/PopProxyTestProbe"),
    ],
)
def test_one_monitor_alone_can_be_sick_and_its_service_restarted_cures_it(
    lab: Lab, server: str, monitor: str, service: str, probe: str
) -> None:
    client = Client(lab)
    lab.break_server(server, Fault.RESTART_CURES, monitor=monitor)
    assert {name.lower() for name in _unhealthy(client, server)} == {monitor.lower()}
    assert _probe(client, server, *probe.split("/")) == "Failed"
    _restart(lab, client, server, service)
    assert _probe(client, server, *probe.split("/")) == "Succeeded"
    wait_until(lab, lambda: not lab.servers()[f"{server}.contoso.lab"]["unhealthy"])


def test_a_service_can_need_more_than_one_restart(lab: Lab) -> None:
    client = Client(lab)
    lab.break_server("cas1", Fault.RESTART_CURES, monitor="PopCTPMonitor", restarts=2)
    for expected in ("Failed", "Succeeded"):
        _restart(lab, client, "cas1", "MSExchangePOP3")
        assert _probe(client, "cas1", "POP", "PopCTPProbe") == expected


@pytest.mark.parametrize(("server", "service"), [("mbx1", "MSExchangePOP3BE"), ("cas1", "MSExchangePOP3")])
def test_the_processing_time_is_sick_only_when_named_and_has_no_probe(
    lab: Lab, client: Client, server: str, service: str
) -> None:
    lab.break_server(server, Fault.INCURABLE)
    assert COUNTER_MONITOR not in _unhealthy(client, server)
    lab.cure(server)
    lab.break_server(server, Fault.RESTART_CURES, monitor=COUNTER_MONITOR)
    wait_until(lab, lambda: lab.servers()[f"{server}.contoso.lab"]["unhealthy"] == [COUNTER_MONITOR])
    run = client.call(
        "mbx3", "invoke_probe", server=f"{server}.contoso.lab", health_set="POP", probe="AverageCommandProcessingTime"
    )
    assert run.result(ProbeRun).objects == ()
    _restart(lab, client, server, service)
    wait_until(lab, lambda: not lab.servers()[f"{server}.contoso.lab"]["unhealthy"])


def test_a_service_that_stops_does_not_slow_the_processing_time_down(still_lab: Lab, hand_clock: HandClock) -> None:
    machine = machine_of(still_lab, "cas1")
    with still_lab.simulation.timeline.up_to_date():
        still_lab.simulation.windows.stop_service(machine, machine.services["MSExchangePOP3"])
    hand_clock.advance(still_lab.simulation, 600)
    assert _unhealthy(Client(still_lab), "cas1") == {"PopCTPMonitor", "PopProxyTestMonitor"}


@pytest.mark.parametrize("monitor", ["PopProxyTestMonitor", COUNTER_MONITOR])
def test_only_a_reboot_of_the_client_access_server_cures_and_the_record_has_it(
    lab: Lab, client: Client, monitor: str
) -> None:
    lab.break_server("cas1", Fault.REBOOT_CURES, monitor=monitor)
    _restart(lab, client, "cas1", "MSExchangePOP3")
    assert _unhealthy(client, "cas1") == {monitor}
    _reboot(lab, client, "cas1")
    wait_until(lab, lambda: not lab.servers()[CAS1]["unhealthy"])
    assert [(effect.effect, effect.server) for effect in lab.effects()] == [("restart", CAS1), ("reboot", CAS1)]
    assert lab.effects()[0].detail == "MSExchangePOP3"


def test_the_front_end_is_sick_as_long_as_its_back_end_is_and_a_reboot_does_not_help(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.BACKEND_SICK, backend="mbx2")
    assert _probe(client, "cas1", "POP", "PopCTPProbe") == "Succeeded"
    lab.break_server("mbx2", Fault.RESTART_CURES)
    assert _unhealthy(client, "cas1") == {"PopCTPMonitor"}
    assert _probe(client, "cas1", "POP", "PopCTPProbe") == "Failed"
    assert _probe(client, "cas1", "POP.Proxy", "PopProxyTestProbe") == "Succeeded"
    _reboot(lab, client, "cas1")
    assert _probe(client, "cas1", "POP", "PopCTPProbe") == "Failed"
    _restart(lab, client, "mbx2", "MSExchangePOP3BE")
    assert _probe(client, "cas1", "POP", "PopCTPProbe") == "Succeeded"
    wait_until(lab, lambda: not lab.servers()[CAS1]["unhealthy"])


def test_a_failing_probe_of_the_sick_back_end_is_in_the_log_with_that_server(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.BACKEND_SICK, backend="mbx2")
    lab.break_server("mbx2", Fault.INCURABLE)
    assert {*_proxied(lab, client)} == {
        'R="-ERR Server Unavailable. 21";Msg="Proxy:MBX2.contoso.lab:1995:SSL;ErrMsg=ProxyNotAuthenticated"'
    }


@pytest.mark.parametrize(
    ("faults", "tells", "named"),
    [
        ({Fault.LOG_NAMES_NOBODY: {}}, 'Msg="AuthFailed:LogonDenied"', False),
        ({Fault.INCURABLE: {"reason": "Auth"}}, 'Msg="AuthFailed:LogonDenied"', False),
        ({Fault.LOG_NAMES_NOBODY: {"form": "timed_out"}}, 'Msg="ErrMsg=ProxyTimeout"', True),
        ({}, 'Msg="Proxy:MBX1.contoso.lab:1995:SSL;ErrMsg=ProxyNotAuthenticated"', True),
    ],
)
def test_a_failed_logon_is_in_the_log_as_real_ones_are_with_its_user_or_without(
    lab: Lab, client: Client, faults: dict[Fault, dict[str, str]], tells: str, named: bool
) -> None:
    lab.break_server("cas1", Fault.REBOOT_CURES)
    for fault, options in faults.items():
        lab.break_server("cas1", fault, **options)
    assert [tells in each for each in _proxied(lab, client)] == [True]
    now = lab.clock.now()
    rows = _table(_log(client, now - timedelta(minutes=1), now))
    assert any(row["user"] for row in rows) is named
    assert {row["cIp"].partition(":")[0] for row in rows} == {"127.0.0.1"}


def test_sessions_are_numbered_from_1_at_each_start_front_and_back_end_each_for_itself(
    lab: Lab, client: Client
) -> None:
    machine = machine_of(lab, "multi1")
    machine.pop_log.enabled = True
    for service in ("MSExchangePOP3", "MSExchangePOP3BE", "MSExchangePOP3"):
        _restart(lab, client, "multi1", service)
        _probe(client, "multi1", "POP", "PopCTPProbe")
    with lab.simulation.timeline.up_to_date() as now:
        files = machine.pop_log.files(now, now - timedelta(hours=1), now, log_writer(lab.simulation, machine))
    firsts = [next(line for line in file.text.splitlines() if not line.startswith("#")) for file in files]
    assert [file.name[:5] for file in files] == ["POP20", "POPBE", "POP20"]
    assert {line.split(",")[1] for line in firsts} == {"1"}


def test_a_recovery_that_a_reboot_cut_off_ended_with_it(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.RECOVERY_RUNNING, minutes=600)
    lab.break_server("cas1", Fault.RECOVERY_DEAD, minutes=600)
    _reboot(lab, client, "cas1")
    actions = client.call("cas1", "recovery_log", hours=6).result(RecoveryLog).actions
    booted = machine_of(lab, "cas1").boot_time
    assert [(action.ended, action.result) for action in actions] == [(booted, "the server booted")] * 2


def _table(log: ProtocolLog) -> list[dict[str, str]]:
    return [dict(zip(log.columns, row, strict=True)) for row in log.rows]


def _proxied(lab: Lab, client: Client) -> list[str]:
    """What the log of cas1 says about its probes' logons, after logging was switched on and a probe was run."""
    machine_of(lab, "cas1").pop_log.enabled = True
    _restart(lab, client, "cas1", "MSExchangePOP3")
    begun = lab.clock.now()
    _probe(client, "cas1", "POP", "PopCTPProbe")
    with lab.simulation.timeline.up_to_date():
        (session,) = machine_of(lab, "cas1").pop_log.probes
    assert session.at >= begun
    log = _log(client, session.at - timedelta(seconds=1), session.at + timedelta(seconds=1))
    rows = [dict(zip(log.columns, row, strict=True)) for row in log.rows]
    return [row["context"] for row in rows if row["command"] == "pass"]


def _log(client: Client, since: object, until: object) -> ProtocolLog:
    arguments = {"folder": FOLDER, "since": str(since), "until": str(until), "users": ["HealthMailbox*"]}
    return client.call("cas1", "protocol_log", **arguments).result(ProtocolLog)


def test_a_log_can_name_nobody(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.LOG_NAMES_NOBODY)
    assert {*_proxied(lab, client)} == {"R=ok"}


def test_a_log_can_have_its_columns_in_another_order(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.LOG_COLUMNS_DIFFER)
    assert {*_proxied(lab, client)} == {'R=ok;Msg="Proxy:MBX1.contoso.lab:1995:SSL"'}
    columns = _log(client, lab.clock.now() - timedelta(hours=1), lab.clock.now()).columns
    assert set(columns) > set(COLUMNS)
    assert columns[: len(COLUMNS)] != COLUMNS


def test_the_log_is_in_the_form_that_the_service_writes(lab: Lab, client: Client) -> None:
    machine = machine_of(lab, "cas1")
    _proxied(lab, client)
    with lab.simulation.timeline.up_to_date() as now:
        (file,) = machine.pop_log.files(now, now - timedelta(hours=1), now, log_writer(lab.simulation, machine))
    lines = file.text.split("\r\n")
    assert [line.partition(":")[0] for line in lines[:5]] == ["#Software", "#Version", "#Log-type", "#Date", "#Fields"]
    assert lines[4] == "#Fields: " + ",".join(COLUMNS)
    assert any('"R=ok;Msg=""Proxy:MBX1.contoso.lab:1995:SSL"""' in line for line in lines)


def test_a_stale_monitor_is_one_row_or_all_of_pop(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.STALE_MONITOR, monitor="PopSelfTestMonitor")
    assert [row.name for row in _rows(client, "mbx1") if row.is_stale] == ["PopSelfTestMonitor"]
    lab.break_server("mbx1", Fault.STALE_MONITOR)
    assert {row.is_stale for row in _rows(client, "mbx1")} == {True}
    lab.cure("mbx1")
    assert {row.is_stale for row in _rows(client, "mbx1")} == {False}


def test_a_monitor_can_say_something_else_than_its_probe(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.INCURABLE)
    lab.break_server("mbx1", Fault.MONITOR_SAYS, monitor="PopSelfTestMonitor", value="Disabled")
    rows = {row.name: row.alert_value for row in _rows(client, "mbx1")}
    assert (rows["PopDeepTestMonitor"], rows["PopSelfTestMonitor"]) == ("Unhealthy", "Disabled")
    lab.break_server("mbx1", Fault.MONITOR_SAYS)
    assert {row.alert_value for row in _rows(client, "mbx1")} == {"Repairing"}


def test_an_answer_can_be_empty_as_often_as_asked_for(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.EMPTY_ANSWER, script="server_health", count=1)
    assert client.call("mbx3", "dag_health", server=MBX1).result(DagHealth).replication
    assert _rows(client, "mbx1") == []
    assert _rows(client, "mbx1")


def test_one_of_several_targets_can_be_bad(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.SECOND_TARGET_BAD, monitor="PopSelfTestMonitor")
    rows = [row for row in _rows(client, "mbx1") if row.name == "PopSelfTestMonitor"]
    assert [row.alert_value for row in rows] == ["Healthy", "Unhealthy"]
    assert rows[0].target_resource != rows[1].target_resource
    assert _probe(client, "mbx1", "POP.Protocol", "PopSelfTestProbe") == "Succeeded"


def test_lagged_copies_show_and_nothing_is_moved_to_them(still_lab: Lab, hand_clock: HandClock) -> None:
    client = Client(still_lab)
    still_lab.break_server("mbx2", Fault.LAGGED_COPIES)
    still_lab.break_server("mbx3", Fault.LAGGED_COPIES, database="MBX1-DB1")
    passive = [copy for copy in _copies(client, "mbx2") if not copy.active]
    assert passive
    assert {(copy.lagged, copy.status, copy.replay_queue > 50) for copy in passive} == {(True, "Healthy", True)}
    assert [copy.database for copy in _copies(client, "mbx3") if copy.lagged] == ["MBX1-DB1"]
    assert _moved_to(still_lab, hand_clock) == {"MBX1-DB1": MBX1, "MBX1-DB2": "mbx3.contoso.lab"}


def test_suspended_copies_show_fail_a_check_and_nothing_is_moved_to_them(still_lab: Lab, hand_clock: HandClock) -> None:
    client = Client(still_lab)
    still_lab.break_server("mbx2", Fault.SUSPENDED_COPIES, database="MBX1-DB2")
    (suspended,) = [copy for copy in _copies(client, "mbx2") if copy.activation_suspended]
    assert (suspended.database, suspended.status) == ("MBX1-DB2", "Suspended")
    assert _failed_checks(client, "mbx2") == ["DBCopySuspended"]
    assert _failed_checks(client, "mbx1") == []
    assert _moved_to(still_lab, hand_clock)["MBX1-DB2"] == "mbx3.contoso.lab"
    still_lab.cure("mbx2")
    assert not [copy for copy in _copies(client, "mbx2") if copy.activation_suspended]


def _moved_to(lab: Lab, hand_clock: HandClock) -> dict[str, str]:
    """Where the databases of mbx1 are, some time after its activation was blocked."""
    with lab.simulation.timeline.up_to_date():
        lab.simulation.databases.set_blocked(machine_of(lab, "mbx1"), blocked=True)
    for _ in range(20):
        hand_clock.advance(lab.simulation, 30)
    databases = lab.simulation.organisation.databases
    return {name: databases[name].active for name in ("MBX1-DB1", "MBX1-DB2")}


def _failed_checks(client: Client, server: str) -> list[str]:
    answer = client.call("mbx3", "dag_health", server=f"{server}.contoso.lab").result(DagHealth)
    return [check.check for check in answer.replication if not check.passed]


def test_a_replication_check_can_fail(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.REPLICATION_FAILED, check="QuorumGroup")
    assert _failed_checks(client, "mbx1") == ["QuorumGroup"]
    assert _failed_checks(client, "mbx2") == []


def test_a_paused_node_shows_in_the_cluster(lab: Lab, client: Client) -> None:
    lab.break_server("mbx2", Fault.NODE_PAUSED)
    members = client.call("mbx3", "dag_health", server=MBX1).result(DagHealth).members
    assert [(member.server, member.node_state) for member in members] == [
        ("MBX1", "Up"),
        ("MBX2", "Paused"),
        ("MBX3", "Up"),
    ]


def test_a_member_that_is_down_is_away_until_it_is_cured_and_nobody_is_blamed(
    still_lab: Lab, hand_clock: HandClock
) -> None:
    client = Client(still_lab)
    still_lab.break_server("mbx2", Fault.MEMBER_DOWN)
    hand_clock.advance(still_lab.simulation, 3600)
    assert machine_of(still_lab, "mbx2").power is Power.OFF
    members = client.call("mbx3", "dag_health", server=MBX1).result(DagHealth).members
    assert [(member.node_state, member.operational) for member in members] == [
        ("Up", True),
        ("Down", False),
        ("Up", True),
    ]
    assert _failed_checks(client, "mbx1") == ["DagMembersUp"]
    assert client.call("mbx3", "dag_health", server=MBX2).error_kind == "broken"
    databases = still_lab.simulation.organisation.databases
    assert databases["MBX2-DB1"].active != MBX2
    assert databases["MBX2-DB1"].state == "Mounted"
    assert still_lab.effects() == ()
    still_lab.cure("mbx2")
    hand_clock.advance(still_lab.simulation, 600)
    assert _failed_checks(client, "mbx1") == []


@pytest.mark.parametrize("form", MAINTENANCE_FORMS)
def test_each_form_of_maintenance_shows_in_its_own_place_and_ends_with_the_cure(
    lab: Lab, client: Client, form: str
) -> None:
    def requesters(server: str, component: str) -> list[str]:
        asked = client.call(server, "server_state", services=[]).result(ServerState).component_requests
        assert asked is not None
        return [request.requester for request in asked[component] if request.state != "Active"]

    def signs() -> set[str]:
        exchange = client.call("mbx3", "exchange_server", server=MBX1).result(ExchangeServer)
        copies = client.call("mbx3", "database_copies", server=MBX1).result(DatabaseCopies)
        itself = next(member for member in copies.members if same_server(member.server, MBX1))
        odd = [component for component in exchange.components if component.state != "Active"]
        for component in odd:
            assert {request.requester for request in component.requests} == {"unreadable"}, "a session loses its parts"
            assert requesters("mbx1", component.name) == ["Maintenance"]
        found = {f"{component.name} {component.state}" for component in odd}
        found |= {"activation"} if itself.activation_blocked else set()
        return found | ({"policy"} if itself.activation_policy == "Blocked" else set())

    assert signs() == set()
    lab.break_server("mbx1", Fault.MAINTENANCE, form=form)
    expected = {
        "server_wide_offline": "ServerWideOffline Inactive",
        "hub_transport": "HubTransport Draining",
        "activation": "activation",
        "policy": "policy",
    }
    assert signs() == {expected[form]}
    lab.cure("mbx1")
    assert signs() == set()


def test_a_client_access_server_in_maintenance_is_server_wide_offline(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.MAINTENANCE)
    exchange = client.call("mbx3", "exchange_server", server=CAS1).result(ExchangeServer)
    assert [component.name for component in exchange.components if component.state != "Active"] == ["ServerWideOffline"]


def test_a_recovery_under_way_ends_after_its_minutes(still_lab: Lab, hand_clock: HandClock) -> None:
    client = Client(still_lab)
    still_lab.break_server("mbx2", Fault.RECOVERY_RUNNING, action="RestartService", minutes=5)
    hand_clock.advance(still_lab.simulation, 299)
    (action,) = client.call("mbx2", "recovery_log", hours=12).result(RecoveryLog).actions
    own_clock = hand_clock.now() + machine_of(still_lab, "mbx2").skew
    assert (action.action, action.resource, action.ended) == ("RestartService", "MSExchangePOP3BE", None)
    assert action.started == own_clock - timedelta(seconds=299)
    hand_clock.advance(still_lab.simulation, 2)
    (action,) = client.call("mbx2", "recovery_log", hours=12).result(RecoveryLog).actions
    assert action.ended == action.started + timedelta(minutes=5)


def test_recent_recoveries_are_told_newest_first_and_only_those_of_the_hours_asked_for(still_lab: Lab) -> None:
    client = Client(still_lab)
    still_lab.break_server("mbx1", Fault.RECOVERY_RECENT, action="ForceReboot", minutes=120)
    still_lab.break_server("mbx1", Fault.RECOVERY_RUNNING)
    actions = client.call("mbx1", "recovery_log", hours=12).result(RecoveryLog).actions
    assert [action.action for action in actions] == ["RestartService", "ForceReboot"]
    assert actions[1].ended == still_lab.clock.now() - timedelta(minutes=120)
    assert len(client.call("mbx1", "recovery_log", hours=1).result(RecoveryLog).actions) == 1


def test_a_start_type_can_be_another_one_until_it_is_cured(lab: Lab, client: Client) -> None:
    def start_type(server: str, service: str) -> str:
        return client.call(server, "server_state", services=[service]).result(ServerState).services[0].start_type

    lab.break_server("cas1", Fault.START_TYPE)
    lab.break_server("mbx1", Fault.START_TYPE, start_type="Disabled")
    assert start_type("cas1", "MSExchangePOP3") == "Manual"
    assert start_type("mbx1", "MSExchangePOP3BE") == "Disabled"
    lab.cure("cas1")
    assert start_type("cas1", "MSExchangePOP3") == "Automatic"


@pytest.mark.parametrize("requester", ["Maintenance", "HealthAPI"])
def test_an_inactive_proxy_names_its_requester_and_a_restart_does_not_keep_the_service_up(
    lab: Lab, client: Client, requester: str
) -> None:
    lab.break_server("cas1", Fault.POPPROXY_INACTIVE, requester=requester)
    exchange = client.call("mbx3", "exchange_server", server=CAS1).result(ExchangeServer)
    (odd,) = [component for component in exchange.components if component.state != "Active"]
    assert odd.name == "PopProxy"
    asked = client.call("cas1", "server_state", services=[]).result(ServerState).component_requests
    assert asked is not None
    assert [each.requester for each in asked["PopProxy"] if each.state == "Inactive"] == [requester]
    service = machine_of(lab, "cas1").services["MSExchangePOP3"]
    wait_until(lab, lambda: service.status == "Stopped")
    _restart(lab, client, "cas1", "MSExchangePOP3")
    wait_until(lab, lambda: service.status == "Stopped")
    lab.cure("cas1")
    wait_until(lab, lambda: service.running)


@pytest.mark.parametrize(
    ("server", "roles"), [("mbx1", (True, True)), ("cas1", (True, True)), ("multi1", (True, False))]
)
def test_roles_can_differ_from_the_inventory_in_every_answer(
    lab: Lab, client: Client, server: str, roles: tuple[bool, bool]
) -> None:
    lab.break_server(server, Fault.ROLES_DIFFER)
    name = f"{server}.contoso.lab"
    exchange = client.call("mbx3", "exchange_server", server=name).result(ExchangeServer)
    assert (exchange.mailbox_role, exchange.client_access_role) == roles
    assert client.call("mbx3", "database_copies", server=name).result(DatabaseCopies).mailbox_role == roles[0]


def test_the_other_client_access_servers_of_the_site_can_be_sick(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.OTHER_CAS_SICK)
    assert _unhealthy(client, "cas1") == set()
    assert _unhealthy(client, "cas2") == {"PopCTPMonitor", "PopProxyTestMonitor"}
    assert _unhealthy(client, "cas3") == set()
    lab.cure("cas1")
    assert lab.servers()["cas2.contoso.lab"]["faults"] == {}


@pytest.mark.parametrize(
    ("server", "fault", "options"),
    [
        ("mbx1", "incurable", {"monitor": "PopCTPMonitor"}),
        ("mbx1", "backend_sick", {}),
        ("cas1", "backend_sick", {"backend": "cas2"}),
        ("mbx1", "popproxy_inactive", {}),
        ("mbx1", "log_names_nobody", {}),
        ("cas1", "node_paused", {}),
        ("alone1", "member_down", {}),
        ("multi1", "replication_failed", {}),
        ("mbx1", "maintenance", {"form": "asleep"}),
        ("cas1", "maintenance", {"form": "activation"}),
        ("alone1", "lagged_copies", {}),
        ("mbx1", "suspended_copies", {"database": "MBX4-DB1"}),
        ("cas1", "start_type", {"service": "MSExchangePOP3BE"}),
        ("mbx1", "recovery_running", {"minutes": "five"}),
        ("mbx1", "stale_monitor", {"monitor": "NoSuchMonitor"}),
        ("alone1", "second_target_bad", {"monitor": "NoSuchMonitor"}),
    ],
)
def test_what_makes_no_sense_on_a_server_is_refused_and_changes_nothing(
    lab: Lab, server: str, fault: str, options: dict[str, object]
) -> None:
    with pytest.raises(OperatorError, match=r"\w+ \w+"):
        lab.break_server(server, fault, **options)
    assert not any(machine.faults for machine in lab.simulation.organisation.machines.values())
