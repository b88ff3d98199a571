"""The gates before a move and a reboot: complete facts, and somewhere to go."""

from typing import Any

import pytest

from daemon.gates import Allow, Refuse, may_move, may_reboot
from daemon.wire.answers import DatabaseCopies, same_server


def facts(**changes: Any) -> DatabaseCopies:  # noqa: ANN401 - any field of the answer
    copy = {
        "activation_suspended": False,
        "copy_queue": 0,
        "replay_queue": 0,
        "lagged": False,
    }
    answer = {
        "server": "mbx1.contoso.com",
        "mailbox_role": True,
        "dag": "DAG1",
        "databases": 1,
        "members": [
            {"server": name, "activation_blocked": False, "activation_policy": "Unrestricted"}
            for name in ("MBX1", "MBX2", "MBX3")
        ],
        "copies": [
            {**copy, "database": "DB1", "server": "MBX1", "status": "Mounted", "active": True},
            {**copy, "database": "DB1", "server": "MBX2", "status": "Healthy", "active": False},
            {**copy, "database": "DB1", "server": "MBX3", "status": "Suspended", "active": False},
        ],
    }
    return DatabaseCopies.model_validate({**answer, **changes})


def changed(row: int, **changes: Any) -> DatabaseCopies:  # noqa: ANN401 - any field of a copy
    known = facts().model_dump()
    known["copies"][row].update(changes)
    return DatabaseCopies.model_validate(known)


def test_a_move_is_allowed_when_each_active_database_has_a_good_copy_elsewhere() -> None:
    assert may_move(facts()) == Allow(figures={"refuges": {"DB1": ["MBX2"]}})


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "Failed"},
        {"lagged": True},
        {"activation_suspended": True},
        {"copy_queue": 10},
        {"replay_queue": 50},
        {"status": "Resynchronizing"},
    ],
)
def test_a_copy_that_is_not_good_enough_is_no_place_to_go(changes: dict[str, Any]) -> None:
    verdict = may_move(changed(1, **changes))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == "database DB1 has no other healthy copy to move to"


@pytest.mark.parametrize("queue", [{"copy_queue": 9}, {"replay_queue": 49}])
def test_short_queues_are_good_enough(queue: dict[str, Any]) -> None:
    assert isinstance(may_move(changed(1, **queue)), Allow)


@pytest.mark.parametrize("setting", [{"activation_blocked": True}, {"activation_policy": "Blocked"}])
def test_a_server_that_takes_nothing_over_is_no_place_to_go(setting: dict[str, Any]) -> None:
    known = facts().model_dump()
    known["members"][1].update(setting)
    assert isinstance(may_move(DatabaseCopies.model_validate(known)), Refuse)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"databases": 2}, "has 2 databases, the answer shows copies of 1"),
        ({"members": facts().model_dump()["members"][1:]}, "no settings of mbx1.contoso.com itself"),
        ({"members": facts().model_dump()["members"][:2]}, "no settings of MBX3"),
        ({"copies": facts().model_dump()["copies"][1:]}, "shows copies of 0"),
        ({"mailbox_role": False}, "no Mailbox role"),
    ],
)
def test_an_incomplete_answer_allows_nothing(changes: dict[str, Any], reason: str) -> None:
    for gate in (may_move, may_reboot):
        verdict = gate(facts(**changes))
        assert isinstance(verdict, Refuse)
        assert reason in verdict.reason


@pytest.mark.parametrize("status", ["ServiceDown", "Unknown", "Misconfigured"])
def test_a_copy_of_which_nothing_is_known_blocks_a_reboot(status: str) -> None:
    moved = facts().model_dump()
    moved["copies"][0].update(active=False, status="Healthy")
    moved["copies"][1].update(active=True, status="Mounted")
    assert isinstance(may_reboot(DatabaseCopies.model_validate(moved)), Allow)
    moved["copies"][2]["status"] = status
    verdict = may_reboot(DatabaseCopies.model_validate(moved))
    assert isinstance(verdict, Refuse)
    assert "nothing can be concluded" in verdict.reason


def test_a_server_with_an_active_copy_or_in_no_dag_is_never_rebooted() -> None:
    verdict = may_reboot(facts())
    assert isinstance(verdict, Refuse)
    assert "holds the active copy of DB1" in verdict.reason
    assert isinstance(may_reboot(facts(dag=None)), Refuse)


def test_a_database_that_is_not_mounted_elsewhere_blocks_a_reboot() -> None:
    moved = facts().model_dump()
    moved["copies"][0].update(active=False, status="Healthy")
    moved["copies"][1].update(active=True, status="Mounting")
    verdict = may_reboot(DatabaseCopies.model_validate(moved))
    assert isinstance(verdict, Refuse)
    assert "DB1 is Mounting on MBX2" in verdict.reason


def test_a_server_is_the_same_under_its_short_and_full_name_but_not_in_another_domain() -> None:
    assert same_server("MBX1", "mbx1.contoso.com")
    assert same_server("Mbx1.Contoso.com", "mbx1.contoso.com")
    assert not same_server("mbx1.contoso.com", "mbx1.fabrikam.com")
    assert not same_server("MBX1", "mbx10.contoso.com")
