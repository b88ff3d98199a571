"""The gates about the server itself: roles, components, the service."""

from datetime import timedelta

import pytest

from daemon.domain.inventory import Role
from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse
from daemon.exchange.answers import ExchangeServer
from daemon.remediation.actions.preconditions.facts import Facts
from daemon.remediation.actions.preconditions.server import (
    inventory_agrees,
    proxy_active,
    server_online,
    service_automatic,
    transport_active,
)
from daemon.remediation.actions.preconditions.table import Precondition
from tests.remediation.actions.preconditions.known import (
    CAS_ONLY,
    NOW,
    client_access,
    dag,
    exchange,
    mailbox,
    server,
    state,
    windows,
    with_component,
    without_component,
)

BOTH = frozenset(Role)


@pytest.mark.parametrize("facts", [mailbox(), client_access()])
def test_roles_as_the_inventory_says_are_fine(facts: Facts) -> None:
    assert isinstance(inventory_agrees(facts), Allow)


@pytest.mark.parametrize(
    ("facts", "said", "answered"),
    [
        (mailbox(exchange=exchange(mailbox=False, cas=True)), "mailbox", "client_access"),
        (mailbox(exchange=exchange(cas=True)), "mailbox", "client_access and mailbox"),
        (client_access(exchange=exchange("CAS1", cas=True)), "client_access", "client_access and mailbox"),
        (mailbox(exchange=exchange(mailbox=False)), "mailbox", "neither mailbox nor client_access"),
    ],
)
def test_roles_that_differ_from_the_inventory_are_refused_with_both(facts: Facts, said: str, answered: str) -> None:
    verdict = inventory_agrees(facts)
    assert isinstance(verdict, Refuse)
    assert verdict.reason == f"the inventory calls {facts.server.name} {said}, and the server answers {answered}"
    assert set(verdict.figures) == {"inventory", "server", "version"}


@pytest.mark.parametrize("version", ["9" * 5000 + ".1", "15." + "9" * 5000, "Version " + "9" * 5000])
def test_a_version_without_end_is_no_defect_of_ours(version: str) -> None:
    verdict = inventory_agrees(mailbox(exchange=exchange(version=version)))  # int() takes 4,300 digits at most
    assert isinstance(verdict, Allow | Refuse)


@pytest.mark.parametrize("version", ["Version 15.1 (Build 2507.6)", "Version 15.2 (Build 1118.7)", "15.2.1118.7"])
@pytest.mark.parametrize("cas", [True, False])
@pytest.mark.parametrize("roles", [frozenset({Role.MAILBOX}), BOTH])
def test_from_2016_on_the_mailbox_role_contains_client_access(version: str, cas: bool, roles: frozenset[Role]) -> None:
    facts = mailbox(server=server(roles=roles), exchange=exchange(cas=cas, version=version))
    assert isinstance(inventory_agrees(facts), Allow)


@pytest.mark.parametrize("listed", [None, "DAG2"])
def test_another_dag_than_the_inventory_says_is_refused(listed: str | None) -> None:
    verdict = inventory_agrees(mailbox(server=server(dag=listed)))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == f"the inventory puts mbx1.contoso.com in {listed or 'no DAG'}, Exchange in DAG1"
    assert isinstance(inventory_agrees(mailbox(server=server(dag="dag1"))), Allow)


@pytest.mark.parametrize("facts", [mailbox(exchange=exchange("MBX2")), mailbox(dag=None), mailbox(dag=dag(server="X"))])
def test_an_answer_about_another_server_tells_nothing(facts: Facts) -> None:
    assert isinstance(inventory_agrees(facts), CannotTell)


@pytest.mark.parametrize("shown", ["Inactive", "Draining", "Unknown"])
def test_a_server_that_is_taken_offline_is_left_to_whoever_did_it(shown: str) -> None:
    verdict = server_online(
        mailbox(exchange=with_component(exchange(), "ServerWideOffline", shown, "Maintenance", "Functional"))
    )
    assert isinstance(verdict, Refuse)
    assert verdict.reason == (
        f"ServerWideOffline on mbx1.contoso.com is {shown}, requested by Maintenance, Functional: "
        "somebody is working there; it is lifted by "
        "`Set-ServerComponentState -Identity mbx1.contoso.com -Component ServerWideOffline -State Active "
        "-Requester Maintenance`, "
        "`Set-ServerComponentState -Identity mbx1.contoso.com -Component ServerWideOffline -State Active "
        "-Requester Functional`"
    )
    assert verdict.figures == {"ServerWideOffline": shown, "requesters": ["Maintenance", "Functional"]}


