"""What only the probe suffers from is not cured by a move or a reboot."""

from datetime import timedelta
from typing import Any

import pytest

from daemon.config.guardrails import Timing
from daemon.domain.verdicts import Allow, CannotTell, Refuse
from daemon.exchange.answers import PopSettings
from daemon.remediation.actions.preconditions.why_it_fails import blames, cause_on_the_server, certificate_valid
from tests.remediation.actions.preconditions.known import NOW, mailbox, pop_settings

IGNORING = Timing(heed_reason=False)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("reason", "blamed"),
    [
        ("Auth", "monitoring mailbox"),
        ("AuthFailed", "monitoring mailbox"),
        ("MONITORING", "monitoring mailbox"),
        ("TlsNegotiation", "certificate"),
        ("SSL", "certificate"),
        ("the certificate", "certificate"),
        ("Networking", ""),
        ("Authority", ""),
        ("Store", ""),
        ("", ""),
    ],
)
def test_only_the_logon_and_the_certificate_are_blamed(reason: str, blamed: str) -> None:
    verdict = cause_on_the_server(mailbox(probe_reason=reason))
    assert isinstance(verdict, Refuse if blamed else Allow)
    assert blamed in blames(reason)
    assert bool(blames(reason)) == bool(blamed)


def test_a_site_may_ignore_both() -> None:
    certificate = {"name": "pop.contoso.com", "found": False}
    facts = mailbox(probe_reason="Auth", timing=IGNORING, pop=pop_settings(certificate=certificate))
    assert isinstance(cause_on_the_server(facts), Allow)
    assert isinstance(certificate_valid(facts), Allow)


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        ({"found": False}, "it has no such certificate"),
        ({"found": True, "valid_until": NOW}, "expired at 2026-01-15 03:00 UTC"),
        ({"found": True, "valid_from": NOW + DAY}, "is valid only from 2026-01-16 03:00 UTC"),
    ],
)
def test_a_certificate_that_is_missing_or_not_valid_is_refused(certificate: dict[str, Any], why: str) -> None:
    facts = mailbox(pop=pop_settings(certificate={"name": "pop.contoso.com", **certificate}))
    verdict = certificate_valid(facts)
    assert isinstance(verdict, Refuse)
    assert why in verdict.reason
    assert "pop.contoso.com" in verdict.reason


@pytest.mark.parametrize(
    "certificate", [None, {"name": "x", "found": True, "valid_from": NOW - DAY, "valid_until": NOW + DAY}]
)
def test_one_that_is_valid_or_not_told_of_holds_nothing_up(certificate: dict[str, Any] | None) -> None:
    assert isinstance(certificate_valid(mailbox(pop=pop_settings(certificate=certificate))), Allow)


@pytest.mark.parametrize("settings", [None, pop_settings(server="mbx2.contoso.com")])
def test_settings_that_are_not_this_servers_tell_nothing(settings: PopSettings | None) -> None:
    assert isinstance(certificate_valid(mailbox(pop=settings)), CannotTell)
