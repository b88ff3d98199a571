"""What Exchange lists, understood and compared: pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.doctor.organisation import Change, compared, entry, understood
from daemon.domain.inventory import Role, Server
from daemon.exchange.listing import Organisation

V15 = "Version 15.0 (Build 1497.2)"


def listed(name: str, **fields: object) -> dict[str, object]:
    whole = {
        "name": name.upper(),
        "fqdn": f"{name}.contoso.com",
        "roles": "Mailbox",
        "mailbox_role": True,
        "client_access_role": False,
        "edge_role": False,
        "version": V15,
        "site": "Lyon",
    }
    return {**whole, **fields}


def answer(**fields: object) -> Organisation:
    """Two members of a DAG and a Client Access server."""
    whole: dict[str, Any] = {
        "servers": [
            listed("mbx1"),
            listed("mbx2"),
            listed("cas1", mailbox_role=False, client_access_role=True, roles="ClientAccess"),
        ],
        "mailbox_servers": [{"name": "MBX1", "dag": "DAG1"}, {"name": "MBX2", "dag": "DAG1"}],
        "dags": [{"name": "DAG1", "members": ["MBX1", "MBX2"]}],
        "warnings": [],
    }
    return Organisation.model_validate({**whole, **fields})


def with_server(row: dict[str, object], dag: str | None = None) -> Organisation:
    whole = answer().model_dump()
    holders = [*whole["mailbox_servers"], *([{"name": row["name"], "dag": dag or ""}] if row["mailbox_role"] else [])]
    return answer(servers=[*whole["servers"], row], mailbox_servers=holders)


def server(name: str, **fields: object) -> Server:
    whole: dict[str, Any] = {
        "name": f"{name}.contoso.com",
        "roles": frozenset({Role.MAILBOX}),
        "dag": "DAG1",
        "site": "Lyon",
        "endpoint": f"https://{name}.contoso.com:5986/wsman",
        "credential": "exchange",
        "tags": frozenset({"ring1"}),
    }
    return Server(**{**whole, **fields})


CAS1 = server("cas1", roles=frozenset({Role.CLIENT_ACCESS}), dag=None)
ALL = (server("mbx1"), server("mbx2"), CAS1)


def test_a_whole_answer_tells_roles_dag_and_site_of_every_server() -> None:
    topology = understood(answer(), "mbx1.contoso.com")
    assert [(each.name, each.dag, each.site) for each in topology.found] == [
        ("mbx1.contoso.com", "DAG1", "Lyon"),
        ("mbx2.contoso.com", "DAG1", "Lyon"),
        ("cas1.contoso.com", None, "Lyon"),
    ]
    assert (topology.unfit, topology.doubts) == ((), ())


def test_an_inventory_that_agrees_has_no_difference_whatever_the_case_of_its_groups() -> None:
    for servers in (ALL, tuple(server(each.short_name, roles=each.roles, site="LYON", dag=each.dag) for each in ALL)):
        difference = compared(understood(answer(), "mbx1.contoso.com"), servers)
        assert (difference.added, difference.changed, difference.gone) == ((), (), ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (listed("e1", edge_role=True, mailbox_role=False, site=""), "Edge"),
        (listed("n1", mailbox_role=False, roles="UnifiedMessaging"), "roles: UnifiedMessaging"),
        (listed("o1", version="Version 14.3 (Build 123.4)"), "14.3"),
        (listed("o2", version="Version 15.20 (Build 1.1)"), "15.20"),
        (listed("v1", version=""), "not told"),
        (listed("s1", site=""), "site"),
        (listed("f1", fqdn=""), "no full name"),
    ],
)
def test_a_server_that_cannot_be_told_is_named_with_the_reason_and_not_written(
    row: dict[str, object], reason: str
) -> None:
    topology = understood(with_server(row), "mbx1.contoso.com")
    assert topology.doubts == ()
    assert len(topology.found) == 3
    assert [reason in each.reason for each in topology.unfit] == [True]
    assert len(compared(topology, ALL).added) == 0


@pytest.mark.parametrize(
    ("fields", "name", "reason"),
    [
        ({"dags": []}, "mbx1.contoso.com", "puts it in DAG1, Get-DatabaseAvailabilityGroup in no DAG"),
        (
            {"mailbox_servers": [{"name": "MBX1", "dag": ""}, {"name": "MBX2", "dag": "DAG1"}]},
            "mbx1.contoso.com",
            "puts it in no DAG, Get-DatabaseAvailabilityGroup in DAG1",
        ),
        (
            {
                "dags": [{"name": "DAG1", "members": ["MBX1"]}],
                "mailbox_servers": [{"name": "MBX1", "dag": "DAG1"}, {"name": "MBX2", "dag": ""}],
            },
            "mbx1.contoso.com",
            "no other member",
        ),
    ],
)
def test_a_dag_on_which_exchange_does_not_agree_with_itself_leaves_the_server_as_it_is(
    fields: dict[str, object], name: str, reason: str
) -> None:
    topology = understood(answer(**fields), "cas1.contoso.com")
    assert topology.doubts == ()
    reasons = {each.name: each.reason for each in topology.unfit}
    assert reason in reasons[name]
    difference = compared(topology, ALL)
    assert name not in {change.name for change in difference.changed}
    assert name not in difference.gone


@pytest.mark.parametrize(
    ("fields", "doubt"),
    [
        ({"servers": [], "mailbox_servers": [], "dags": []}, "listed no server"),
        ({"servers": [listed("mbx2"), listed("mbx3")]}, "did not list mbx1.contoso.com, the server that was asked"),
        ({"servers": [listed("mbx1")]}, "MBX2 is a member of DAG1"),
        ({"mailbox_servers": [{"name": "MBX1", "dag": "DAG1"}]}, "did not list MBX2, a Mailbox server"),
        ({"servers": [listed("mbx1"), listed("mbx2"), listed("mbx2")]}, "listed mbx2.contoso.com 2 times"),
        ({"warnings": ["There are more results available."]}, "more results available"),
    ],
)
def test_an_answer_that_is_not_whole_is_doubted(fields: dict[str, object], doubt: str) -> None:
    assert any(doubt in each for each in understood(answer(**fields), "mbx1.contoso.com").doubts)


@given(st.sets(st.sampled_from(range(3))), st.sets(st.sampled_from(range(2))), st.booleans())
def test_what_is_left_out_of_an_answer_never_moves_a_server_out_of_its_dag(
    servers: set[int], holders: set[int], dags: bool
) -> None:
    whole = answer().model_dump()
    part = answer(
        servers=[row for index, row in enumerate(whole["servers"]) if index not in servers],
        mailbox_servers=[row for index, row in enumerate(whole["mailbox_servers"]) if index not in holders],
        dags=[] if dags else whole["dags"],
    )
    topology = understood(part, "cas1.contoso.com")
    changed = compared(topology, ALL).changed
    assert topology.doubts or not changed


def test_differences_are_told_field_by_field_and_a_server_that_is_gone_is_only_named() -> None:
    servers = (server("mbx1", site="Paris"), server("mbx2", dag=None), CAS1, server("old1"))
    difference = compared(understood(answer(), "mbx1.contoso.com"), servers)
    assert difference.changed == (
        Change("mbx1.contoso.com", "site", "Paris", "Lyon"),
        Change("mbx2.contoso.com", "dag", None, "DAG1"),
    )
    assert difference.gone == ("old1.contoso.com",)


@pytest.mark.parametrize("roles", [{Role.MAILBOX}, {Role.MAILBOX, Role.CLIENT_ACCESS}])
def test_from_2016_on_both_spellings_of_the_roles_agree(roles: set[Role]) -> None:
    rows = [listed(name, version="Version 15.1 (Build 2507.6)", client_access_role=True) for name in ("mbx1", "mbx2")]
    servers = (server("mbx1", roles=frozenset(roles)), server("mbx2", roles=frozenset(roles)))
    assert compared(understood(answer(servers=rows), "mbx1.contoso.com"), servers).changed == ()


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://mbx1.contoso.com:5985/wsman", "http://mbx2.contoso.com:5985/wsman"),
        ("https://192.0.2.7:5986/wsman", "https://mbx2.contoso.com:5986/wsman"),
        ("https://[2001:db8::1]:5986/wsman", "https://mbx2.contoso.com:5986/wsman"),
        ("http://mbx1.contoso.com/wsman", "http://mbx2.contoso.com/wsman"),
    ],
)
def test_a_new_server_is_reached_as_the_one_asked_and_has_no_tags(endpoint: str, expected: str) -> None:
    found = compared(understood(answer(), "mbx1.contoso.com"), (server("mbx1"), CAS1)).added
    assert [each.name for each in found] == ["mbx2.contoso.com"]
    row = entry(found[0], server("mbx1", endpoint=endpoint))
    assert row == {
        "roles": ["mailbox"],
        "dag": "DAG1",
        "site": "Lyon",
        "endpoint": expected,
        "credential": "exchange",
    }
