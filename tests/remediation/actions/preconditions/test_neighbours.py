"""The gates before the reboot of a Client Access server."""

from dataclasses import replace
from typing import Any

import pytest

from daemon.domain.verdicts import Allow, CannotTell, Refuse
from daemon.exchange.answers import DatabaseCopies, ServerHealth
from daemon.remediation.actions.preconditions.facts import Neighbour
from daemon.remediation.actions.preconditions.neighbours import another_serves, holds_no_copies
from tests.remediation.actions.preconditions.known import (
    CAS_ONLY,
    client_access,
    copies,
    exchange,
    mailbox,
    neighbour,
    pop_health,
    server,
    with_component,
    without_component,
)

CAS2 = exchange("CAS2", mailbox=False, cas=True)

UNFIT = [
    (neighbour(busy=True, exchange=None, health=None), "is being worked on or quarantined"),
    (
        neighbour(health=pop_health("PopCTPMonitor", alert_value="Unhealthy")),
        "PopCTPMonitor on cas2.contoso.com is Unh",
    ),
    (neighbour(health=pop_health("PopCTPMonitor", alert_value="Disabled")), "is Disabled"),
    (neighbour(exchange=with_component(CAS2, "ServerWideOffline", "Inactive")), "ServerWideOffline on"),
    (neighbour(exchange=with_component(CAS2, "PopProxy", "Draining")), "PopProxy on cas2.contoso.com is Draining"),
    (neighbour(exchange=exchange("CAS2", mailbox=False, site="Nantes")), "has no Client Access role"),
    (neighbour(exchange=exchange("CAS2", mailbox=False, cas=True, site="Nantes")), "site Nantes, not Lyon"),
]

UNCLEAR = [
    (neighbour(exchange=None, silence="no answer in 60 seconds"), "no answer in 60 seconds"),
    (neighbour(health=None, silence="connection refused"), "connection refused"),
    (neighbour(health=ServerHealth(rows=())), "shows no POP* monitor"),
    (neighbour(health=pop_health("PopCTPMonitor", server="CAS3")), "shows no POP* monitor"),
    (neighbour(health=pop_health("PopCTPMonitor", is_stale=True)), "is stale"),
    (neighbour(exchange=exchange("CAS3", mailbox=False, cas=True)), "Exchange answered about CAS3"),
    (neighbour(exchange=without_component(CAS2, "PopProxy")), "does not show its component PopProxy"),
]


def renamed(other: Neighbour, name: str) -> Neighbour:
    return replace(other, server=server(f"{name}.contoso.com", CAS_ONLY, None))


def test_one_healthy_neighbour_is_enough() -> None:
    assert isinstance(another_serves(client_access()), Allow)
    busy, silent = renamed(UNFIT[0][0], "cas3"), renamed(UNCLEAR[0][0], "cas4")
    verdict = another_serves(client_access(neighbours=(busy, silent, neighbour())))
    assert isinstance(verdict, Allow)
    assert verdict.figures["cas2.contoso.com"] == "healthy"


def test_the_only_client_access_server_of_a_site_is_never_rebooted() -> None:
    verdict = another_serves(client_access(neighbours=()))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == "cas1.contoso.com is the only Client Access server of Lyon in the inventory"


@pytest.mark.parametrize(("other", "reason"), UNFIT)
def test_a_neighbour_that_cannot_serve_does_not_count(other: Neighbour, reason: str) -> None:
    verdict = another_serves(client_access(neighbours=(other,)))
    assert isinstance(verdict, Refuse)
    assert reason in verdict.reason
    assert reason in verdict.figures["cas2.contoso.com"]


@pytest.mark.parametrize(("other", "reason"), UNCLEAR)
def test_a_neighbour_of_which_nothing_is_known_does_not_count_either(other: Neighbour, reason: str) -> None:
    verdict = another_serves(client_access(neighbours=(other,)))
    assert isinstance(verdict, CannotTell)
    assert reason in verdict.reason


def test_an_unknown_neighbour_beside_a_busy_one_is_asked_again() -> None:
    assert isinstance(
        another_serves(client_access(neighbours=(renamed(UNFIT[0][0], "cas3"), UNCLEAR[0][0]))), CannotTell
    )


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Allow),
        ({"copies": None}, CannotTell),
        ({"copies": copies()}, CannotTell),
        ({"copies": DatabaseCopies(server="CAS1", mailbox_role=True)}, Refuse),
    ],
)
def test_what_may_hold_a_copy_is_not_rebooted_this_way(changes: dict[str, Any], verdict: type) -> None:
    assert type(holds_no_copies(client_access(**changes))) is verdict
    assert isinstance(holds_no_copies(mailbox()), Refuse)
