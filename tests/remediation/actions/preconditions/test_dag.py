"""The gates about a DAG: its members, their cluster's quorum, replication."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.verdicts import Allow, CannotTell, Refuse
from daemon.exchange.answers import DagHealth
from daemon.remediation.actions.preconditions.dag import (
    members_operational,
    node_not_paused,
    quorum_survives,
    replication_clean,
)
from daemon.remediation.actions.preconditions.facts import Facts
from tests.remediation.actions.preconditions.known import (
    client_access,
    copies,
    copy_changed,
    dag,
    mailbox,
    member_changed,
    moved,
)


def size(count: int, witness: bool, **changes: Any) -> Facts:  # noqa: ANN401 - any field of a member
    names = [f"MBX{number}" for number in range(1, count + 1)]
    member = {"operational": True, "in_maintenance": False, "node_state": "Up"}
    members = [{**member, "server": name, **(changes if name == names[-1] else {})} for name in names]
    settings = [{"server": name, "activation_blocked": False, "activation_policy": "Unrestricted"} for name in names]
    return mailbox(copies=copies(members=settings), dag=dag(members=members, witness_counts=witness))


def test_a_healthy_dag_spares_one_of_its_servers() -> None:
    for gate in (node_not_paused, members_operational, quorum_survives, replication_clean):
        assert isinstance(gate(mailbox()), Allow), gate.__name__


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"in_maintenance": True}, "of DAG1 is in maintenance"),
        ({"operational": False}, "of DAG1 is not operational"),
        ({"node_state": "Down"}, "the cluster node of"),
        ({"node_state": "Paused"}, "the cluster node of"),
    ],
)
def test_one_member_that_is_not_well_is_reason_enough(row: int, changes: dict[str, Any], reason: str) -> None:
    verdict = members_operational(mailbox(dag=member_changed(row, **changes)))
    assert isinstance(verdict, Refuse)
    assert reason in verdict.reason
    assert f"MBX{row + 1}" in verdict.reason
    assert set(verdict.figures) == {"MBX1", "MBX2", "MBX3"}


@pytest.mark.parametrize("state", ["", "Joining", "Odd"])
def test_a_node_in_no_clear_state_tells_nothing(state: str) -> None:
    assert isinstance(members_operational(mailbox(dag=member_changed(1, node_state=state))), CannotTell)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"node_state": "Paused"}, Refuse),
        ({"in_maintenance": True}, Refuse),
        ({"node_state": ""}, CannotTell),
        ({"node_state": "Down"}, Allow),
    ],
)
def test_a_paused_node_means_that_somebody_works_on_its_server(changes: dict[str, Any], verdict: type) -> None:
    assert type(node_not_paused(mailbox(dag=member_changed(0, **changes)))) is verdict
    assert isinstance(node_not_paused(mailbox(dag=member_changed(1, **changes))), Allow), "this server is meant"


def test_a_server_without_a_node_cannot_have_it_paused() -> None:
    assert isinstance(node_not_paused(client_access()), Allow)
    assert isinstance(node_not_paused(mailbox(dag=DagHealth(server="mbx1.contoso.com"))), Allow)
    assert isinstance(node_not_paused(mailbox(dag=None)), CannotTell)


@pytest.mark.parametrize(
    "answer",
    [
        dag(members=dag().model_dump()["members"][:2]),
        dag(members=dag().model_dump()["members"][1:]),
        dag(members=[*dag().model_dump()["members"], dag().model_dump()["members"][0]]),
        dag(members=[]),
    ],
)
def test_members_that_differ_from_those_of_the_copies_tell_nothing(answer: DagHealth) -> None:
    assert isinstance(members_operational(mailbox(dag=answer)), CannotTell)
    assert isinstance(quorum_survives(mailbox(dag=answer)), CannotTell)


@pytest.mark.parametrize(
    ("count", "witness", "left", "votes"),
    [(1, False, 0, 1), (1, True, 0, 1), (2, False, 1, 2)],
)
def test_without_half_of_the_votes_and_one_there_is_no_quorum(count: int, witness: bool, left: int, votes: int) -> None:
    verdict = quorum_survives(size(count, witness))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == f"without mbx1.contoso.com, DAG1 keeps {left} of {votes} votes: no quorum"
    assert verdict.figures["votes"] == votes


@pytest.mark.parametrize(
    ("count", "witness", "left", "votes"),
    [(2, True, 2, 3), (3, False, 2, 3), (3, True, 2, 3), (4, False, 3, 4), (4, True, 4, 5)],
)
def test_the_witness_votes_where_the_members_are_even(count: int, witness: bool, left: int, votes: int) -> None:
    verdict = quorum_survives(size(count, witness))
    assert isinstance(verdict, Allow)
    assert (verdict.figures["left"], verdict.figures["votes"]) == (left, votes)


def test_a_vote_that_is_away_already_does_not_count() -> None:
    assert isinstance(quorum_survives(size(3, False, node_state="Down")), Refuse)
    assert isinstance(quorum_survives(size(3, False, operational=False)), Refuse)


@given(count=st.integers(1, 16), down=st.integers(0, 15), witness=st.booleans())
def test_quorum_is_never_said_to_survive_with_half_of_the_votes_or_less(count: int, down: int, witness: bool) -> None:
    facts = size(count, witness)
    assert facts.dag is not None
    members = [
        {**row, "node_state": "Down" if 0 < place <= down else "Up"}
        for place, row in enumerate(facts.dag.model_dump()["members"])
    ]
    known = mailbox(copies=facts.copies, dag=dag(members=members, witness_counts=witness))
    with_witness = int(witness and count % 2 == 0)
    left = max(0, count - 1 - down) + with_witness
    assert isinstance(quorum_survives(known), Allow) is (left > (count + with_witness) / 2)


def test_a_replication_check_that_did_not_pass_is_named() -> None:
    rows = [
        {"server": "MBX1", "check": "ClusterService", "passed": True},
        {"server": "MBX1", "check": "ReplayService", "passed": False, "error": "it is stopped"},
    ]
    verdict = replication_clean(mailbox(dag=dag(replication=rows)))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == ("Test-ReplicationHealth on mbx1.contoso.com did not pass: ReplayService (it is stopped)")


@pytest.mark.parametrize("rows", [[], [{"server": "MBX2", "check": "ReplayService", "passed": True}]])
def test_without_a_replication_check_of_this_server_nothing_is_told(rows: list[dict[str, Any]]) -> None:
    assert isinstance(replication_clean(mailbox(dag=dag(replication=rows))), CannotTell)


def availability(check: str, *more: dict[str, Any], **changes: Any) -> Facts:  # noqa: ANN401 - any fact
    """After our block and the move, where this check fails."""
    rows = [
        {"server": "MBX1", "check": "ReplayService", "passed": True},
        {"server": "MBX1", "check": check, "passed": False},
    ]
    known = {"blocked_by_us": True, "copies": moved(), "dag": dag(replication=[*rows, *more])}
    return mailbox(**{**known, **changes})


@pytest.mark.parametrize("check", ["DatabaseAvailabilityCheck", "DatabaseAvailability"])
def test_the_check_that_our_own_block_makes_fail_is_accepted_once_everything_is_mounted_elsewhere(check: str) -> None:
    verdict = replication_clean(availability(check))
    assert isinstance(verdict, Allow)
    assert verdict.figures == {"passed": 1, "failed_by_our_block": check}


def test_before_our_block_it_is_required() -> None:
    assert isinstance(replication_clean(availability("DatabaseAvailabilityCheck", blocked_by_us=False)), Refuse)


@pytest.mark.parametrize("known", [copies(), copy_changed(1, moved(), status="Mounting"), copies(databases=2), None])
def test_it_is_not_accepted_before_every_database_is_proven_mounted_elsewhere(known: Any) -> None:  # noqa: ANN401
    assert isinstance(replication_clean(availability("DatabaseAvailabilityCheck", copies=known)), CannotTell)


def test_no_other_check_is_accepted_after_our_block() -> None:
    assert isinstance(replication_clean(availability("DatabaseRedundancyCheck")), Refuse)
    other = {"server": "MBX1", "check": "DBCopyFailed", "passed": False}
    verdict = replication_clean(availability("DatabaseAvailabilityCheck", other))
    assert isinstance(verdict, Refuse)
    assert verdict.figures == {"failed": "DBCopyFailed"}


def test_a_result_that_cannot_be_read_tells_nothing() -> None:
    unread = {"server": "MBX1", "check": "QuorumGroup", "passed": False, "readable": False, "error": "reussi"}
    rows = [{"server": "MBX1", "check": "ReplayService", "passed": True}, unread]
    verdict = replication_clean(mailbox(dag=dag(replication=rows)))
    assert isinstance(verdict, CannotTell)
    assert "QuorumGroup neither that it passed nor that it failed (reussi)" in verdict.reason
    failed = {"server": "MBX1", "check": "ClusterService", "passed": False}
    assert isinstance(replication_clean(mailbox(dag=dag(replication=[*rows, failed]))), Refuse)
