"""`exmedic doctor` against the lab over real WinRM."""

import json
import re
import socket
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from daemon.config.settings import Credential, Secret
from daemon.doctor.needs import Holds, needs
from daemon.domain.errors import OperatorError
from daemon.exchange import answers
from daemon.lab.faults import Fault
from daemon.lab.pop_log import FRONT, Span
from tests.doctor.conftest import Site

#: (script, where it runs, effect), from the contract's own table.
CONTRACT = re.findall(r"^\| (\w+) +\| (a peer|itself|any) +\| (\w[\w ]*?) +\|", answers.__doc__ or "", re.MULTILINE)
READING = {script for script, _, effect in CONTRACT if effect == "read"}


def verdicts(site: Site, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by name of the one server that was asked for."""
    result = site.doctor("--json", *arguments)
    (report,) = json.loads(result.stdout)
    return result.exit_code, {finding["name"]: finding for finding in report["findings"]}


def test_the_contract_names_scripts_that_read_and_others() -> None:
    assert {"server_health", "protocol_log", "step_running"} <= READING
    assert {"reboot", "set_activation"}.isdisjoint(READING)


def test_healthy_servers_are_fit_and_every_reading_script_was_run_and_nothing_else(site: Site) -> None:
    result = site.doctor("--server", "mbx1", "--server", "cas1")
    assert result.exit_code == 0, result.output
    assert "mbx1.contoso.lab: fit" in result.output
    assert "cas1.contoso.lab: fit" in result.output
    assert {script for _, script in site.lab.reads()} == READING
    assert site.lab.effects() == ()


def test_a_script_about_a_server_runs_on_a_peer_and_the_others_on_itself(site: Site) -> None:
    assert site.doctor("--server", "cas1").exit_code == 0
    itself = {script for executor, script in site.lab.reads() if executor == "cas1.contoso.lab"}
    # The second hop is tried from the server itself, about another.
    assert itself == {script for script, where, effect in CONTRACT if where != "a peer" and effect == "read"} | {
        "exchange_server"
    }


def test_all_asks_every_server_of_the_inventory(site: Site) -> None:
    result = site.doctor("--all", "--json")
    assert result.exit_code == 0, result.output
    assert [report["server"] for report in json.loads(result.stdout)] == [one.name for one in site.inventory]
    assert site.lab.effects() == ()


def test_a_wrong_password_costs_one_logon_however_many_servers_are_asked(site: Site) -> None:
    """The page of a refused password sends people here: it must not lock the account."""
    site.change("lab.password", lambda _: "wrong-Passw0rd\n")
    servers = ("mbx1", "mbx2", "mbx3", "mbx4", "cas1", "cas2")
    assert site.doctor(*(part for server in servers for part in ("--server", server))).exit_code == 1
    assert site.lab.refused_logons() == 1


def test_the_report_is_readable_at_80_columns(site: Site) -> None:
    site.lab.break_server("multi1", Fault.PROBE_CANNOT_RUN)
    result = site.doctor("--server", "multi1")
    assert max(len(line) for line in result.output.splitlines()) <= 80


def test_a_wrong_password_is_no_logon_and_nothing_more_is_tried(site: Site) -> None:
    site.change("lab.password", lambda _: "wrong-Passw0rd\n")
    code, found = verdicts(site, "--server", "mbx1")
    assert code == 1
    assert found["reachable"]["verdict"] == "holds"
    assert found["logon and WinRM"]["verdict"] == "does not hold"
    assert "refuses the credential" in found["logon and WinRM"]["seen"]
    assert "[credentials.lab]" in found["logon and WinRM"]["advice"]
    assert found["Get-ServerHealth"]["verdict"] == "cannot tell"
    assert site.lab.reads() == {}
    assert "wrong-Passw0rd" not in json.dumps(found)


def test_a_silent_endpoint_is_reachable_without_a_logon(site: Site) -> None:
    site.change("exmedic.toml", lambda text: text.replace("call_timeout = 600", "call_timeout = 1.5"))
    site.lab.break_server("mbx1", Fault.SILENT_ENDPOINT)
    code, found = verdicts(site, "--server", "mbx1")
    assert code == 1
    assert found["reachable"]["verdict"] == "holds"
    assert found["logon and WinRM"]["verdict"] == "does not hold"
    assert site.lab.reads() == {}


def test_an_endpoint_where_nothing_listens_is_not_reachable(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    endpoint = site.lab.endpoints["mbx1.contoso.lab"]
    site.change("inventory.toml", lambda text: text.replace(endpoint, f"http://127.0.0.1:{port}/wsman"))
    code, found = verdicts(site, "--server", "mbx1")
    assert code == 1
    assert found["reachable"]["verdict"] == "does not hold"
    assert str(port) in found["reachable"]["seen"]
    assert found["logon and WinRM"]["verdict"] == "cannot tell"
    assert site.lab.reads() == {}
    told, after, *_ = site.doctor("--server", "mbx1").output.splitlines()
    assert told.startswith(f"mbx1.contoso.lab: not reached: 127.0.0.1:{port}: Connect call failed")
    assert after.startswith("roles: "), "nothing else about the server"


def test_a_refused_second_hop_is_told_with_what_would_help(site: Site) -> None:
    """Such a credential is refused by `exmedic check` with NTLM; with Kerberos it is only seen at the server."""
    secret = Secret(file=site.config.parent / "lab.password")
    undelegated = Credential.model_construct(
        transport="ntlm", username=site.lab.username, password=secret, second_hop="delegated", ca=None
    )
    seen = site.examine("mbx1", undelegated)
    found = {finding.name: finding for finding in needs(seen)}
    assert found["logon and WinRM"].holds is Holds.YES
    assert found["second hop from mbx1"].holds is Holds.NO
    assert 'second_hop = "credential"' in found["second hop from mbx1"].advice
    assert found["Get-ServerHealth"].holds is Holds.OPEN
    assert found["MSExchangePOP3BE"].holds is Holds.YES, "what needs no second hop is told all the same"
    assert site.lab.effects() == ()


@pytest.mark.parametrize("refusal", ["denied", "logon", "no_session"])
def test_a_session_that_exchange_does_not_open_is_no_second_hop_whatever_it_says(site: Site, refusal: str) -> None:
    """A domain takes an old password for a while, Exchange not; and one that is right may not be let in."""
    site.lab.break_server("mbx1", Fault.SESSION_REFUSED, refusal=refusal)
    code, found = verdicts(site, "--server", "mbx1")
    assert (code, found["second hop from mbx1"]["verdict"]) == (1, "does not hold")
    assert "Opening the Microsoft.Exchange session: " in found["second hop from mbx1"]["seen"]


@pytest.mark.parametrize("cmdlet", ["Get-MailboxDatabase", "Test-ReplicationHealth", "Invoke-MonitoringProbe"])
def test_a_cmdlet_that_is_not_granted_is_named(site: Site, cmdlet: str) -> None:
    site.lab.break_server("mbx1", Fault.CMDLET_DENIED, cmdlet=cmdlet)
    _, found = verdicts(site, "--server", "mbx1")
    assert found[cmdlet]["verdict"] == "does not hold"
    assert found["Get-ExchangeServer"]["verdict"] == "holds"


@pytest.mark.parametrize("other", ["mbx9", "evil.example.com", "mbx1; Stop-Computer"])
def test_a_server_that_is_not_in_the_inventory_is_never_contacted_nor_any_other(site: Site, other: str) -> None:
    result = site.doctor("--server", "mbx1", "--server", other)
    assert isinstance(result.exception, OperatorError)
    assert other in str(result.exception)
    assert site.lab.reads() == {}


def test_without_a_server_the_usage_is_told(site: Site) -> None:
    assert site.doctor().exit_code == 2
    assert site.doctor("--all", "--server", "mbx1").exit_code == 2


def test_a_configuration_with_mistakes_is_told_before_anything_is_contacted(site: Site) -> None:
    site.change("inventory.toml", lambda text: text.replace('site = "Lyon"', "site = 7", 1))
    result = CliRunner().invoke(app, ["doctor", "--config", str(site.config), "--server", "mbx1"])
    assert result.exit_code == 2
    assert site.lab.reads() == {}


@pytest.mark.parametrize(
    ("server", "fault", "options", "name"),
    [
        ("mbx1", Fault.PROBE_CANNOT_RUN, {}, "the probes of the runbooks can be invoked"),
        ("multi1", Fault.ROLES_DIFFER, {}, "roles as in the inventory"),
        ("mbx1", Fault.START_TYPE, {"start_type": "Manual"}, "MSExchangePOP3BE"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(
    site: Site, server: str, fault: Fault, options: dict[str, str], name: str
) -> None:
    site.lab.break_server(server, fault, **options)
    code, found = verdicts(site, "--server", server)
    assert code == 1
    assert found[name]["verdict"] == "does not hold"
    assert found[name]["missing"]
    assert found[name]["advice"]
    assert [other for other, finding in found.items() if finding["missing"]] == [name]


def test_a_clock_that_differs_too_much_for_kerberos_is_told(site: Site) -> None:
    site.lab.simulation.machine("mbx3").skew = timedelta(minutes=20)
    code, found = verdicts(site, "--server", "mbx3")
    assert code == 1
    assert "ahead" in found["clock"]["seen"]
    assert verdicts(site, "--server", "mbx2")[0] == 0, "three minutes are within what Kerberos allows"


@pytest.mark.parametrize("differ", [False, True])
def test_a_protocol_log_that_is_on_is_judged_by_its_columns_and_by_the_servers_it_names(
    site: Site, differ: bool
) -> None:
    machine = site.lab.simulation.machine("cas1")
    with site.lab.simulation.timeline.up_to_date():
        machine.pop_log.spans.append(Span(FRONT, site.lab.clock.now() - timedelta(hours=2)))
    if differ:
        site.lab.break_server("cas1", Fault.LOG_COLUMNS_DIFFER)
    code, found = verdicts(site, "--server", "cas1")
    assert code == 0, found
    assert found["the protocol log has the columns that are needed"]["verdict"] == "holds"
    assert "mbx1.contoso.lab" in found["the protocol log names the server of a session"]["seen"]


def test_a_protocol_log_that_names_nobody_is_a_fact_that_does_not_hold(site: Site) -> None:
    machine = site.lab.simulation.machine("cas1")
    with site.lab.simulation.timeline.up_to_date():
        machine.pop_log.spans.append(Span(FRONT, site.lab.clock.now() - timedelta(hours=2)))
    site.lab.break_server("cas1", Fault.LOG_NAMES_NOBODY)
    code, found = verdicts(site, "--server", "cas1")
    assert code == 1
    assert found["the protocol log names the server of a session"]["verdict"] == "does not hold"


def test_facts_that_are_older_than_allowed_when_they_are_complete_make_a_server_unfit(site: Site) -> None:
    site.change("exmedic.toml", lambda text: text + "\n[timing]\nfacts_age = 0.001\n")
    code, found = verdicts(site, "--server", "mbx1")
    assert code == 1
    assert found["facts read in time"]["missing"]
    assert "set facts_age to 1 in [timing]" in found["facts read in time"]["advice"]
