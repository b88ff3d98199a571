"""`exmedic alert try`: what would become of a payload, with neither a daemon nor a store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Exmedic, Result
from tests.config.site import SETTINGS, Site

ALERT = {
    "Id": "7f3e2a51-9b0c-4d77-8a57-2f6f0c1d9e10",
    "Name": "POP.Protocol Health Set unhealthy (PopDeepTestMonitor/POP.Protocol) - The test failed.",
    "ResolutionState": 0,
    "PrincipalName": "MBX1.contoso.com",
    "LastModified": "2026-11-05T03:15:00Z",
}
Try = Callable[..., Result]


@pytest.fixture
def attempt(exmedic: Exmedic, tmp_path: Path) -> Try:
    """Tries a payload at a site with two servers, without a store."""
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    site.write(settings=SETTINGS + "\n[alerts]\nno_owners = ['svc-scom']\n")
    site.password.write_text("secret", "utf-8")
    site.password.chmod(0o600)

    def run(payload: object, *options: str) -> Result:
        file = tmp_path / "payload"
        file.write_bytes(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        return exmedic("alert", "try", str(file), "--config", str(site.settings), *options)

    return run


def _lines(result: Result) -> list[dict[str, str]]:
    return [json.loads(line) for line in result.out.splitlines()]


def test_it_prints_a_line_of_json_for_each_alert(attempt: Try) -> None:
    other = ALERT | {"PrincipalName": "elsewhere.contoso.com"}
    result = attempt([ALERT, ALERT, ALERT | {"Owner": "anna", "PrincipalName": "mbx2"}, other], "--json")
    assert result.code == 0
    first, second, third, fourth = _lines(result)
    assert first == {
        "outcome": "open",
        "server": "mbx1.contoso.com",
        "health_set": "POP.Protocol",
        "monitor": "PopDeepTestMonitor",
        "key": "pop.protocol/popdeeptestmonitor@mbx1.contoso.com",
        "reason": "",
    }
    assert (second["outcome"], second["key"]) == ("join", first["key"])
    assert (third["outcome"], third["reason"]) == ("look", "anna is its owner")
    assert (fourth["outcome"], fourth["key"]) == ("suppressed", "")
    assert fourth["reason"] == "server elsewhere.contoso.com is not in the inventory"


def test_what_nobody_handles_is_for_a_human_and_no_failure(attempt: Try) -> None:
    result = attempt(ALERT | {"Name": "IMAP.Protocol Health Set unhealthy (ImapDeepTestMonitor/x)"}, "--json")
    [told] = _lines(result)
    assert (result.code, told["outcome"]) == (0, "human")
    assert told["reason"] == "no runbook handles ImapDeepTestMonitor (IMAP.Protocol)"


def test_neither_of_two_servers_is_the_one_and_both_are_told(attempt: Try) -> None:
    [told] = _lines(attempt(ALERT | {"MonitoringObjectPath": "mbx2.contoso.com"}, "--json"))
    assert (told["outcome"], told["server"], told["key"]) == ("human", "", "")
    assert "mbx1.contoso.com, mbx2.contoso.com" in told["reason"]


def test_one_that_is_rejected_fails_and_says_what_to_do(attempt: Try) -> None:
    result = attempt(rb'{"Id": "CONTOSO\svc"}', "--json")
    [told] = _lines(result)
    assert (result.code, told["outcome"], told["server"]) == (1, "rejected", "")
    assert told["reason"] == r"the character \ at column 17 must be written twice"
    assert attempt([ALERT, {"Id": 1}], "--json").code == 1


def test_the_topic_says_which_form_is_read(attempt: Try) -> None:
    assert attempt(ALERT, "--topic", "alerts/scom/x").code == 0
    wrong = attempt(ALERT, "--topic", "alerts/exmedic/x", "--json")
    assert wrong.code == 1
    [told] = _lines(wrong)
    assert told["reason"] == (
        "this is an alert of SCOM, and the topic alerts/exmedic/x is read as exmedic's own form: "
        'scom = "alerts/scom/#" in [bus] reads it, publish it there'
    )


def test_people_are_told_field_by_field(attempt: Try) -> None:
    said = attempt(ALERT | {"TimeRaised": "11/5/2026 3:14:15 AM"}).said
    for words in (
        "alert 1 of 1 on alerts/scom/try",
        "server mbx1.contoso.com (it names MBX1.contoso.com)",
        "health set POP.Protocol",
        "monitor PopDeepTestMonitor",
        "runbook pop-mailbox",
        "state 0",
        "owner nobody",
        "raised at 2026-11-05 03:14:15",
        "key pop.protocol/popdeeptestmonitor@mbx1.contoso.com",
        "outcome open: opens an incident",
    ):
        assert words in said


def test_an_empty_payload_is_suppressed(attempt: Try) -> None:
    result = attempt(b"")
    assert result.code == 0
    assert "outcome suppressed: nothing is done reason an empty payload only clears a retained message" in result.said


def test_it_needs_a_configuration(exmedic: Exmedic, tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(b"")
    result = exmedic("alert", "try", str(tmp_path / "payload"), "--config", str(tmp_path / "none.toml"))
    assert result.code == 2
    assert "none.toml" in result.said