@pytest.mark.parametrize(
    ("gate", "component"), [(server_online, "ServerWideOffline"), (transport_active, "HubTransport")]
)
def test_a_requester_that_cannot_be_read_is_not_somebody_else(gate: Precondition, component: str) -> None:
    verdict = gate(mailbox(exchange=with_component(exchange(), component, "Inactive")))
    assert isinstance(verdict, CannotTell)
    assert verdict.reason == f"{component} on mbx1.contoso.com is Inactive, and no requester can be read"


def test_who_asked_and_since_when_is_read_on_the_server_itself() -> None:
    request = {"requester": "Maintenance", "state": "Inactive", "at": NOW - timedelta(hours=3)}
    told = state(component_requests={"serverwideoffline": [request]})
    facts = mailbox(state=told, exchange=with_component(exchange(), "ServerWideOffline", "Inactive"))
    verdict = server_online(facts)
    assert isinstance(verdict, Refuse)
    assert "requested by Maintenance since 2026-01-15 00:00 UTC: somebody is working there" in verdict.reason


def test_managed_availability_that_only_the_server_itself_names_is_waited_for() -> None:
    known = exchange("CAS1", mailbox=False, cas=True)
    told = state(component_requests={"PopProxy": [{"requester": "HealthAPI", "state": "Inactive"}]})
    service = windows("MSExchangePOP3").services
    facts = client_access(
        exchange=with_component(known, "PopProxy", "Inactive"), state=told.model_copy(update={"services": service})
    )
    assert isinstance(proxy_active(facts), Hold)


def test_a_requester_that_exchange_alone_names_counts_as_well() -> None:
    told = state(component_requests={"PopProxy": [{"requester": "HealthAPI", "state": "Inactive"}]})
    known = with_component(exchange("CAS1", mailbox=False, cas=True), "PopProxy", "Inactive", "Sidelined")
    verdict = proxy_active(client_access(exchange=known, state=told))
    assert isinstance(verdict, Refuse)
    assert verdict.figures["requesters"] == ["HealthAPI", "Sidelined"]


#: How a request comes through a session of Exchange.
LOST = {"requester": "unreadable", "state": "unreadable"}


@pytest.mark.parametrize(
    ("here", "verdict"),
    [
        ([{"requester": "HealthAPI", "state": "Inactive"}], Hold),
        ([{"requester": "HealthAPI", "state": "Inactive"}, {"requester": "Functional", "state": "Active"}], Hold),
        ([{"requester": "Maintenance", "state": "Inactive"}], Refuse),
        ([{"requester": "HealthAPI", "state": "Inactive"}, {"requester": "Maintenance", "state": "Inactive"}], Refuse),
        # Whoever cannot be read may be somebody else.
        (
            [{"requester": "HealthAPI", "state": "Inactive"}, {"requester": "Maintenance", "state": "unreadable"}],
            CannotTell,
        ),
        ([{"requester": "HealthAPI", "state": "Active"}], CannotTell),
        ([], CannotTell),
        (None, CannotTell),
    ],
)
def test_requests_that_lost_their_parts_on_the_way_are_nobodys(
    here: list[dict[str, str]] | None, verdict: type
) -> None:
    known = exchange("CAS1", mailbox=False, cas=True).model_dump()
    known["components"] = [{"name": "PopProxy", "state": "Inactive", "requests": [LOST, LOST]}]
    told = state(component_requests=None if here is None else {"PopProxy": here})
    service = windows("MSExchangePOP3").services
    facts = client_access(
        exchange=ExchangeServer.model_validate(known), state=told.model_copy(update={"services": service})
    )
    assert isinstance(proxy_active(facts), verdict)


def test_a_component_that_is_not_shown_tells_nothing() -> None:
    for gate, name in ((server_online, "ServerWideOffline"), (transport_active, "HubTransport")):
        assert isinstance(gate(mailbox()), Allow)
        verdict = gate(mailbox(exchange=without_component(exchange(), name)))
        assert isinstance(verdict, CannotTell)
        assert verdict.reason == f"the answer about mbx1.contoso.com does not show its component {name}"


