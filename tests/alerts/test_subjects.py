"""Which health set and monitor an alert is about, in any language and by whatever of its texts tells."""

import json

import pytest

from daemon.alerts.forms.known import Names
from daemon.alerts.forms.subjects import Texts, subject
from daemon.alerts.payloads import Payloads
from daemon.alerts.trial import tried
from daemon.config.alerts import AlertSettings
from daemon.config.settings import BusSettings
from daemon.domain.alerts import Alert
from tests.alerts.test_cases import RUNBOOKS, SITE

NAMES = Names(RUNBOOKS)
READER = Payloads(BusSettings(), AlertSettings(), NAMES)
FULL = "Microsoft.Exchange.15.HealthSet:ex001.corp.fabrikam.example;"


def _about(name: str, description: str = "", display: str = "", full: str = "") -> tuple[str, str]:
    texts = Texts(name=name, description=description, display_name=display, object_name="", full_name=full)
    found = subject(texts, NAMES)
    return found.health_set, found.monitor


@pytest.mark.parametrize(
    ("name", "description", "health_set", "monitor"),
    [
        ("Integritätssatz POP.Protocol fehlerhaft (PopDeepTestMonitor/POP)", "", "POP.Protocol", "PopDeepTestMonitor"),
        ("L'ensemble d'intégrité POP est défectueux (PopCTPMonitor/MSExchangePop3)", "", "POP", "PopCTPMonitor"),
        ("L'ensemble « POP.Proxy » est défectueux", "", "POP.Proxy", ""),
        ("正常性セット POP.Proxy は異常です (PopProxyTestMonitor/POP)", "", "POP.Proxy", "PopProxyTestMonitor"),
        ("{2}", "Der Integritätssatz POP ist fehlerhaft.", "POP", ""),
        ("{2}", "Le moniteur PopSelfTestMonitor a échoué.", "POP.Protocol", "PopSelfTestMonitor"),
        ("{2}", "http://technet.microsoft.com/library/ms.exch.scom.POP.Proxy(EXCHG.150).aspx", "POP.Proxy", ""),
        ("{0} Health Set unhealthy ({1}) - {2}", "popdeeptestmonitor failed", "POP.Protocol", "PopDeepTestMonitor"),
        ("„POP“ Health Set unhealthy (“PopCTPMonitor”/x)", "", "POP", "PopCTPMonitor"),
        ("AverageCommandProcessingTimeGt60sMonitor", "POP is slow", "POP", "AverageCommandProcessingTimeGt60sMonitor"),
        ("Search is slow, and the store has little memory", "The network.", "", ""),
        ("POP and IMAP", "", "", ""),
        ("PopDeepTestMonitor or PopSelfTestMonitor", "", "", ""),
        ("Mailbox database full", "", "", ""),
    ],
)
def test_names_that_nobody_translates_tell(name: str, description: str, health_set: str, monitor: str) -> None:
    assert _about(name, description) == (health_set, monitor)


@pytest.mark.parametrize(
    ("display", "full", "health_set"),
    [
        ("POP.Protocol", "", "POP.Protocol"),
        ("pop.protocol", "", "POP.Protocol"),
        ("ex001.corp.fabrikam.example", f"{FULL}POP.Proxy", "POP.Proxy"),
        ("", f"{FULL}IMAP", "IMAP"),
        ("", f"{FULL}Contoso.Custom", "Contoso.Custom"),
        ("", "Microsoft.Windows.LogicalDisk:ex001;C", ""),
        ("Store", "", "Store"),
    ],
)
def test_where_the_texts_are_mute_the_object_tells(display: str, full: str, health_set: str) -> None:
    assert _about("{2}", "See the article.", display, full) == (health_set, "")


def test_the_sentence_of_the_management_pack_goes_before_the_object() -> None:
    assert _about("POP Health Set unhealthy (PopCTPMonitor/x)", "", "IMAP", f"{FULL}IMAP") == ("POP", "PopCTPMonitor")
    assert _about("The Health Set unhealthy", "", "POP") == ("POP", "")
    assert _about("pop health set unhealthy (popctpmonitor/x)") == ("POP", "PopCTPMonitor")
    assert _about("Contoso.Custom Health Set unhealthy (CustomMonitor/x)") == ("Contoso.Custom", "CustomMonitor")


def test_a_monitor_of_another_health_set_is_not_this_ones() -> None:
    assert _about("{2}", "PopCTPMonitor", "POP.Protocol") == ("POP.Protocol", "")


def _alert(**changes: object) -> Alert:
    record = {"Id": "7f3e2a51-9b0c-4d77-8a57-2f6f0c1d9e10", "ResolutionState": 0, "PrincipalName": "ex001"} | changes
    [part] = READER.parts("alerts/scom/x", json.dumps(record).encode())
    assert part.alert is not None, part.rejection
    return part.alert


def test_placeholders_of_different_health_sets_never_share_a_key() -> None:
    alerts = [_alert(Name="{2}", MonitoringObjectDisplayName=name) for name in ("POP", "POP.Proxy", "IMAP", "Store")]
    assert len({(alert.health_set, alert.monitor) for alert in alerts}) == len(alerts)


