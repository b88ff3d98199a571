"""One alert in every shape that a route may give it is the same alert: case, wrapping, encoding, missing fields."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.alerts.forms.known import Names
from daemon.alerts.forms.several import MOST
from daemon.alerts.payloads import Part, Payloads
from daemon.alerts.trial import tried
from daemon.config.alerts import AlertSettings
from daemon.config.settings import FORMS, BusSettings
from daemon.domain.alerts import Alert
from tests.alerts.test_cases import RUNBOOKS, SITE

READER = Payloads(BusSettings(**{name: f"alerts/{name}/#" for name in FORMS}), AlertSettings(), Names(RUNBOOKS))
ID = "7f3e2a51-9b0c-4d77-8a57-2f6f0c1d9e10"
SERVER = "ex001.corp.fabrikam.example"
NEEDED = {"Id": ID, "ResolutionState": 0}
SERVERS = {"PrincipalName": SERVER, "NetbiosComputerName": "EX001", "MonitoringObjectPath": SERVER}
SUBJECTS = {
    "Name": "POP.Protocol Health Set unhealthy (PopDeepTestMonitor/MSExchangePop3BE) - échec",
    "Description": "POP.Protocol Health Set unhealthy (PopDeepTestMonitor/MSExchangePop3BE)",
}
OTHERS = {
    "TimeRaised": "2026-11-05T03:14:15Z",
    "LastModified": "/Date(1793848455127)/",
    "RepeatCount": 3,
    "Owner": None,
    "MonitoringObjectDisplayName": "POP.Protocol",
    "MonitoringObjectFullName": f"Microsoft.Exchange.15.HealthSet:{SERVER};POP.Protocol",
    "MonitoringObjectInMaintenanceMode": False,
    "CustomField1": "Ä",
}
NOTHING = (None, "", "  ", "Not Present", "not present", "$Data[Default='']/Context$")


def _written(name: str, value: object) -> st.SearchStrategy[object]:
    """A value as some route writes it."""
    shapes = [st.just(value)]
    if isinstance(value, bool | int):
        shapes.append(st.just(str(value)))
    if isinstance(value, str):
        shapes.append(st.just(f"  {value} "))
    if name == "Id":
        shapes.append(st.sampled_from((f"{{{ID.upper()}}}", {"value": ID, "Guid": ID}, {"Guid": ID})))
    if name == "ResolutionState":
        shapes.append(st.sampled_from(("New", "neu", "NEW")))
    if name in ("TimeRaised", "LastModified"):
        shapes.append(st.sampled_from(({"value": value, "DateTime": "x"}, "11/5/2026 3:14:15 AM", "gestern", 5)))
    if name in SERVERS:
        shapes.append(st.sampled_from((f"{SERVER}.", SERVER.upper(), "FABRIKAM\\EX001$", f"{SERVER};Mailbox")))
    return st.one_of(shapes)


def _spelt(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from((name, name[0].lower() + name[1:], name.lower(), name.upper()))


def _some(fields: dict[str, Any]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(fields)), min_size=1, unique=True)


@st.composite
def records(draw: st.DrawFn) -> dict[str, object]:
    """The alert with one field at least that names the server and one that says what it is about."""
    given_names = {*NEEDED, *draw(_some(SERVERS)), *draw(_some(SUBJECTS)), *draw(st.sets(st.sampled_from([*OTHERS])))}
    record = {}
    for name, value in (NEEDED | SERVERS | SUBJECTS | OTHERS).items():
        if name in given_names:
            record[draw(_spelt(name))] = draw(_written(name, value))
        elif draw(st.booleans()):
            record[draw(_spelt(name))] = draw(st.sampled_from(NOTHING))
    return record


def _wrapped(how: str, record: dict[str, object]) -> object:
    columns = list(record)
    return {
        "as it is": record,
        "array": [record],
        "PowerShell's array": {"value": [record], "Count": 1},
        "PowerShell's array of one": {"value": record, "Count": 1},
        "array of arrays": [[record], []],
        "answer of REST": {"tableColumns": [{"field": name} for name in columns], "rows": [record]},
        "columns and rows": {"TableColumns": [{"field": n} for n in columns], "Rows": [[record[n] for n in columns]]},
        "OData": {"@odata.context": "x", "value": [record]},
    }[how]


WRAPPINGS = (
    "as it is",
    "array",
    "PowerShell's array of one",
    "PowerShell's array",
    "array of arrays",
    "answer of REST",
    "columns and rows",
    "OData",
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")


def _only(payload: bytes, topic: str = "alerts/scom/x") -> Alert:
    [part] = READER.parts(topic, payload)
    assert part.alert is not None, part.rejection
    return part.alert


@given(
    record=records(),
    how=st.sampled_from(WRAPPINGS),
    encoding=st.sampled_from(ENCODINGS),
    escaped=st.booleans(),
    end=st.sampled_from(("", "\0", "\r\n", "\n\0")),
)
def test_the_alert_is_understood_in_every_shape(
    record: dict[str, object], how: str, encoding: str, *, escaped: bool, end: str
) -> None:
    payload = (json.dumps(_wrapped(how, record), ensure_ascii=escaped, indent=1) + end).encode(encoding)
    parts = READER.parts("alerts/scom/x", payload)
    [found] = tried(parts, SITE, RUNBOOKS, AlertSettings())
    assert (found.outcome, found.reason) == ("open", "")
    assert found.alert is not None
    assert found.about.server is SITE.find(SERVER)
    assert (found.alert.health_set, found.alert.monitor) == ("POP.Protocol", "PopDeepTestMonitor")
    assert found.alert.source_id == ID


@given(record=records(), how=st.sampled_from(WRAPPINGS))
def test_a_part_alone_says_the_same_once_more(record: dict[str, object], how: str) -> None:
    """So a rejected one can be replayed, and a second delivery of it is known."""
    [part] = READER.parts("alerts/scom/x", json.dumps(_wrapped(how, record)).encode())
    assert READER.parts("alerts/scom/x", part.payload) == (part,)


@given(st.lists(records(), min_size=1, max_size=4), st.sampled_from(("array", "Count")))
def test_an_array_is_as_many_alerts_as_it_has_and_each_is_what_it_is_alone(
    several: list[dict[str, object]], how: str
) -> None:
    payload = json.dumps(several if how == "array" else {"value": several, "Count": len(several)}).encode()
    parts = READER.parts("alerts/scom/x", payload)
    alone = [READER.parts("alerts/scom/x", json.dumps(record).encode()) for record in several]
    assert [part.alert for part in parts] == [part.alert for (part,) in alone]


def test_each_alert_of_an_array_has_its_own_fate() -> None:
    good = NEEDED | SERVERS | SUBJECTS
    parts = READER.parts("alerts/scom/x", json.dumps([good, {"Id": 1}, 5, good | {"ResolutionState": 255}]).encode())
    assert [part.alert is not None for part in parts] == [True, False, False, True]
    assert "Id must be the GUID" in parts[1].rejection
    assert "not an object" in parts[2].rejection


@pytest.mark.parametrize("payload", [b"", b"\0", b" \r\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\0\0"])
def test_an_empty_payload_only_clears_a_retained_message(payload: bytes) -> None:
    assert _only(payload).suppress == "an empty payload only clears a retained message"


@pytest.mark.parametrize("payload", [b"[]", b'{"value": [], "Count": 0}', b"[[]]", b'{"rows": [], "tableColumns": []}'])
def test_an_array_of_nothing_is_no_alert(payload: bytes) -> None:
    assert _only(payload).suppress == "an array without alerts"


@pytest.mark.parametrize("payload", [[{}] * (MOST + 1), [[[{}]] * (MOST + 1)], {"value": [{}] * (MOST + 1)}])
def test_more_alerts_than_one_commit_takes_are_refused_as_a_whole(payload: object) -> None:
    [part] = READER.parts("alerts/scom/x", json.dumps(payload).encode())
    assert f"more than {MOST} alerts" in part.rejection


def test_a_field_in_two_spellings_is_taken_as_scom_spells_it_or_refused_where_the_values_differ() -> None:
    record = NEEDED | SERVERS | SUBJECTS
    assert _only(json.dumps(record | {"id": 7}).encode()).source_id == ID
    del record["Id"]
    same = json.dumps(record | {"ID": ID, "id": ID}).encode()
    assert _only(same).source_id == ID
    [part] = READER.parts("alerts/scom/x", json.dumps(record | {"ID": ID, "id": "7"}).encode())
    assert part.rejection == "the field Id is given twice, as ID and id"


LIKE_SCOM: dict[str, Any] = NEEDED | SERVERS | SUBJECTS
NATIVE = {
    "id": "zabbix-1",
    "server": SERVER,
    "health_set": "POP.Protocol",
    "monitor": "PopDeepTestMonitor",
    "raised_at": "2026-11-05T03:14:15Z",
}
EVENT = {"specversion": "1.0", "id": "1", "source": "/scom", "type": "alert"}
AZURE = {
    "schemaId": "azureMonitorCommonAlertSchema",
    "data": {
        "essentials": {
            "alertId": "/subscriptions/x/providers/Microsoft.AlertsManagement/alerts/1",
            "alertRule": SUBJECTS["Name"],
            "monitorCondition": "Fired",
            "firedDateTime": "2026-11-05T03:14:15.123Z",
            "alertTargetIDs": ["/subscriptions/x/resourceGroups/y/providers/z/machines/EX001"],
        }
    },
}
HOOK: dict[str, Any] = {
    "version": "4",
    "groupKey": "{}",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "Pop",
                "instance": f"{SERVER}:9182",
                "health_set": "POP.Protocol",
                "monitor": "PopDeepTestMonitor",
            },
            "annotations": {"summary": "POP fails"},
            "startsAt": "2026-11-05T03:14:15.123Z",
            "fingerprint": "ab",
        }
    ],
}
BASE64 = "eyJJZCI6ICI3ZjNlMmE1MS05YjBjLTRkNzctOGE1Ny0yZjZmMGMxZDllMTAiLCAiUmVzb2x1dGlvblN0YXRlIjogMCwgIlByaW5jaXBhbE5hbWUiOiAiZXgwMDEiLCAiTmFtZSI6ICJQT1AuUHJvdG9jb2wgSGVhbHRoIFNldCB1bmhlYWx0aHkgKFBvcERlZXBUZXN0TW9uaXRvci94KSJ9"  # noqa: E501 - {"Id": ..., "PrincipalName": "ex001", ...}
FORMED: dict[str, list[dict[str, Any]]] = {
    "scom": [LIKE_SCOM],
    "native": [NATIVE],
    "logic_apps": [
        {"body": LIKE_SCOM},
        {"headers": {}, "body": json.dumps(LIKE_SCOM)},
        {"headers": {}, "body": LIKE_SCOM, "relativePathParameters": {}},
        {"body": [NATIVE]},
        {"body": {"$content-type": "application/octet-stream", "$content": BASE64}},
    ],
    "cloudevents": [
        EVENT | {"data": LIKE_SCOM},
        EVENT | {"data": NATIVE},
        EVENT | {"data": json.dumps(LIKE_SCOM)},
        EVENT | {"data_base64": BASE64},
    ],
    "azure": [AZURE],
    "alertmanager": [HOOK],
}
PAIRS = [(form, payload) for form, payloads in FORMED.items() for payload in payloads]


@pytest.mark.parametrize(("form", "payload"), PAIRS)
def test_every_form_is_read_on_its_own_topic(form: str, payload: object) -> None:
    parts = READER.parts(f"alerts/{form}/x", json.dumps(payload).encode())
    [found] = tried(parts, SITE, RUNBOOKS, AlertSettings())
    assert (found.outcome, found.reason) == ("open", "")
    assert found.as_json()["key"] == f"pop.protocol/popdeeptestmonitor@{SERVER}"
    assert found.alert is not None
    assert found.alert.source == form
    assert READER.parts(f"alerts/{form}/x", parts[0].payload) == parts


@pytest.mark.parametrize("topic", sorted(FORMED))
@pytest.mark.parametrize(("form", "payload"), PAIRS)
def test_a_form_on_the_topic_of_another_is_refused_with_the_line_that_would_read_it(
    form: str, payload: object, topic: str
) -> None:
    for reader, line in ((READER, f'{form} = "alerts/{form}/#"'), (_reading(topic), f'{form} = "alerts/')):
        for parts in (
            reader.parts(f"alerts/{topic}/x", json.dumps(payload).encode()),
            reader.parts(f"alerts/{topic}/x", json.dumps([payload]).encode()),
        ):
            [part] = parts
            assert (part.alert is None) == (form != topic)
            assert form == topic or (line in part.rejection and part.rejection.startswith("this is "))


def _reading(*wanted: str) -> Payloads:
    """A site that has configured these forms beside SCOM's and exmedic's own."""
    filters = {name: f"alerts/{name}/#" for name in wanted}
    return Payloads(BusSettings(**{"native": "alerts/native/#"} | filters), AlertSettings(), Names(RUNBOOKS))


def test_the_alerts_of_a_group_are_apart_and_what_changes_of_the_group_tells_no_news() -> None:
    [first] = HOOK["alerts"]
    other = first | {"labels": first["labels"] | {"instance": "ex002"}, "status": "resolved"}
    both = READER.parts("alerts/alertmanager/x", json.dumps(HOOK | {"alerts": [first, other]}).encode())
    [alone] = READER.parts("alerts/alertmanager/x", json.dumps(HOOK | {"groupKey": "{a=b}"}).encode())
    assert both[0] == alone
    assert [part.alert.closed for part in both if part.alert] == [False, True]


def test_the_labels_that_count_are_configured() -> None:
    settings = AlertSettings(server_label="host", health_set_label="hs", monitor_label="m")
    reader = Payloads(BusSettings(alertmanager="am/#"), settings, Names())

    def read(**labels: str) -> Part:
        [part] = reader.parts("am/x", json.dumps({"groupKey": "", "alerts": [{"labels": labels}]}).encode())
        return part

    alert = read(host="EX001", hs="POP", m="PopCTPMonitor").alert
    assert alert is not None
    assert (alert.server, alert.health_set, alert.monitor) == ("EX001", "POP", "PopCTPMonitor")
    assert read(instance="EX001").rejection == (
        "the label host names no server; alerts.server_label says which label does"
    )
    assert "the label hs must be a name" in read(host="EX001", hs="POP; x").rejection


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'    "Severity": 2,', "one line of several: mosquitto_pub -l sends each line as a message"),
        (b"{", "one line of several"),
        (b"},", "one line of several"),
        (b'"UnformattedDescription": "{0}"', "one line of several"),
        (b"<Alert/>", "this is XML: publish the alert as JSON"),
        (b"#< CLIXML\r\n<Objs/>", "this is XML of PowerShell"),
        (b"@{Id=7; Name=x}", "PowerShell's text of an object"),
        (b"Id   : 7f3e\r\nName : x", "a list as PowerShell shows it"),
        (rb'{"a": "CONTOSO\svc"}', r"the character \ at column 16 must be written twice"),
        (b'{"a":\n "CONTOSO\\svc"}', r"the character \ at column 11 of line 2 must be written twice"),
        (b'{"a": "x\ny"}', "a line break must be written \\n"),
        (rb'{"a": "\ud83d "}', "a letter is cut in halves there"),
        (b'{"a": 1} {"a": 2}', "publish one a message, or several in an array"),
        (b'{"a": "x', "its end is missing"),
        (b"{'a': 1}", "names and texts are in double quotes"),
        (b'"{}"', "publish the JSON itself"),
        (b"5", "not an object"),
        (b'{"a": "b"c"}', 'a quote within a text must be written \\"'),
        (b"POP fails", "publish what ConvertTo-Json makes of the alert"),
    ],
)
def test_a_reason_says_what_to_do(payload: bytes, reason: str) -> None:
    [part] = READER.parts("alerts/scom/x", payload)
    assert reason in part.rejection