@pytest.mark.parametrize(
    ("shown", "verdict"), [("Draining", Refuse), ("Inactive", Refuse), ("active", Allow), ("Odd", CannotTell)]
)
def test_drained_transport_means_maintenance(shown: str, verdict: type) -> None:
    facts = mailbox(exchange=with_component(exchange(), "HubTransport", shown, "Maintenance"))
    assert type(transport_active(facts)) is verdict


def test_a_client_access_server_has_no_hub_transport_to_drain() -> None:
    assert isinstance(transport_active(client_access()), Allow)


def proxy(shown: str, *requesters: str) -> Facts:
    return client_access(
        exchange=with_component(exchange("CAS1", mailbox=False, cas=True), "PopProxy", shown, *requesters)
    )


@pytest.mark.parametrize("shown", ["Inactive", "Draining"])
def test_pop_proxy_taken_out_by_managed_availability_is_waited_for(shown: str) -> None:
    verdict = proxy_active(proxy(shown, "HealthAPI"))
    assert isinstance(verdict, Hold)
    assert (verdict.after, verdict.deadline) == (timedelta(minutes=2), timedelta(minutes=30))
    assert verdict.reason.startswith(f"PopProxy on cas1.contoso.com is {shown}, requested by HealthAPI")


@pytest.mark.parametrize("requesters", [("Maintenance",), ("HealthAPI", "Sidelined")])
def test_pop_proxy_taken_out_by_anybody_else_is_refused_with_the_requester(requesters: tuple[str, ...]) -> None:
    verdict = proxy_active(proxy("Inactive", *requesters))
    assert isinstance(verdict, Refuse)
    assert f"requested by {', '.join(requesters)}: a restart cannot help" in verdict.reason
    assert verdict.figures == {"PopProxy": "Inactive", "requesters": list(requesters)}


def test_pop_proxy_of_which_nothing_is_known_tells_nothing() -> None:
    assert isinstance(proxy_active(proxy("Inactive")), CannotTell)
    assert isinstance(proxy_active(proxy("Odd", "HealthAPI")), CannotTell)
    missing = without_component(exchange("CAS1", mailbox=False, cas=True), "PopProxy")
    assert isinstance(proxy_active(client_access(exchange=missing)), CannotTell)


def test_pop_proxy_is_asked_for_the_front_end_only() -> None:
    assert isinstance(proxy_active(proxy("Active")), Allow)
    facts = mailbox(exchange=with_component(exchange(), "PopProxy", "Inactive", "Maintenance"))
    assert isinstance(proxy_active(facts), Allow)


def test_an_entry_that_asks_for_active_is_no_requester() -> None:
    known = exchange("CAS1", mailbox=False, cas=True).model_dump()
    requests = [{"requester": "Maintenance", "state": "Inactive"}, {"requester": "HealthAPI", "state": "Active"}]
    known["components"] = [{"name": "PopProxy", "state": "Inactive", "requests": requests}]
    verdict = proxy_active(client_access(exchange=ExchangeServer.model_validate(known)))
    assert isinstance(verdict, Refuse)
    assert "requested by Maintenance:" in verdict.reason


@pytest.mark.parametrize("start_type", ["Manual", "Disabled", ""])
def test_a_service_that_nobody_meant_to_run_is_not_restarted(start_type: str) -> None:
    assert isinstance(service_automatic(mailbox()), Allow)
    verdict = service_automatic(mailbox(state=windows(start_type=start_type)))
    assert isinstance(verdict, Refuse)
    assert f"starts {start_type}, not Automatic" in verdict.reason


def test_a_service_that_does_not_exist_is_not_restarted() -> None:
    verdict = service_automatic(mailbox(state=windows("Spooler")))
    assert isinstance(verdict, Refuse)
    assert verdict.reason == "mbx1.contoso.com has no service MSExchangePOP3BE"


def test_the_case_of_names_does_not_matter() -> None:
    shouted = exchange().model_dump_json().replace("ServerWideOffline", "SERVERWIDEOFFLINE").replace("Active", "ACTIVE")
    assert isinstance(server_online(mailbox(exchange=ExchangeServer.model_validate_json(shouted))), Allow)
    assert isinstance(service_automatic(mailbox(service="msexchangepop3be")), Allow)
    assert isinstance(inventory_agrees(client_access(server=server("cas1.contoso.com", CAS_ONLY, None))), Allow)
