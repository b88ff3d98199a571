"""The scripts that the whole page needs, over pywinrm and held against the contract: a healthy organisation's answers.

What a fault makes of them is in test_whole_page_faults.
"""

from datetime import timedelta

import pytest

from daemon.exchange.answers import (
    DagHealth,
    ExchangeServer,
    PopSettings,
    ProbeRun,
    ProtocolLog,
    ProtocolLogSet,
    RecoveryLog,
    RestartedService,
    ServerHealth,
)
from daemon.lab.lab import Lab
from daemon.lab.pop_log import FOLDER
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, in_time, machine_of

CAS1, MBX1 = "cas1.contoso.lab", "mbx1.contoso.lab"
PEER = {"cas1": "mbx1", "mbx1": "mbx2", "multi1": "mbx1", "alone1": "mbx1"}


@pytest.mark.parametrize(
    ("server", "mailbox", "client_access", "site"),
    [("mbx1", True, False, "Lyon"), ("cas1", False, True, "Lyon"), ("multi1", True, True, "Nantes")],
)
def test_a_server_tells_its_roles_its_site_and_that_everything_is_active(
    client: Client, server: str, mailbox: bool, client_access: bool, site: str
) -> None:
    output = client.call(PEER[server], "exchange_server", server=f"{server}.contoso.lab")
    answer = output.result(ExchangeServer)
    assert (answer.mailbox_role, answer.client_access_role, answer.site) == (mailbox, client_access, site)
    assert {component.state for component in answer.components} == {"Active"}
    names = {component.name for component in answer.components}
    assert "ServerWideOffline" in names
    assert ("HubTransport" in names) == mailbox
    assert ("PopProxy" in names) == client_access
    assert len(names) == len(answer.components)


def test_a_healthy_dag_has_all_members_up_and_every_check_passed(client: Client) -> None:
    answer = client.call("cas1", "dag_health", server=MBX1).result(DagHealth)
    assert answer.dag == "DAG1"
    assert [member.server for member in answer.members] == ["MBX1", "MBX2", "MBX3"]
    assert {(member.operational, member.in_maintenance, member.node_state) for member in answer.members} == {
        (True, False, "Up")
    }
    assert len(answer.replication) > 5
    assert all(check.passed and not check.error for check in answer.replication)


@pytest.mark.parametrize("server", ["cas1", "alone1"])
def test_a_server_in_no_dag_has_neither_members_nor_checks(client: Client, server: str) -> None:
    answer = client.call(PEER[server], "dag_health", server=f"{server}.contoso.lab").result(DagHealth)
    assert (answer.dag, answer.members, answer.replication, answer.witness_counts) == (None, (), (), False)


def test_managed_availability_has_done_nothing_lately(client: Client) -> None:
    assert client.call("mbx1", "recovery_log", hours=12).result(RecoveryLog).actions == ()


@pytest.mark.parametrize("hours", [0, -1, "many", None, True])
def test_hours_must_be_a_positive_number(client: Client, hours: object) -> None:
    assert client.call("mbx1", "recovery_log", hours=hours).error_kind == "broken"


def test_the_protocol_log_is_off_until_it_is_switched_on_from_the_expected_value(lab: Lab, client: Client) -> None:
    def set_to(value: bool, expected: bool) -> dict[str, object]:
        return {"server": CAS1, "expected": expected, "value": value, "not_after": in_time(lab, "mbx1")}

    settings = client.call("mbx1", "pop_settings", server=CAS1).result(PopSettings)
    assert (settings.server, settings.protocol_log_enabled, settings.log_location) == (CAS1, False, FOLDER)
    assert client.call("mbx1", "set_protocol_log", **set_to(value=True, expected=True)).error_kind == "conflict"
    first = client.call("mbx1", "set_protocol_log", "s1", **set_to(value=True, expected=False)).result(ProtocolLogSet)
    again = client.call("mbx1", "set_protocol_log", **set_to(value=True, expected=False)).result(ProtocolLogSet)
    assert client.call("mbx1", "pop_settings", server=CAS1).result(PopSettings).protocol_log_enabled
    back = client.call("mbx1", "set_protocol_log", "s2", **set_to(value=False, expected=True)).result(ProtocolLogSet)
    assert (first.before, first.after, first.changed) == (False, True, True)
    assert (again.before, again.after, again.changed) == (True, True, False)
    assert (back.before, back.after, back.changed) == (True, False, True)
    recorded = [(effect.effect, effect.server, effect.executor, effect.step) for effect in lab.effects()]
    assert recorded == [("protocol_log_on", CAS1, MBX1, "s1"), ("protocol_log_off", CAS1, MBX1, "s2")]


def test_switching_the_protocol_log_too_late_changes_nothing(lab: Lab, client: Client) -> None:
    arguments = {"server": CAS1, "expected": False, "value": True, "not_after": "2000-01-01T00:00:00Z"}
    assert client.call("mbx1", "set_protocol_log", **arguments).error_kind == "expired"
    assert not client.call("mbx1", "pop_settings", server=CAS1).result(PopSettings).protocol_log_enabled
    assert lab.effects() == ()


@pytest.mark.parametrize("script", ["exchange_server", "dag_health", "pop_settings", "set_protocol_log"])
def test_what_is_asked_of_exchange_needs_a_second_hop(lab: Lab, script: str) -> None:
    arguments = {"server": CAS1, "expected": False, "value": True, "not_after": in_time(lab, "mbx1")}
    assert Client(lab, logon=False).call("mbx1", script, **arguments).error_kind == "second_hop"


