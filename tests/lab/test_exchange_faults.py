"""Faults of what Exchange answers about databases, DAGs and settings, seen over pywinrm and held to the contract."""

import pytest

from daemon.domain.errors import OperatorError
from daemon.exchange.answers import Activation, DagHealth, DatabaseCopies, PopSettings, ServerHealth, StepRunning
from daemon.lab.fault_words import CHECKS, COPY_STATUSES
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from tests.lab.hand_clock import HandClock
from tests.lab.winrm_client import Client, Output, in_time, machine_of

CAS1, MBX1, MBX2, MBX4 = (f"{name}.contoso.lab" for name in ("cas1", "mbx1", "mbx2", "mbx4"))


def _failed(client: Client, server: str, executor: str = "cas2") -> set[str]:
    answer = client.call(executor, "dag_health", server=server).result(DagHealth)
    return {check.check for check in answer.replication if not check.passed}


def _stop(lab: Lab, client: Client, server: str = MBX1, step: str = "s-1") -> Output:
    arguments = {"server": server, "expected": False, "value": True, "not_after": in_time(lab, "mbx3")}
    return client.call("mbx3", "set_activation", step, **arguments)


@pytest.mark.parametrize("check", CHECKS)
def test_each_replication_check_can_fail_on_one_server_alone(lab: Lab, client: Client, check: str) -> None:
    lab.break_server("mbx2", Fault.REPLICATION_FAILED, check=check)
    assert (_failed(client, MBX2), _failed(client, MBX1)) == ({check}, set())


@pytest.mark.parametrize(
    ("server", "fault", "options"),
    [
        ("mbx1", "replication_failed", {"check": "NoSuchCheck"}),
        ("mbx1", "cmdlet_denied", {"cmdlet": "Get-Mailbox"}),
        ("mbx1", "null_property", {"missing": "Colour"}),
        ("mbx1", "copy_status", {"status": "Mounted"}),
        ("mbx1", "copy_status", {"database": "MBX4-DB1"}),
        ("mbx1", "copy_status", {"database": "MBX1-DB1"}),
        ("alone1", "copy_status", {}),
        ("mbx6", "lagged_copies", {"database": "MBX4-DB1"}),
        ("mbx1", "witness", {"share": "Tertiary"}),
        ("multi1", "witness", {}),
        ("mbx1", "database_name", {"database": "MBX2-DB1"}),
        ("mbx1", "database_name", {"called": "MBX2-DB1"}),
        ("cas1", "database_name", {}),
        ("mbx1", "change_lost", {"script": "restart_service"}),
        ("mbx1", "answer_lost", {"script": "restart"}),
        ("mbx1", "cut_before", {"request": "Receive"}),
        ("cas1", "popproxy_inactive", {"requester": "Somebody"}),
        ("cas1", "certificate", {"problem": "ugly"}),
    ],
)
def test_a_word_that_would_break_nothing_is_refused_and_changes_nothing(
    lab: Lab, server: str, fault: str, options: dict[str, object]
) -> None:
    before = lab.servers()
    with pytest.raises(OperatorError, match=r"\w+ \w+"):
        lab.break_server(server, fault, **options)
    assert lab.servers() == before


@pytest.mark.parametrize(
    ("script", "cmdlet"),
    [
        ("server_health", "Get-ServerHealth"),
        ("database_copies", "Get-MailboxDatabase"),
        ("dag_health", "Test-ReplicationHealth"),
        ("set_activation", "Set-MailboxServer"),
        ("organisation", "Get-DatabaseAvailabilityGroup"),
    ],
)
def test_a_cmdlet_that_is_not_granted_is_denied_by_its_name_and_nothing_is_done(
    lab: Lab, client: Client, script: str, cmdlet: str
) -> None:
    arguments = {"server": MBX1, "health_sets": ["POP"], "expected": False, "value": True}
    call = {**arguments, "not_after": in_time(lab, "mbx3")}
    lab.break_server("mbx3", Fault.CMDLET_DENIED, cmdlet=cmdlet)
    output = client.call("mbx3", script, **call)
    assert output.error_kind == "denied"
    assert output.envelope.error is not None
    assert output.envelope.error.message.startswith(f"{cmdlet}: ")
    assert lab.effects() == ()
    assert client.call("mbx2", script, **call).envelope.ok, "another server's session grants it"


def test_a_certificate_that_nobody_may_read_leaves_the_settings_readable(lab: Lab, client: Client) -> None:
    lab.break_server("cas1", Fault.CMDLET_DENIED, cmdlet="Get-ExchangeCertificate")
    assert client.call("mbx3", "pop_settings", server=CAS1).result(PopSettings).certificate is None


@pytest.mark.parametrize("script", ["database_copies", "exchange_server", "dag_health", "pop_settings"])
def test_nothing_where_one_object_must_be_is_an_error_and_not_an_answer(lab: Lab, client: Client, script: str) -> None:
    lab.break_server("mbx1", Fault.EMPTY_ANSWER, script=script, count=1)
    assert client.call("mbx3", script, server=MBX1).error_kind == "broken"
    assert client.call("mbx3", script, server=MBX1).envelope.ok


