import contextlib
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.alerts.forms.known import Names
from daemon.alerts.forms.native import native_schema
from daemon.alerts.forms.records import payload_key
from daemon.alerts.forms.rejected import MAX_TEXT, Rejected
from daemon.alerts.payloads import Part, Payloads
from daemon.config.alerts import AlertSettings
from daemon.config.settings import FORMS, BusSettings
from daemon.domain.alerts import Alert, Source

DOCS = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")
ID = "7f3e2a51-9b0c-4d77-8a57-2f6f0c1d9e10"
SCOM = {
    "Id": ID,
    "Name": "POP.Protocol Health Set unhealthy (PopDeepTestMonitor/POP.Protocol) - The test failed.",
    "Description": "See the knowledge article.",
    "Severity": 2,
    "ResolutionState": 0,
    "PrincipalName": "MBX1.contoso.com",
    "NetbiosComputerName": "MBX1",
    "MonitoringObjectPath": "mbx1.contoso.com",
    "TimeRaised": "2026-11-05T03:14:15Z",
    "LastModified": "2026-11-05T03:15:00Z",
    "RepeatCount": 0,
}
NATIVE = {
    "id": "zabbix-48213",
    "server": "mbx1.contoso.com",
    "health_set": "POP.Protocol",
    "monitor": "PopSelfTestMonitor",
    "raised_at": "2026-11-05T04:14:15+01:00",
}


#: Every form has its topics: `alerts/FORM/#`.
READER = Payloads(BusSettings(**{name: f"alerts/{name}/#" for name in FORMS}), AlertSettings(), Names())


def understand(source: Source, payload: bytes) -> Part:
    """The only alert of a payload."""
    [part] = READER.parts(f"alerts/{source.value}/x", payload)
    if part.alert is None:
        raise Rejected(part.rejection)
    return part


def parse(source: Source, payload: bytes) -> Alert:
    alert = understand(source, payload).alert
    assert alert is not None
    return alert


def parse_scom(payload: bytes) -> Alert:
    return parse(Source.SCOM, payload)


def parse_native(payload: bytes) -> Alert:
    return parse(Source.NATIVE, payload)


def _bytes(form: dict[str, Any], **changes: object) -> bytes:
    return json.dumps(form | changes).encode()


def _scom(**changes: object) -> Alert:
    return parse_scom(_bytes(SCOM, **changes))


def _reason(form: dict[str, Any], **changes: object) -> str:
    with pytest.raises(Rejected) as raised:
        understand(Source.SCOM if "Id" in form else Source.NATIVE, _bytes(form, **changes))
    return str(raised.value)


def test_a_scom_alert_is_normalised() -> None:
    assert _scom() == Alert(
        source=Source.SCOM,
        source_id=ID,
        server="MBX1.contoso.com",
        health_set="POP.Protocol",
        monitor="PopDeepTestMonitor",
        raised_at=datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC),
        closed=False,
        summary=str(SCOM["Name"]),
        names=("MBX1.contoso.com", "MBX1", "mbx1.contoso.com"),
        resolution_state=0,
        state="0",
    )


def test_a_native_alert_is_normalised() -> None:
    assert parse_native(_bytes(NATIVE, summary="POP\x1b[31m fails\n")) == Alert(
        source=Source.NATIVE,
        source_id="zabbix-48213",
        server="mbx1.contoso.com",
        health_set="POP.Protocol",
        monitor="PopSelfTestMonitor",
        raised_at=datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC),
        closed=False,
        summary="POP [31m fails",
    )