@pytest.mark.parametrize(("script", "arguments"), [("recovery_log", {"hours": 1})])
def test_what_a_server_reads_in_its_own_logs_needs_none(lab: Lab, script: str, arguments: dict[str, object]) -> None:
    assert Client(lab, logon=False).call("mbx1", script, **arguments).envelope.ok


def test_a_health_set_with_a_star_asks_for_all_that_begin_so(client: Client) -> None:
    def rows(server: str, health_set: str) -> set[tuple[str, str]]:
        output = client.call("mbx2", "server_health", server=server, health_sets=[health_set])
        return {(row.health_set, row.name) for row in output.result(ServerHealth).rows}

    counter = ("POP", "AverageCommandProcessingTimeGt60sMonitor")
    assert rows(CAS1, "POP*") == {("POP", "PopCTPMonitor"), ("POP.Proxy", "PopProxyTestMonitor"), counter}
    assert rows(MBX1, "pop*") == {
        ("POP.Protocol", "PopDeepTestMonitor"),
        ("POP.Protocol", "PopSelfTestMonitor"),
        counter,
    }
    assert rows(MBX1, "POP") == {counter}


def _switch_on(lab: Lab, client: Client, server: str = "cas1") -> None:
    arguments = {"server": f"{server}.contoso.lab", "expected": False, "value": True}
    client.call("mbx1", "set_protocol_log", **arguments, not_after=in_time(lab, "mbx1")).result(ProtocolLogSet)


def _restart(lab: Lab, client: Client, server: str = "cas1") -> None:
    arguments = {"service": "MSExchangePOP3", "stop_timeout": 90, "not_after": in_time(lab, server)}
    client.call(server, "restart_service", **arguments).result(RestartedService)


def _probe(client: Client, server: str = "cas1") -> None:
    name = f"{server}.contoso.lab"
    run = client.call("mbx1", "invoke_probe", server=name, health_set="POP", probe="PopCTPProbe")
    assert run.result(ProbeRun).objects


def _read(lab: Lab, client: Client, server: str = "cas1", **changes: object) -> ProtocolLog:
    now = lab.clock.now() + machine_of(lab, server).skew
    arguments: dict[str, object] = {
        "folder": FOLDER,
        "since": (now - timedelta(hours=2)).isoformat(),
        "until": now.isoformat(),
        "users": ["HealthMailbox*"],
    }
    return client.call(server, "protocol_log", **{**arguments, **changes}).result(ProtocolLog)


def test_the_service_writes_its_log_only_when_it_was_restarted_after_the_change(lab: Lab, client: Client) -> None:
    _switch_on(lab, client)
    _probe(client)
    before = _read(lab, client)
    _restart(lab, client)
    _probe(client)
    after = _read(lab, client)
    assert (before.files, before.columns, before.rows) == (0, (), ())
    assert after.files == 1
    assert after.rows
    assert not after.truncated


def test_the_log_shows_the_probes_session_among_others_and_whom_it_was_handed_on_to(lab: Lab, client: Client) -> None:
    log = machine_of(lab, "cas1").pop_log
    log.enabled = True
    log.service_started("MSExchangePOP3", lab.clock.now() - timedelta(minutes=10))
    _probe(client)
    probes = _read(lab, client)
    everybody = _read(lab, client, users=["*"])
    table = [dict(zip(probes.columns, row, strict=True)) for row in probes.rows]
    assert {row["user"].partition("@")[0][:13] for row in table} == {"", "HealthMailbox"}
    assert {row["context"] for row in table if row["command"] == "pass"} == {
        'R=ok;Msg="Proxy:MBX1.contoso.lab:1995:SSL"'
    }
    assert {row["command"] for row in table} >= {"OpenSession", "user", "pass", "quit", "CloseSession"}
    assert len(everybody.rows) > len(probes.rows)
    servers = {row[everybody.columns.index("context")] for row in everybody.rows}
    assert any("MBX3" in context for context in servers)


def test_only_lines_of_the_span_asked_for_are_sent_on_the_servers_own_clock(lab: Lab, client: Client) -> None:
    machine_of(lab, "cas1").skew = timedelta(hours=5)
    _switch_on(lab, client)
    _restart(lab, client)
    _probe(client)
    now = lab.clock.now() + timedelta(hours=5)
    answer = _read(lab, client, users=["*"], since=(now - timedelta(seconds=30)).isoformat(), until=now.isoformat())
    times = [row[answer.columns.index("dateTime")] for row in answer.rows]
    assert all((now - timedelta(seconds=30)).isoformat()[:19] <= time[:19] <= now.isoformat()[:19] for time in times)
    assert times == sorted(times)


def test_no_more_rows_are_sent_than_the_limit(still_lab: Lab, hand_clock: HandClock) -> None:
    client = Client(still_lab)
    still_lab.simulation.machine("cas1").pop_log.enabled = True
    still_lab.simulation.machine("cas1").pop_log.service_started("MSExchangePOP3", hand_clock.now())
    hand_clock.advance(still_lab.simulation, 3 * 3600)
    since = (hand_clock.now() - timedelta(hours=2)).isoformat()
    answer = _read(still_lab, client, users=["*"], since=since)
    assert (len(answer.rows), answer.truncated) == (2000, True)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"folder": r"C:\Windows"}, "not_found"),
        ({"folder": ""}, "broken"),
        ({"since": "yesterday"}, "broken"),
        ({"until": "2026-11-02T03:00:00"}, "broken"),
        ({"users": []}, "broken"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(client: Client, changes: dict[str, object], kind: str) -> None:
    arguments = {
        "folder": FOLDER,
        "since": "2026-11-02T03:00:00Z",
        "until": "2026-11-02T04:00:00Z",
        "users": ["*"],
        **changes,
    }
    assert client.call("cas1", "protocol_log", **arguments).error_kind == kind
