"""Which server an alert is about, and what becomes of it by what it says itself."""

# ruff: noqa: ANN401 - `changes` are fields of the record, checked by its constructor at run time

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.alerts.fate import Outcome, fate
from daemon.alerts.servers import About, about_server
from daemon.config.alerts import AlertSettings
from daemon.domain.alerts import Alert, Source
from daemon.domain.inventory import Inventory, Role, Server


def _server(name: str) -> Server:
    return Server(
        name=name,
        roles=frozenset({Role.MAILBOX}),
        dag=None,
        site="Lyon",
        endpoint=f"http://{name}:5985/wsman",
        credential="c",
        tags=frozenset(),
    )


OURS = Inventory(tuple(map(_server, ("ex1.corp.example", "ex2.corp.example", "dup.a.example", "dup.b.example"))))


def _alert(*names: str, **changes: Any) -> Alert:
    alert = Alert(
        source=Source.SCOM,
        source_id="1",
        server=names[0] if names else "",
        health_set="POP.Protocol",
        monitor="PopDeepTestMonitor",
        raised_at=None,
        closed=False,
        summary="POP.Protocol Health Set unhealthy",
        names=names,
        resolution_state=0,
        state="New",
    )
    return replace(alert, **changes)


@pytest.mark.parametrize(
    ("names", "server"),
    [
        (("ex1.corp.example",), "ex1.corp.example"),
        (("EX1",), "ex1.corp.example"),
        (("scom1.corp.example", "SCOM1", "ex1.corp.example"), "ex1.corp.example"),
        (("scom1.corp.example", "POP.Protocol", "EX1"), "ex1.corp.example"),
        (("ex1.corp.example", "EX1", "ex1.corp.example"), "ex1.corp.example"),
        (("DUP", "dup.a.example"), "dup.a.example"),
        (("dup.b.example", "DUP"), "dup.b.example"),
    ],
)
def test_the_one_server_of_ours_that_is_named_is_the_one_wherever_its_name_stands(
    names: tuple[str, ...], server: str
) -> None:
    about = about_server(_alert(*names), OURS)
    assert about.server is not None
    assert (about.server.name, about.reason) == (server, "")


@pytest.mark.parametrize(
    ("names", "hints", "candidates", "reason"),
    [
        (("ex1.corp.example", "EX2"), (), ["ex1.corp.example", "ex2.corp.example"], "more than one server"),
        (("DUP",), (), ["dup.a.example", "dup.b.example"], "its short name fits several servers"),
        (("DUP", "EX1"), (), ["ex1.corp.example", "dup.a.example", "dup.b.example"], "more than one server"),
        (("dup.a.example", "dup.b.example"), (), ["dup.a.example", "dup.b.example"], "more than one server"),
        (("ex1.other.example", "EX1"), (), ["ex1.corp.example"], "ex1.other.example, which is not in the inventory"),
        ((), ("ex1.corp.example", "POP.Protocol"), ["ex1.corp.example"], "only the full name of its object"),
        (("scom1",), ("ex1.corp.example",), ["ex1.corp.example"], "only the full name of its object"),
    ],
)
def test_what_names_no_single_server_of_ours_is_for_a_human_who_is_told_the_candidates(
    names: tuple[str, ...], hints: tuple[str, ...], candidates: list[str], reason: str
) -> None:
    about = about_server(_alert(*names, hints=hints, server=(names or hints)[0]), OURS)
    assert about.server is None
    assert [each.name for each in about.candidates] == candidates
    assert reason in about.reason
    assert all(name in about.reason for name in candidates)


def test_an_alert_that_names_none_of_ours_is_about_no_server() -> None:
    assert about_server(_alert("scom1.corp.example", "SCOM1", hints=("POP.Protocol",)), OURS) == About(None)


def test_the_full_name_of_its_object_is_not_asked_where_another_field_names_a_server() -> None:
    about = about_server(_alert("ex1.corp.example", hints=("ex2.corp.example",)), OURS)
    assert about.server is OURS.find("ex1")


def test_an_alert_with_a_single_name_is_about_that_server() -> None:
    """As the native form has them, and what an earlier version stored."""
    assert about_server(replace(_alert("EX1"), names=()), OURS).server is OURS.find("ex1")


