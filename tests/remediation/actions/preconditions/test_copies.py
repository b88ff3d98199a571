"""The gates about database copies: complete facts, somewhere to go, nothing left, nothing seeding."""

from typing import Any

import pytest

from daemon.domain.verdicts import Allow, CannotTell, Refuse
from daemon.exchange.answers import same_server
from daemon.remediation.actions.preconditions.copies import (
    activation_open,
    copies_known,
    in_a_dag,
    no_seeding,
    nothing_active,
    refuges_exist,
)
from tests.remediation.actions.preconditions.known import copies, copy_changed, mailbox, moved, settings_changed


def test_a_move_is_allowed_when_each_active_database_has_a_good_copy_elsewhere() -> None:
    assert refuges_exist(mailbox()) == Allow(figures={"refuges": {"DB1": ["MBX2"]}})


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "Failed"},
        {"lagged": True},
        {"activation_suspended": True},
        {"copy_queue": 10},
        {"copy_queue_stale": True},
        {"replay_queue": 50},
        {"status": "Resynchronizing"},
    ],
)
def test_a_copy_that_is_not_good_enough_is_no_place_to_go(changes: dict[str, Any]) -> None:
    verdict = refuges_exist(mailbox(copies=copy_changed(1, **changes)))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == "database DB1 has no other healthy copy to move to"
    assert verdict.figures == {"refuges": {"DB1": []}}


@pytest.mark.parametrize("queue", [{"copy_queue": 9}, {"replay_queue": 49}])
def test_short_queues_are_good_enough(queue: dict[str, Any]) -> None:
    assert isinstance(refuges_exist(mailbox(copies=copy_changed(1, **queue))), Allow)


@pytest.mark.parametrize("setting", [{"activation_blocked": True}, {"activation_policy": "Blocked"}])
def test_a_server_that_takes_nothing_over_is_no_place_to_go(setting: dict[str, Any]) -> None:
    assert isinstance(refuges_exist(mailbox(copies=settings_changed(1, **setting))), Refuse)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"databases": 2}, "has 2 databases, the answer shows copies of 1"),
        ({"members": copies().model_dump()["members"][1:]}, "no settings of mbx1.contoso.com itself"),
        ({"members": copies().model_dump()["members"][:2]}, "no settings of MBX3"),
        ({"copies": copies().model_dump()["copies"][1:]}, "shows copies of 0"),
        ({"mailbox_role": False}, "no Mailbox role"),
    ],
)
def test_an_incomplete_answer_tells_nothing(changes: dict[str, Any], reason: str) -> None:
    verdict = copies_known(mailbox(copies=copies(**changes)))
    assert isinstance(verdict, CannotTell)
    assert reason in verdict.reason


@pytest.mark.parametrize("status", ["ServiceDown", "Unknown", "Misconfigured"])
def test_of_some_copies_nothing_can_be_concluded(status: str) -> None:
    assert isinstance(copies_known(mailbox(copies=moved())), Allow)
    verdict = copies_known(mailbox(copies=copy_changed(2, moved(), status=status)))
    assert isinstance(verdict, CannotTell)
    assert "nothing can be concluded" in verdict.reason


def test_a_server_with_an_active_copy_is_never_rebooted() -> None:
    verdict = nothing_active(mailbox())
    assert isinstance(verdict, Refuse)
    assert verdict.reason == "mbx1.contoso.com holds the active copy of DB1"
    assert isinstance(nothing_active(mailbox(copies=moved())), Allow)


def test_a_database_that_is_not_mounted_elsewhere_blocks_a_reboot() -> None:
    verdict = nothing_active(mailbox(copies=copy_changed(1, moved(), status="Mounting")))
    assert isinstance(verdict, Refuse)
    assert "DB1 is Mounting on MBX2" in verdict.reason


def test_a_server_in_no_dag_is_neither_emptied_nor_rebooted() -> None:
    assert isinstance(in_a_dag(mailbox(copies=copies(dag=None))), Refuse)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"activation_blocked": True}, "activation is already blocked on mbx1.contoso.com, not by this incident"),
        ({"activation_policy": "Blocked"}, "the activation policy of mbx1.contoso.com is Blocked"),
    ],
)
def test_activation_that_somebody_closed_means_that_somebody_works_there(setting: dict[str, Any], reason: str) -> None:
    verdict = activation_open(mailbox(copies=settings_changed(0, **setting)))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == f"{reason}: somebody is working there"


def test_activation_that_this_incident_blocked_does_not_stand_in_its_way() -> None:
    blocked = settings_changed(0, activation_blocked=True)
    assert isinstance(activation_open(mailbox(copies=blocked, blocked_by_us=True)), Allow)
    policy = settings_changed(0, activation_blocked=True, activation_policy="Blocked")
    assert isinstance(activation_open(mailbox(copies=policy, blocked_by_us=True)), Refuse)


def test_a_server_from_which_a_copy_is_seeded_is_not_disturbed() -> None:
    passive = no_seeding(mailbox(copies=copy_changed(0, moved(), status="SeedingSource")))
    assert isinstance(passive, Refuse)
    assert passive.reason == "a copy of DB1 is being seeded from mbx1.contoso.com"
    active = no_seeding(mailbox(copies=copy_changed(2, status="Seeding")))
    assert isinstance(active, Refuse)
    assert active.reason == "the copy of DB1 on MBX3 is being seeded from mbx1.contoso.com"
    assert isinstance(no_seeding(mailbox(copies=copy_changed(2, moved(), status="Seeding"))), Allow)


def test_a_server_is_the_same_under_its_short_and_full_name_but_not_in_another_domain() -> None:
    assert same_server("MBX1", "mbx1.contoso.com")
    assert same_server("Mbx1.Contoso.com", "mbx1.contoso.com")
    assert not same_server("mbx1.contoso.com", "mbx1.fabrikam.com")
    assert not same_server("MBX1", "mbx10.contoso.com")