@pytest.mark.parametrize(
    ("name", "description", "health_set", "monitor"),
    [
        ("POP health set UNHEALTHY (PopCTPMonitor/x)", None, "POP", "PopCTPMonitor"),
        ("Exchange: POP Health Set unhealthy (PopCTPMonitor) - text", "", "POP", "PopCTPMonitor"),
        ("{2}", "POP.Proxy Health Set unhealthy (PopProxyTestMonitor/y) - z", "POP.Proxy", "PopProxyTestMonitor"),
        ("Alert", "Now POP Health Set unhealthy (PopCTPMonitor/y)", "POP", "PopCTPMonitor"),
        ("POP Health Set unhealthy", "POP Health Set unhealthy (PopCTPMonitor/y)", "POP", "PopCTPMonitor"),
        ("POP Health Set unhealthy", "IMAP Health Set unhealthy (ImapCTPMonitor/y)", "POP", ""),
        ("{2}", "POP Health Set unhealthy", "POP", ""),
        ("{2}", "POP Health Set unhealthy ({0}/{1})", "POP", ""),
        ("{2}", "nothing that helps", "", ""),
        ("{2}", None, "", ""),
    ],
)
def test_health_set_and_monitor_come_from_name_or_else_description(
    name: str, description: str | None, health_set: str, monitor: str
) -> None:
    alert = _scom(Name=name, Description=description)
    assert (alert.health_set, alert.monitor, alert.suppress) == (health_set, monitor, "")


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("POP Health Set maintenance unhealthy (PopMonitor/x)", None),
        ("POP health set Maintenance Unhealthy", None),
        ("{2}", "POP Health Set maintenance unhealthy (PopMonitor/x)"),
        ("POP Health Set unhealthy (PopMonitor/x)", "POP Health Set maintenance unhealthy (PopMonitor/x)"),
    ],
)
def test_a_maintenance_alert_is_understood_and_to_be_suppressed(name: str, description: str | None) -> None:
    alert = _scom(Name=name, Description=description)
    assert (alert.health_set, alert.suppress) == ("POP", "a Health Set maintenance alert is never remediated")


@pytest.mark.parametrize(
    "name", ["Disk is full", "", "{2} more", "P$OP Health Set unhealthy (M/x)", "Health Set unhealthy"]
)
def test_an_alert_about_something_else_names_no_health_set(name: str) -> None:
    """It names a server, so a human hears of it."""
    alert = _scom(Name=name)
    assert (alert.health_set, alert.monitor, alert.server) == ("", "", "MBX1.contoso.com")


@pytest.mark.parametrize(("states", "closed"), [((0, 1, 247, 248, 249, 250, 253), False), ((254, 255), True)])
def test_resolved_and_closed_are_closed_and_nothing_else_is(states: tuple[int, ...], closed: bool) -> None:
    assert {_scom(ResolutionState=state).closed for state in states} == {closed}


@pytest.mark.parametrize(
    ("missing", "server"),
    [
        ((), "MBX1.contoso.com"),
        (("PrincipalName",), "MBX1"),
        (("PrincipalName", "NetbiosComputerName"), "mbx1.contoso.com"),
    ],
)
def test_the_server_is_the_best_name_that_scom_gives(missing: tuple[str, ...], server: str) -> None:
    assert _scom(**dict.fromkeys(missing)).server == server
    assert parse_scom(json.dumps({k: v for k, v in SCOM.items() if k not in missing}).encode()).server == server
    assert _scom(**dict.fromkeys(missing, "")).server == server


def test_an_alert_without_a_server_is_rejected() -> None:
    none = dict.fromkeys(("PrincipalName", "NetbiosComputerName", "MonitoringObjectPath"))
    assert _reason(SCOM, **none).startswith("none of PrincipalName")


BAD_SERVERS = [
    "mbx1'; Stop-Computer",
    'mbx1"',
    "mbx1 ",
    "mbx1\n",
    "$(Get-Process)",
    "mbx1;mbx2",
    "mbx1`",
    "-mbx1",
    "mbx1..com",
    "mbx1/..",
    "*",
    "mbх1",  # noqa: RUF001 - a Cyrillic letter is the point
    "m" * 64,
    ".".join(["m" * 60] * 5),
]


@pytest.mark.parametrize("server", BAD_SERVERS)
def test_a_server_that_is_not_a_host_name_is_rejected_and_not_repeated(server: str) -> None:
    assert _reason(NATIVE, server=server) == "server must be a host name, such as mbx1.contoso.com or MBX1"


@pytest.mark.parametrize("server", BAD_SERVERS)
def test_only_host_names_are_taken_out_of_what_scom_calls_a_server(server: str) -> None:
    for name in _scom(PrincipalName=server).names:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", name)