NAMES = st.sampled_from(("ex1.corp.example", "EX1", "ex2.corp.example", "DUP", "dup.a.example", "scom1", "x.y"))


@given(
    names=st.lists(NAMES, max_size=5).map(tuple), hints=st.lists(NAMES, max_size=2).map(tuple), handled=st.booleans()
)
def test_an_alert_that_names_a_server_of_ours_never_vanishes(
    names: tuple[str, ...], hints: tuple[str, ...], handled: bool
) -> None:
    alert = _alert(*names, hints=hints, server=next(iter((*names, *hints)), ""))
    about = about_server(alert, OURS)
    decided = fate(alert, about, AlertSettings(), handled=handled)
    ours = any(OURS.named(name) for name in (*names, *hints)) or (hints and not names)
    assert (decided.outcome is Outcome.SUPPRESSED) == (not ours)
    assert (decided.outcome is Outcome.OPEN) == (about.server is not None and handled)
    assert decided.reason or decided.outcome is Outcome.OPEN


@pytest.mark.parametrize(
    ("changes", "handled", "outcome", "reason"),
    [
        ({}, True, Outcome.OPEN, ""),
        ({}, False, Outcome.HUMAN, "no runbook handles PopDeepTestMonitor (POP.Protocol)"),
        (
            {"monitor": ""},
            False,
            Outcome.HUMAN,
            "no runbook handles an alert of the health set POP.Protocol that names",
        ),
        ({"monitor": "", "health_set": ""}, False, Outcome.HUMAN, "it names no health set"),
        ({"resolution_state": 249, "state": "249"}, True, Outcome.LOOK, "its resolution state is 249"),
        ({"resolution_state": 247, "state": "x"}, True, Outcome.LOOK, "its resolution state is x"),
        ({"resolution_state": 250, "state": "250"}, True, Outcome.OPEN, ""),
        ({"resolution_state": None, "state": "In Arbeit"}, True, Outcome.LOOK, "In Arbeit is not known"),
        ({"resolution_state": None, "state": ""}, True, Outcome.OPEN, ""),
        ({"owner": "CONTOSO\\anna"}, True, Outcome.LOOK, "CONTOSO\\anna is its owner"),
        ({"in_maintenance": True}, True, Outcome.LOOK, "maintenance mode"),
        ({"owner": "anna"}, False, Outcome.HUMAN, "no runbook handles"),
        ({"closed": True, "owner": "anna"}, True, Outcome.SUPPRESSED, "closed at its source"),
        ({"suppress": "never"}, True, Outcome.SUPPRESSED, "never"),
        (
            {"names": ("elsewhere",), "server": "elsewhere"},
            True,
            Outcome.SUPPRESSED,
            "elsewhere is not in the inventory",
        ),
        ({"names": (), "hints": ("x.y",), "server": "x.y"}, True, Outcome.HUMAN, "none of its fields names a server"),
        ({"names": ("DUP",)}, True, Outcome.HUMAN, "fits several servers"),
        ({"names": ("DUP",), "closed": True}, True, Outcome.SUPPRESSED, "closed at its source"),
    ],
)
def test_what_becomes_of_an_alert_by_what_it_says(
    changes: dict[str, Any], handled: bool, outcome: Outcome, reason: str
) -> None:
    alert = _alert("ex1.corp.example", **changes)
    decided = fate(alert, about_server(alert, OURS), AlertSettings(), handled=handled)
    assert decided.outcome is outcome
    assert reason in decided.reason
    assert bool(decided.reason) == (outcome is not Outcome.OPEN)


def test_a_site_says_which_states_and_owners_mean_that_somebody_has_it() -> None:
    settings = AlertSettings(taken_states=(85,), no_owners=("svc-scom",))
    for changes, outcome in (
        ({"resolution_state": 249, "state": "249"}, Outcome.OPEN),
        ({"resolution_state": 85, "state": "85"}, Outcome.LOOK),
        ({"owner": "SVC-SCOM"}, Outcome.OPEN),
        ({"owner": "anna"}, Outcome.LOOK),
    ):
        alert = _alert("EX1", **changes)
        assert fate(alert, about_server(alert, OURS), settings, handled=True).outcome is outcome
