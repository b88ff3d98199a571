"""How the rows of Get-ServerHealth tell whether a dependency is healthy."""

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from daemon.config.guardrails import Dependencies
from daemon.domain.causes import CauseKind
from daemon.domain.verdicts import Allow, CannotTell, Hold
from daemon.exchange.answers import ServerHealth
from daemon.remediation.actions.preconditions.dependencies import dependencies_healthy, dependency
from statemachines.model import Need
from tests.remediation.actions.preconditions.known import ACTIVE_DIRECTORY, CAS_ONLY, needing, server


def test_every_name_of_the_page_has_its_setting() -> None:
    names = {name.lower().replace(" ", "_") for name in get_args(Need)}
    assert names == set(Dependencies.model_fields)


def test_it_is_asked_by_the_health_set_of_the_settings() -> None:
    found = dependency("Network", server(), Dependencies(network="Networking"))
    assert (found.health_set, str(found)) == ("Networking", "Network (health set Networking)")


def test_what_has_no_health_set_or_is_not_on_such_a_server_is_noted_and_not_asked() -> None:
    none = dependency("Active Directory", server(), Dependencies(active_directory=""))
    assert (none.health_set, none.noted) == ("", "no health set tells of it")
    store = dependency("Information Store", server("cas1.contoso.com", CAS_ONLY, None), Dependencies())
    assert store.health_set == ""
    assert "no Mailbox server" in store.noted


@pytest.mark.parametrize("value", ["Unhealthy", "degraded", "Repairing"])
def test_one_bad_monitor_holds_and_says_which_and_since_it_is_shared_lets_go(value: str) -> None:
    verdict = dependencies_healthy(needing(value))
    assert isinstance(verdict, Hold)
    assert verdict.reason == (
        f"Active Directory (health set AD) is not healthy on mbx1.contoso.com: ADMonitor is {value}; "
        "no restart, move or reboot cures what depends on it"
    )
    assert (verdict.after, verdict.deadline, verdict.lets_go) == (timedelta(minutes=5), timedelta(hours=8), True)
    assert verdict.found is not None
    assert (verdict.found.kind, verdict.found.servers) == (CauseKind.DEPENDENCY, ("mbx1.contoso.com",))


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        ("Unknown", {}),
        ("UnInitialized", {}),
        ("Unavailable", {}),
        ("Healthy", {"is_stale": True}),
        ("Unhealthy", {"is_stale": True}),
        ("Disabled", {}),
        ("Healthy", {"health_set": "ADx"}),
        ("Healthy", {"server": "mbx2"}),
    ],
)
def test_what_is_stale_unclear_or_about_something_else_is_neither(value: str, changes: dict[str, object]) -> None:
    assert isinstance(dependencies_healthy(needing(value, **changes)), CannotTell)


def test_no_answer_is_not_healthy() -> None:
    assert isinstance(dependencies_healthy(replace(needing(), health=None)), CannotTell)
    assert isinstance(dependencies_healthy(replace(needing(), health=ServerHealth(rows=()))), CannotTell)


def test_a_disabled_monitor_beside_healthy_ones_does_not_decide() -> None:
    known = needing()
    assert known.health is not None
    (row,) = known.health.rows
    off = row.model_copy(update={"name": "another", "alert_value": "Disabled"})
    verdict = dependencies_healthy(replace(known, health=ServerHealth(rows=(row, off))))
    assert isinstance(verdict, Allow)
    assert verdict.figures["Active Directory"] == "AD: 1 of 2 monitors Healthy"


def test_one_that_is_unhealthy_is_told_before_one_that_cannot_be_told() -> None:
    unclear = replace(ACTIVE_DIRECTORY, name="Network", health_set="Network")
    verdict = dependencies_healthy(replace(needing("Unhealthy"), dependencies=(unclear, ACTIVE_DIRECTORY)))
    assert isinstance(verdict, Hold)
    assert dependencies_healthy(replace(needing(), dependencies=())) == Allow(figures={})