@pytest.mark.parametrize(
    "name", ["Pop Monitor", "Pop'Monitor", "$(calc)", "Pop\nMonitor", "m" * 129, "Pop\u017f", "../x"]
)
def test_a_monitor_that_is_not_a_name_is_rejected(name: str) -> None:
    assert "monitor must be a name" in _reason(NATIVE, monitor=name)
    assert "health_set must be a name" in _reason(NATIVE, health_set=name)
    if "/" not in name:
        assert "Name mentions" in _reason(SCOM, Name=f"POP Health Set unhealthy ({name}/POP)")


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-05T03:14:15Z", datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC)),
        ("2026-11-05T03:14:15", datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC)),
        ("2026-11-05T04:14:15.1234567+01:00", datetime(2026, 11, 5, 3, 14, 15, 123456, tzinfo=UTC)),
        ("/Date(1447930815000)/", datetime(2015, 11, 19, 11, 0, 15, tzinfo=UTC)),
        ("/Date(1447930815000+0100)/", datetime(2015, 11, 19, 11, 0, 15, tzinfo=UTC)),
        ("/Date(-1)/", datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        (" \\/Date(1447930815000)\\/ ", datetime(2015, 11, 19, 11, 0, 15, tzinfo=UTC)),
        ({"value": "/Date(1447930815000)/", "DateTime": "x"}, datetime(2015, 11, 19, 11, 0, 15, tzinfo=UTC)),
        ("2026-11-05 03:14:15Z", datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC)),
        ("11/5/2026 3:14:15 AM", datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC)),
        ("11/5/2026 12:14:15\u202fPM", datetime(2026, 11, 5, 12, 14, 15, tzinfo=UTC)),
        ("11/25/2026 12:14 AM", datetime(2026, 11, 25, 0, 14, tzinfo=UTC)),
        ("25/11/2026 03:14:15", datetime(2026, 11, 25, 3, 14, 15, tzinfo=UTC)),
        ("11/25/2026 03:14:15", datetime(2026, 11, 25, 3, 14, 15, tzinfo=UTC)),
        ("05/11/2026 03:14:15", None),
        ("05.11.2026 03:14:15", datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC)),
        ("jeudi 5 novembre 2026 04:14:15", datetime(2026, 11, 5, 4, 14, 15, tzinfo=UTC)),
        ("Donnerstag, 5. November 2026 03:14:15", datetime(2026, 11, 5, 3, 14, 15, tzinfo=UTC)),
        ("Thursday, November 5, 2026 3:14:15 PM", datetime(2026, 11, 5, 15, 14, 15, tzinfo=UTC)),
        ("11/31/2026 3:14:15 AM", None),
        ("11/5/2026 13:14:15 AM", None),
        ("5 brumaire 2026 03:14:15", None),
        (None, None),
    ],
)
def test_times_are_read_in_the_ways_scom_and_powershell_write_them(written: object, moment: datetime | None) -> None:
    assert _scom(TimeRaised=written).raised_at == moment


@pytest.mark.parametrize(
    "written",
    [
        1447930815000,
        True,
        "",
        "yesterday",
        "1447930815",
        "2026-11-05",
        ["2026-11-05T03:14:15Z"],
        "2026-W45-4T03:14:15Z",
        "2026-13-05T03:14:15Z",
        "2026-11-05T25:14:15Z",
        "0001-01-01T00:00:00+01:00",
        "/Date(9999999999999999)/",
        "/Date(1e3)/",
    ],
)
def test_anything_else_is_no_time(written: object) -> None:
    """It falls away where it only names a time, and is refused where it tells news from a repetition."""
    assert _scom(TimeRaised=written).raised_at is None
    assert "raised_at must be" in _reason(NATIVE, raised_at=written)


def test_a_native_time_needs_its_offset() -> None:
    assert "offset from UTC" in _reason(NATIVE, raised_at="2026-11-05T03:14:15")


