"""How an examination is judged: a healthy one of the lab, with one answer changed."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.doctor.examination import Asked, Examination
from daemon.doctor.needs import CMDLETS, Finding, Holds, needs, pace
from daemon.doctor.report import Report, facts
from daemon.domain.inventory import Inventory
from daemon.domain.ports import ReplyKind
from daemon.exchange import launch
from daemon.exchange.answers import CertificateState, ComponentRequest, RecoveryAction, ServerState

Examined = dict[str, Examination]
Change = Callable[[Examination], Examination]


def judged(seen: Examination) -> dict[str, Finding]:
    return {finding.name: finding for finding in (*needs(seen), *facts(seen, Inventory((seen.server,))))}


def answering(seen: Examination, field: str, **update: Any) -> Examination:  # noqa: ANN401 - fields of any answer
    """With some fields of one answer changed."""
    asked = getattr(seen, field)
    return replace(seen, **{field: replace(asked, answer=asked.answer.model_copy(update=update))})


def saying_no(seen: Examination, field: str, kind: str, message: str) -> Examination:
    """With the script of one answer saying no."""
    asked: Asked[Any] = getattr(seen, field)
    no = replace(asked, answer=None, kind=ReplyKind.FAILED, why=f"x on y: {message}", error=kind)
    changed: dict[str, Any] = {field: no}
    return replace(seen, **changed)


def copies_with(seen: Examination, **update: Any) -> Examination:  # noqa: ANN401 - fields of a copy
    assert seen.copies.answer is not None
    copies = tuple(copy.model_copy(update=update) for copy in seen.copies.answer.copies)
    return answering(seen, "copies", copies=copies)


def probes_with(seen: Examination, results: int, **update: Any) -> Examination:  # noqa: ANN401 - fields of a result
    probes = {}
    for name, asked in seen.probes.items():
        assert asked.answer is not None
        objects = tuple(asked.answer.objects[0].model_copy(update=update) for _ in range(results))
        probes[name] = replace(asked, answer=asked.answer.model_copy(update={"objects": objects}))
    return replace(seen, probes=probes)


def rows_with(seen: Examination, **update: Any) -> Examination:  # noqa: ANN401 - fields of a row
    assert seen.health.answer is not None
    rows = tuple(row.model_copy(update=update) for row in seen.health.answer.rows)
    return answering(seen, "health", rows=rows)


def test_the_table_of_cmdlets_is_what_the_reading_scripts_send() -> None:
    pattern = re.compile(r"(?:Invoke-Exchange|Get-One) '([\w-]+)'")
    sent: set[str] = set()
    for script in {script for script, _ in CMDLETS.values()}:
        sent |= set(pattern.findall(launch.load(script).text))
    assert sent == set(CMDLETS)


@pytest.mark.parametrize(
    ("server", "name", "change"),
    [
        ("mbx1", "MailboxServer of a database copy is a short name", lambda s: copies_with(s, server="mbx1.a.b")),
        ("mbx1", "a copy's Status is one of the known words", lambda s: copies_with(s, status="Sain")),
        ("mbx1", "ReplayLagStatus can be read as text", lambda s: copies_with(s, lagged=True)),
        ("mbx1", "a probe's result is one of the known words", lambda s: probes_with(s, 1, result_type="Réussi")),
        ("mbx1", "a manual probe run tests one monitoring mailbox", lambda s: probes_with(s, 2)),
        ("mbx1", "the probes of the runbooks can be invoked", lambda s: probes_with(s, 0)),
        ("mbx1", "a monitor's AlertValue is one of the known words", lambda s: rows_with(s, alert_value="Sain")),
        ("mbx1", "the monitors are called as in the runbooks", lambda s: rows_with(s, name="PopTestDeepMonitor")),
        ("mbx1", "the components are called as the gates know them", lambda s: answering(s, "exchange", components=())),
        (
            "mbx1",
            "the version in AdminDisplayVersion tells the edition",
            lambda s: answering(s, "exchange", version="?"),
        ),
        ("mbx1", "DAG as in the inventory", lambda s: answering(s, "dag", dag="DAG7")),
        ("cas1", "LogFileLocation is a local folder", lambda s: answering(s, "settings", log_location=r"\\x\y")),
        ("cas1", "the protocol log has the columns that are needed", lambda s: answering(s, "log", columns=("user",))),
        (
            "mbx1",
            "RecoveryActionResults can be read",
            lambda s: saying_no(s, "recovery", "denied", "Get-WinEvent: attempted an unauthorised operation"),
        ),
    ],
)
def test_a_fact_that_does_not_hold_is_told(examinations: Examined, server: str, name: str, change: Change) -> None:
    assert judged(examinations[server])[name].holds is not Holds.NO
    finding = judged(change(examinations[server]))[name]
    assert finding.holds is Holds.NO
    assert finding.seen
    assert finding.advice


def test_node_states_that_cannot_be_asked_are_a_fact_that_does_not_hold(examinations: Examined) -> None:
    seen = examinations["mbx1"]
    assert seen.dag.answer is not None
    members = tuple(member.model_copy(update={"node_state": ""}) for member in seen.dag.answer.members)
    found = judged(answering(seen, "dag", members=members))
    assert found["the state of the cluster's nodes can be read"].holds is Holds.NO


def test_a_harmless_fact_that_does_not_hold_makes_no_server_unfit(examinations: Examined) -> None:
    seen = copies_with(examinations["mbx1"], server="mbx1.contoso.lab")
    report = Report("mbx1", tuple(judged(seen).values()))
    assert report.good
    assert not Report("mbx1", tuple(judged(copies_with(seen, lagged=True)).values())).good


def test_a_missing_right_is_told_for_the_cmdlet_that_was_denied_and_not_for_its_neighbours(
    examinations: Examined,
) -> None:
    message = "Get-ServerComponentState: The term 'Get-ServerComponentState' is not recognized"
    seen = examinations["cas1"]
    found = judged(saying_no(replace(seen, hop=seen.exchange), "exchange", "denied", message))
    assert found["Get-ServerComponentState"].holds is Holds.NO
    assert "exchange-permissions" in found["Get-ServerComponentState"].advice
    assert found["Get-ServerHealth"].holds is Holds.YES


def test_an_exchange_session_that_is_denied_is_a_second_hop_that_does_not_work(examinations: Examined) -> None:
    message = "Opening the Microsoft.Exchange session: Access is denied"
    found = judged(saying_no(examinations["mbx1"], "hop", "denied", message))
    assert found["second hop from mbx1"].holds is Holds.NO


def test_an_error_of_the_scripts_own_does_not_tell_that_the_second_hop_works(examinations: Examined) -> None:
    found = judged(saying_no(examinations["mbx1"], "hop", "broken", "a property is missing"))
    assert found["second hop from mbx1"].holds is Holds.OPEN


def test_the_command_lines_that_cannot_be_seen_make_a_server_unfit(examinations: Examined) -> None:
    found = judged(saying_no(examinations["mbx1"], "running", "denied", "nobody can say what it runs"))
    assert found["see the command lines of PowerShell processes"].missing


def test_a_cmdlet_that_no_script_had_cause_to_send_is_not_told_to_be_allowed(examinations: Examined) -> None:
    found = judged(answering(examinations["mbx1"], "copies", databases=0, copies=()))
    assert found["Get-MailboxDatabaseCopyStatus"].holds is Holds.OPEN
    assert found["Get-MailboxDatabaseCopyStatus"].missing


def test_a_folder_that_nothing_was_logged_to_yet_is_no_missing_right(examinations: Examined) -> None:
    found = judged(saying_no(examinations["cas1"], "log", "not_found", "This server has no folder"))
    assert found["read the POP protocol log"].holds is Holds.OPEN
    assert found["the protocol log has the columns that are needed"].holds is Holds.OPEN


def test_a_service_that_is_not_there_or_does_not_run_is_told(examinations: Examined) -> None:
    seen = examinations["mbx1"]
    assert seen.state.answer is not None
    stopped = tuple(
        service.model_copy(update={"status": "Stopped"})
        for service in seen.state.answer.services
        if service.name != "MSExchangeIS"
    )
    state = ServerState(boot_time=seen.state.answer.boot_time, services=stopped)
    found = judged(replace(seen, state=replace(seen.state, answer=state)))
    assert found["MSExchangeIS"].seen == "there is no such service"
    assert found["MSExchangeRepl"].holds is Holds.NO


def test_monitors_without_a_runbook_are_told_and_are_no_fault(examinations: Examined) -> None:
    seen = examinations["mbx1"]
    assert seen.health.answer is not None
    other = seen.health.answer.rows[0].model_copy(update={"name": "PopSomethingNewMonitor"})
    finding = judged(answering(seen, "health", rows=(*seen.health.answer.rows, other)))[
        "the monitors are called as in the runbooks"
    ]
    assert finding.holds is Holds.YES
    assert "PopSomethingNewMonitor" in finding.seen


def state_with(seen: Examination, **update: Any) -> Examination:  # noqa: ANN401 - fields of a state
    return answering(seen, "state", **update)


REQUESTERS = "the registry tells who asks for a component's state"
RESTARTS = "a requested restart is recorded as event 1074 of User32, with its comment"
MAINTENANCE = {"ServerWideOffline": (ComponentRequest(requester="Maintenance", state="Inactive"),)}
UNREAD = {"ServerWideOffline": (ComponentRequest(requester="HealthAPI", state="unreadable"),)}
ASKED_AT = datetime(2026, 11, 30, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fact", "update", "holds"),
    [
        (REQUESTERS, {}, Holds.YES),
        (REQUESTERS, {"component_requests": None}, Holds.NO),
        (REQUESTERS, {"component_requests": {}}, Holds.OPEN),
        (REQUESTERS, {"component_requests": UNREAD}, Holds.NO),
        (REQUESTERS, {"component_requests": MAINTENANCE}, Holds.NO),  # the component is Active
        (RESTARTS, {}, Holds.OPEN),
        (RESTARTS, {"restarts_readable": False}, Holds.NO),
        (RESTARTS, {"restart_requested_at": ASKED_AT, "restart_comment": "exmedic i1.2"}, Holds.YES),
        (RESTARTS, {"restart_requested_at": ASKED_AT}, Holds.NO),
        ("who is logged on can be read", {}, Holds.YES),
        ("who is logged on can be read", {"logons": None}, Holds.NO),
    ],
)
def test_what_a_server_does_not_say_of_itself_is_told(
    examinations: Examined, fact: str, update: dict[str, Any], holds: Holds
) -> None:
    assert judged(state_with(examinations["mbx1"], **update))[fact].holds is holds


def test_replication_checks_in_another_language_hold_up_every_move(examinations: Examined) -> None:
    seen = examinations["mbx1"]
    assert seen.dag.answer is not None
    checks = tuple(check.model_copy(update={"readable": False}) for check in seen.dag.answer.replication)
    fact = "Test-ReplicationHealth answers in English"
    assert judged(seen)[fact].holds is Holds.YES
    assert judged(answering(seen, "dag", replication=checks))[fact].missing


def test_a_recovery_action_that_does_not_say_when_it_will_end_is_told(examinations: Examined) -> None:
    begun = RecoveryAction(action="RestartService", resource="MSExchangePOP3", started=ASKED_AT)
    told = begun.model_copy(update={"expected_end": ASKED_AT})
    fact = "a recovery action that goes on says when it is expected to end"
    for action, holds in ((begun, Holds.NO), (told, Holds.YES)):
        assert judged(answering(examinations["mbx1"], "recovery", actions=(action,)))[fact].holds is holds


@pytest.mark.parametrize(("reason", "holds"), [("Auth", Holds.YES), ("", Holds.NO)])
def test_a_failing_probe_that_does_not_say_what_failed_is_told(
    examinations: Examined, reason: str, holds: Holds
) -> None:
    fact = "a failing probe says in a word what failed"
    assert judged(examinations["mbx1"])[fact].holds is Holds.OPEN
    assert judged(probes_with(examinations["mbx1"], 1, result_type="Failed", reason=reason))[fact].holds is holds


@pytest.mark.parametrize(("found", "holds"), [(True, Holds.YES), (False, Holds.NO), (None, Holds.OPEN)])
def test_a_certificate_that_is_not_there_is_told(examinations: Examined, *, found: bool | None, holds: Holds) -> None:
    certificate = None if found is None else CertificateState(name="mail.contoso.lab", found=found)
    seen = answering(examinations["cas1"], "settings", certificate=certificate)
    assert judged(seen)["the certificate of the POP settings is there"].holds is holds


def reading_takes(seen: Examination, **seconds: float) -> Examination:
    """With so many real seconds for each answer."""
    return replace(seen, **{name: replace(getattr(seen, name), took=took) for name, took in seconds.items()})


@pytest.mark.parametrize(
    ("dag", "holds", "missing"),
    [(50.0, Holds.YES, False), (60.0, Holds.NO, False), (119.0, Holds.NO, True)],
)
def test_a_server_whose_slow_facts_are_read_too_slowly_is_found_before_every_move_is_held_up(
    examinations: Examined, dag: float, holds: Holds, missing: bool
) -> None:
    slow = reading_takes(examinations["mbx1"], exchange=4.0, dag=dag, copies=3.0, state=1.0, recovery=1.0)
    found = pace(slow, 30.0, 120.0)
    assert (found.holds, found.missing) == (holds, missing)
    assert f"{4.0 + dag:.1f} s of timing.slow_facts_age, 120 s" in found.seen
    assert f"dag_health {dag:.1f} s" in found.seen
    if holds is Holds.NO:
        assert f"set slow_facts_age to {2 * (4 + dag):.0f} in [timing]" in found.advice


@pytest.mark.parametrize(
    ("copies", "holds", "missing"),
    [(14.0, Holds.YES, False), (16.0, Holds.NO, False), (31.0, Holds.NO, True)],
)
def test_what_is_dangerous_must_be_read_within_its_own_time(
    examinations: Examined, copies: float, holds: Holds, missing: bool
) -> None:
    quick = dict.fromkeys(("exchange", "dag", "state", "recovery"), 1.0)
    found = pace(reading_takes(examinations["mbx1"], **quick, copies=copies), 30.0, 120.0)
    assert (found.holds, found.missing) == (holds, missing)
    assert f"{copies:.1f} s of timing.facts_age, 30 s" in found.seen


def test_of_a_client_access_server_the_dag_takes_no_time(examinations: Examined) -> None:
    slow = reading_takes(examinations["cas1"], exchange=4.0, dag=100.0, copies=100.0, health=2.0)
    assert pace(slow, 30.0, 120.0).holds is Holds.YES


def test_how_long_the_facts_take_cannot_be_told_when_one_is_missing(examinations: Examined) -> None:
    assert pace(saying_no(examinations["mbx1"], "dag", "failed", "no"), 30.0, 120.0).holds is Holds.YES
    never = replace(examinations["mbx1"].dag, kind=None, answer=None, why="not asked")
    found = pace(replace(examinations["mbx1"], dag=never), 30.0, 120.0)
    assert (found.holds, found.seen) == (Holds.OPEN, "not asked")


@pytest.mark.parametrize(
    ("said", "holds", "unfit"),
    [
        ("5.1.17763.1", Holds.YES, False),
        ("3.0", Holds.YES, False),
        ("2.0", Holds.NO, True),
        ("", Holds.OPEN, False),
        ("?", Holds.OPEN, False),
    ],
)
def test_a_powershell_below_3_is_told_with_its_version(
    examinations: Examined, said: str, holds: Holds, *, unfit: bool
) -> None:
    seen = examinations["mbx1"]
    found = judged(replace(seen, state=replace(seen.state, powershell=said)))["PowerShell"]
    assert (found.holds, found.missing) == (holds, unfit)
    assert said in found.seen
    assert bool(found.advice) is (holds is not Holds.YES and unfit)


@pytest.mark.parametrize(
    ("version", "holds", "says"),
    [
        ("Version 15.2 (Build 2562.17)", Holds.YES, "Exchange Server Subscription Edition"),
        ("Version 15.2 (Build 1748.10)", Holds.NO, "Exchange Server 2019: support ended on 31 October 2026"),
        ("Version 15.1 (Build 2507.6)", Holds.NO, "Exchange Server 2016: support ended on 31 October 2026"),
        ("Version 15.2", Holds.OPEN, ""),
    ],
)
def test_an_edition_without_support_is_told_and_makes_no_server_unfit(
    examinations: Examined, version: str, holds: Holds, says: str
) -> None:
    found = judged(answering(examinations["mbx1"], "exchange", version=version))["Microsoft supports this edition"]
    assert (found.holds, found.missing) == (holds, False)
    assert says in found.seen


def test_the_version_is_read_from_the_answer(examinations: Examined) -> None:
    assert judged(examinations["mbx1"])["PowerShell"].seen == "version 4.0"


def test_an_executor_that_opens_no_session_is_told_with_where_to_look(examinations: Examined) -> None:
    why = "Opening the Microsoft.Exchange session: the server returned 503"
    found = judged(saying_no(examinations["mbx1"], "hop", "no_session", why))["second hop from mbx1"]
    assert found.holds is Holds.NO
    assert why in found.seen
    assert "MSExchangeADTopology" in found.advice