@pytest.mark.parametrize("name", ["Wartung", "maintenance", "Wartungsstatus"])
def test_a_maintenance_alert_in_another_language_is_never_remediated(name: str) -> None:
    assert _alert(Name=f"{name} Integritätssatz POP.Protocol fehlerhaft (x/y)").suppress
    assert not _alert(Name="POP.Protocol", Description=f"nach der {name}").suppress


@pytest.mark.parametrize(
    ("fields", "outcome", "health_set"),
    [
        ({"Description": "The service MSExchangePOP3BE is not running."}, "open", "POP.Protocol"),
        ({"MonitoringObjectDisplayName": "Microsoft Exchange POP3 Backend"}, "open", "POP.Protocol"),
        ({"Description": "Der Dienst MSExchangePop3 wurde beendet."}, "open", "POP"),
        ({"MonitoringObjectFullName": "X.Service:ex001;MSExchangePOP3"}, "open", "POP"),
        ({"Description": "MSExchangeIMAP4 stopped"}, "human", "IMAP"),
        ({"Description": "MSExchangeTransport stopped"}, "human", ""),
        ({"Description": "MSExchangePOP3 and MSExchangePOP3BE"}, "human", ""),
    ],
)
def test_a_stopped_service_that_a_runbook_restarts_opens_its_incident(
    fields: dict[str, str], outcome: str, health_set: str
) -> None:
    record = {"Id": "7f3e2a51-9b0c-4d77-8a57-2f6f0c1d9e10", "ResolutionState": 0, "PrincipalName": "ex001"}
    named = record | {"Name": "Exchange Service Stopped"} | fields
    parts = READER.parts("alerts/scom/x", json.dumps(named).encode())
    [found] = tried(parts, SITE, RUNBOOKS, AlertSettings())
    assert found.alert is not None
    assert (found.outcome, found.alert.health_set, found.alert.monitor) == (outcome, health_set, "")
    assert outcome == "human" or found.runbook == "pop-triage"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"PrincipalName": "ex001.corp.fabrikam.example."}, ("ex001.corp.fabrikam.example",)),
        ({"PrincipalName": "FABRIKAM\\EX001$"}, ("EX001",)),
        ({"PrincipalName": "Not Present", "MonitoringObjectPath": "a.b;EX001 (Mailbox)"}, ("a.b", "EX001", "Mailbox")),
        ({"PrincipalName": None, "MonitoringObjectDisplayName": "POP on ex001.corp.example"}, ("ex001.corp.example",)),
        ({"PrincipalName": "EX001", "NetbiosComputerName": "EX001"}, ("EX001",)),
        ({"PrincipalName": "x", "MonitoringObjectDisplayName": "POP.Protocol"}, ("x",)),
    ],
)
def test_every_field_that_names_a_machine_is_read_and_blanks_hide_nothing(
    fields: dict[str, object], names: tuple[str, ...]
) -> None:
    assert _alert(Name="{2}", **fields).names == names


def test_what_only_a_text_or_the_full_name_names_is_a_hint() -> None:
    alert = _alert(
        Name="{2}",
        Description="The watcher failed for EX002, at 3:12.",
        MonitoringObjectFullName="A.B:ex003.corp.example;POP",
    )
    assert (alert.names, alert.hints) == (("ex001",), ("ex003.corp.example", "EX002"))


@pytest.mark.parametrize(
    ("written", "number", "closed"),
    [
        (0, 0, False),
        ("0", 0, False),
        ("New", 0, False),
        ("neu", 0, False),
        ("Acknowledged", 249, False),
        ("249", 249, False),
        ("Resolved", 254, True),
        ("Fermé", 255, True),
        ("255", 255, True),
        ("In Bearbeitung", None, False),
    ],
)
def test_a_resolution_state_is_read_by_number_and_by_name(written: object, number: int | None, *, closed: bool) -> None:
    alert = _alert(Name="{2}", ResolutionState=written)
    assert (alert.resolution_state, alert.state, alert.closed) == (number, str(written), closed)


@pytest.mark.parametrize("written", [-1, 256, "256", True, [0], 1.5])
def test_what_is_no_resolution_state_is_refused(written: object) -> None:
    record = {"Id": "7f3e2a51-9b0c-4d77-8a57-2f6f0c1d9e10", "PrincipalName": "ex001", "ResolutionState": written}
    [part] = READER.parts("alerts/scom/x", json.dumps(record).encode())
    assert part.rejection == "ResolutionState must be a resolution state: 0 to 255, or its name"


def test_who_has_it_and_maintenance_at_the_source_are_kept() -> None:
    alert = _alert(Name="{2}", Owner=" CONTOSO\\anna ", MonitoringObjectInMaintenanceMode="True")
    assert (alert.owner, alert.in_maintenance) == ("CONTOSO\\anna", True)
    assert not _alert(Name="{2}", MonitoringObjectInMaintenanceMode="False").in_maintenance