@pytest.mark.parametrize("written", ["2026-10-28T03:14:15Z", "2031-01-01T00:00:00Z"])
def test_alerts_from_last_week_and_from_the_future_are_taken(written: str) -> None:
    assert _scom(TimeRaised=written, LastModified=written).raised_at == datetime.fromisoformat(written)
    assert parse_native(_bytes(NATIVE, raised_at=written)).raised_at == datetime.fromisoformat(written)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (_bytes(SCOM)[:-20], "not JSON: EOF while parsing"),
        (b'{"Id":\n "x",,}', "at line 2 column 6"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b'{"Id": NaN}', "not JSON: expected value at line 1 column 8"),
        (b'{"Id": Infinity}', "not JSON"),
        (b'{"Id": "\x81"}', "neither UTF-8 nor UTF-16 nor Windows-1252: byte 8"),
        (b"\xff\xfe{", "begins as UTF-16-LE and is none at byte 0"),
        (b'{"Id": "\\ud800"}', "not JSON"),
        (b'{"Id": "a\x00b"}', "not JSON: control character"),
        (b'{"Id": 1, "Id": 2}', 'the field "Id" is given twice'),
        (b'{"x": {"y": 1, "y": 1}}', 'the field "y" is given twice'),
        (b'{"x": ' + b"[" * 100_000, "recursion limit"),
        (b'{"x": ' + b'{"x": ' * 30_000, "recursion limit"),
        (b'{"x": ' + b"9" * 10_000 + b"}", "not JSON: number out of range"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_not_a_json_object_is_rejected_with_the_place(payload: bytes, reason: str) -> None:
    for source in Source:
        with pytest.raises(Rejected, match=re.escape(reason)):
            understand(source, payload)


def test_wrong_types_are_named_all_at_once() -> None:
    assert _reason(SCOM, Id=4, ResolutionState=True, RepeatCount=[1]) == (
        "Id must be the GUID of a SCOM alert; ResolutionState must be a resolution state: 0 to 255, or its name; "
        "RepeatCount must be a valid integer"
    )
    assert "closed must be a valid boolean" in _reason(NATIVE, closed="yes")


def test_missing_fields_are_named() -> None:
    assert "ResolutionState is missing" in _reason({"Id": ID})
    assert _reason({}) == "id is missing; server is missing; health_set is missing; raised_at is missing"


def test_an_unknown_field_is_ignored_in_a_scom_alert() -> None:
    assert _scom(CustomField1="x", SomethingNew={"deep": [1, 2]}) == _scom()


def test_an_unknown_field_in_a_native_alert_is_rejected_with_what_was_meant() -> None:
    assert _reason(NATIVE, healthset="POP") == "healthset is not known; did you mean health_set?"


def test_a_byte_order_mark_is_read_over() -> None:
    assert parse_scom(b"\xef\xbb\xbf" + _bytes(SCOM)) == _scom()


def test_a_reason_is_one_short_line_without_control_characters() -> None:
    reason = _reason(NATIVE, **{"\x1b[31m\n\u202e" + "x" * 5000: 1})
    assert reason.isprintable()
    assert len(reason) <= MAX_TEXT


def test_a_summary_is_one_short_line() -> None:
    alert = _scom(Name="POP Health Set unhealthy (M/x)\r\n" + "x" * 5000)
    assert alert.summary.startswith("POP Health Set unhealthy (M/x) x")
    assert len(alert.summary) == MAX_TEXT


def _key(**changes: object) -> str:
    return understand(Source.SCOM, _bytes(SCOM, **changes)).dedup_key


def test_a_second_delivery_of_a_scom_alert_has_the_same_key() -> None:
    assert _key() == _key(Id=f"{{{ID.upper()}}}", LastModified="/Date(1793848500000)/", CustomField1="added by a rule")


@pytest.mark.parametrize(
    "change",
    [
        {"Id": ID.replace("7", "8")},
        {"LastModified": "2026-11-05T03:15:01Z"},
        {"ResolutionState": 255},
        {"RepeatCount": 1},
        {"LastModified": None},
        {"LastModified": "gestern"},
        {"ResolutionState": "In Bearbeitung"},
    ],
)
def test_news_about_a_scom_alert_has_another_key(change: dict[str, object]) -> None:
    assert _key(**change) != _key()


def test_without_last_modified_only_the_same_bytes_are_a_second_delivery() -> None:
    assert _key(LastModified=None) == payload_key("scom", _bytes(SCOM, LastModified=None))
    assert _key(LastModified="gestern") == payload_key("scom", _bytes(SCOM, LastModified="gestern"))
    assert _key(LastModified=None, Description="x") != _key(LastModified=None)


def test_a_native_problem_that_returns_has_another_key() -> None:
    first, again, later = (
        understand(Source.NATIVE, _bytes(NATIVE, **change)).dedup_key
        for change in ({}, {}, {"raised_at": "2026-11-05T05:00:00Z"})
    )
    assert first == again != later


@pytest.mark.parametrize("form", ["scom", "native"])
def test_the_documented_examples_are_understood(form: str) -> None:
    examples = re.findall(rf"^```json {form}\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        alert = parse(Source(form), example.encode())
        assert alert.server
        assert alert.monitor.startswith("Pop")


def test_the_schema_and_the_documentation_name_the_same_fields() -> None:
    schema = native_schema()
    table = DOCS.partition("## exmedic's own form")[2].partition("```json")[0]
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", table, re.MULTILINE))
    rows.pop("Field")
    assert set(rows) == set(schema["properties"])
    assert {name for name, text in rows.items() if text.startswith("required")} == set(schema["required"])
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_TEXTS = st.from_regex(r"[A-Za-z.$ {}]{0,9} ?Health Set (maintenance )?unhealthy( \([^)]{0,9}/?[^)]{0,9}\))?.{0,9}")


def _spoilt(form: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """The form with some of its fields replaced by anything."""
    fields = st.dictionaries(st.sampled_from([*form, "other"]), _JSON | _TEXTS, max_size=3)
    return fields.map(lambda changes: json.dumps(form | changes).encode())


@given(
    st.sampled_from(Source),
    st.binary(min_size=1, max_size=300) | _JSON.map(json.dumps).map(str.encode) | _spoilt(SCOM) | _spoilt(NATIVE),
)
def test_any_bytes_are_alerts_or_rejected(source: Source, payload: bytes) -> None:
    parts = READER.parts(f"alerts/{source.value}/x", payload)
    assert parts
    for part in parts:
        assert (part.alert is None) == bool(part.rejection)
        assert part.rejection.isprintable()
        if part.alert is not None:
            _is_clean(part.alert)


def _is_clean(alert: Alert) -> None:
    for name in (alert.server, *alert.names, *alert.hints):
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name) or alert.suppress
    assert re.fullmatch(r"[A-Za-z0-9_.-]{0,128}", alert.health_set)
    assert re.fullmatch(r"[A-Za-z0-9_.-]{0,128}", alert.monitor)
    for text in (alert.summary, alert.source_id, alert.state, alert.owner):
        assert text.isprintable()
    assert alert.raised_at is None or alert.raised_at.tzinfo is UTC


MAX_PAYLOAD = BusSettings().max_payload
_SPACE = MAX_PAYLOAD - 1000
HOSTILE = {
    "spaces": _bytes(SCOM, Name="a" + " " * _SPACE),
    "words": _bytes(SCOM, Name="a " * (_SPACE // 2)),
    "one word": _bytes(SCOM, Name="a" * _SPACE),
    "half forms": _bytes(SCOM, Name="POP Health Set " * (_SPACE // 15)),
    "open brackets": _bytes(SCOM, Name="POP Health Set unhealthy (" * (_SPACE // 26)),
    "quotes": b'"' + b'\\"' * (_SPACE // 2),
    "unknown fields": json.dumps({f"helth_set{number}": 0 for number in range(_SPACE // 25)}).encode(),
    "long unknown field": _bytes(NATIVE, **{"server" * (_SPACE // 6): 1}),
    "brackets": b"[" + b"[]," * (_SPACE // 3) + b"0]",
    "long server": _bytes(NATIVE, server="a." * (_SPACE // 2)),
    "numbers": b"[" + b"1e9," * (_SPACE // 4) + b"0]",
}


#: A payload as large as they come, with nothing remarkable in it.
ORDINARY = _bytes(SCOM, Description="healthy " * (_SPACE // 8))


def _work(source: Source, payload: bytes) -> float:
    """CPU seconds that understanding takes; the fewest of some, since others work beside it."""
    spent = []
    for _ in range(3):
        begin = time.process_time()
        with contextlib.suppress(Rejected):
            understand(source, payload)
        spent.append(time.process_time() - begin)
    return min(spent)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_payload_made_to_be_slow_is_done_with_quickly(kind: str) -> None:
    assert len(HOSTILE[kind]) <= MAX_PAYLOAD
    for source in Source:
        # At most seven times as much; a quadratic reader would take ten thousand times.
        assert _work(source, HOSTILE[kind]) < 50 * _work(Source.SCOM, ORDINARY)


def test_a_password_that_a_source_copied_from_a_probe_is_in_no_summary_and_no_reason() -> None:
    """Management packs put what a failing probe said into the alert."""
    told = f"{SCOM['Name']}\r\nUserName: HealthMailbox, Password: Xk9_q7Zt\r\nsee the article"
    assert "Xk9_q7Zt" not in _scom(Name=told).summary
    assert "see the article" in _scom(Name=told).summary
    assert "Xk9_q7Zt" not in _scom(Name=told, Description=told, MonitoringObjectDisplayName=told).hints
    assert "Xk9_q7Zt" not in parse_native(_bytes(NATIVE, summary="it fails, pwd=Xk9_q7Zt")).summary
    assert "Xk9_q7Zt" not in parse_native(_bytes(NATIVE, id="password=Xk9_q7Zt")).source_id
    assert "Xk9_q7Zt" not in _reason(NATIVE, **{"Password: Xk9_q7Zt": 1})
    assert len(_scom(Name=f"{SCOM['Name']} Password: {'Xk9_q7Zt' * 200}").summary) <= MAX_TEXT