def test_a_setting_of_which_nothing_is_told_is_not_changed(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.EMPTY_ANSWER, script="set_activation", count=1)
    assert _stop(lab, client).error_kind == "broken"
    assert not machine_of(lab, "mbx1").activation_blocked
    assert lab.effects() == ()


def test_a_property_without_a_value_ends_every_script_that_needs_it_of_that_server(lab: Lab, client: Client) -> None:
    lab.break_server("mbx2", Fault.NULL_PROPERTY, missing="ActiveCopy")
    assert client.call("mbx3", "database_copies", server=MBX1).error_kind == "broken", (
        "MBX2 has a copy of its databases"
    )
    assert client.call("mbx3", "database_copies", server=MBX4).envelope.ok
    assert client.call("mbx3", "exchange_server", server=MBX2).envelope.ok


def test_a_change_that_is_lost_leaves_its_mark_and_nothing_else_and_no_answer(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.CHANGE_LOST, count=1)
    assert _stop(lab, client, step="s-7").exit_code == 3
    assert not machine_of(lab, "mbx1").activation_blocked
    assert lab.effects() == ()
    assert client.call("mbx3", "step_running", step="s-7").result(StepRunning).began
    again = _stop(lab, client, step="s-8")
    assert again.result(Activation).changed


@pytest.mark.parametrize("status", COPY_STATUSES)
def test_a_passive_copy_can_have_each_status_and_nothing_moves_to_it(
    still_lab: Lab, hand_clock: HandClock, status: str
) -> None:
    still_lab.break_server("mbx2", Fault.COPY_STATUS, status=status, database="MBX1-DB1")
    answer = Client(still_lab).call("mbx3", "database_copies", server=MBX1).result(DatabaseCopies)
    assert {(copy.database, copy.server) for copy in answer.copies if copy.status == status} == {("MBX1-DB1", "MBX2")}
    with still_lab.simulation.timeline.up_to_date():
        still_lab.simulation.databases.set_blocked(machine_of(still_lab, "mbx1"), blocked=True)
    hand_clock.advance(still_lab.simulation, 300)
    assert still_lab.simulation.organisation.databases["MBX1-DB1"].active == "mbx3.contoso.lab"


def test_of_two_copies_a_block_leaves_one_that_may_activate_and_of_three_two(lab: Lab, client: Client) -> None:
    for server in ("mbx1", "mbx4"):
        lab.break_server(server, Fault.MAINTENANCE, form="activation")
    assert _failed(client, MBX1) == set()
    assert _failed(client, MBX4) == {"DatabaseAvailabilityCheck"}


def test_a_copy_is_one_less_to_rely_on_for_the_servers_that_share_its_database(lab: Lab, client: Client) -> None:
    lab.break_server("mbx5", Fault.COPY_STATUS, status="Failed", database="MBX4-DB1")
    lost = {"DatabaseRedundancyCheck", "DatabaseAvailabilityCheck"}
    assert _failed(client, MBX4) == lost
    assert _failed(client, "mbx5.contoso.lab") == {*lost, "DBCopyFailed"}
    assert _failed(client, "mbx6.contoso.lab") == set()


@pytest.mark.parametrize(
    ("share", "counts"), [("Primary", True), ("Alternate", True), ("None", False), ("InvalidConfiguration", False)]
)
def test_a_witness_counts_while_its_share_is_in_use(lab: Lab, client: Client, share: str, counts: bool) -> None:
    assert not client.call("mbx3", "dag_health", server=MBX1).result(DagHealth).witness_counts, "three members"
    lab.break_server("mbx2", Fault.WITNESS, share=share)
    assert client.call("mbx3", "dag_health", server=MBX1).result(DagHealth).witness_counts == counts


def test_a_database_has_another_name_in_every_answer_until_it_is_cured(lab: Lab, client: Client) -> None:
    def names() -> list[str]:
        answer = client.call("mbx3", "database_copies", server=MBX1).result(DatabaseCopies)
        return [copy.database for copy in answer.copies if copy.active and copy.server == "MBX1"]

    lab.break_server("mbx1", Fault.DATABASE_NAME, called="Données Œuvres 3")
    assert names() == ["Données Œuvres 3", "MBX1-DB2"]
    with pytest.raises(OperatorError, match="cure database_name first"):
        lab.break_server("mbx1", Fault.DATABASE_NAME, called="another")
    lab.cure("mbx1")
    assert names() == ["MBX1-DB1", "MBX1-DB2"]


def test_an_active_copy_is_neither_lagged_nor_suspended(lab: Lab, client: Client) -> None:
    lab.break_server("mbx1", Fault.LAGGED_COPIES)
    lab.break_server("mbx1", Fault.SUSPENDED_COPIES)
    answer = client.call("mbx3", "database_copies", server=MBX1).result(DatabaseCopies)
    here = [copy for copy in answer.copies if copy.server == "MBX1"]
    assert {(copy.active, copy.lagged, copy.activation_suspended) for copy in here} == {
        (True, False, False),
        (False, True, True),
    }


def test_the_list_of_everything_needs_a_session_too(lab: Lab, client: Client) -> None:
    assert Client(lab, logon=False).call("mbx1", "organisation").error_kind == "second_hop"
    assert client.call("mbx1", "organisation").envelope.ok
    assert client.call("mbx1", "server_health", server=MBX2, health_sets=["POP"]).result(ServerHealth).rows
