"""Wrappers that something on the way puts around an alert: Logic Apps' `body`, CloudEvents' `data`.

Inside is one alert, or several, in SCOM's form or in exmedic's own: those two have no field in common that decides.
"""

import base64
import binascii
from dataclasses import replace

from daemon.alerts.forms import native, scom
from daemon.alerts.forms.decoding import json_of, text_of
from daemon.alerts.forms.known import Names
from daemon.alerts.forms.records import Record
from daemon.alerts.forms.rejected import Rejected
from daemon.alerts.forms.several import several
from daemon.domain.alerts import Source
from daemon.domain.values import Json


def is_logic_apps(record: Json) -> bool:
    """Whether a record is what a Logic App's HTTP trigger or action hands on."""
    return "body" in record and (len(record) == 1 or not record.keys().isdisjoint(("headers", "statusCode")))


def is_cloudevent(record: Json) -> bool:
    """Whether a record is an event in CloudEvents' JSON format."""
    return "specversion" in record and "source" in record


def bodies(record: Json) -> list[Json]:
    """A Logic App's message for each alert in it."""
    return [{"body": each} for each in several(_inner(record.get("body"), "body"))]


def events(record: Json) -> list[Json]:
    """An event for each alert in it."""
    data = record.get("data")
    if data is None and isinstance(record.get("data_base64"), str):
        try:
            data = text_of(base64.b64decode(record["data_base64"], validate=True))
        except binascii.Error:
            raise Rejected("data_base64 is not base64") from None
    named = {name: value for name, value in record.items() if name not in ("data", "data_base64")}
    return [{**named, "data": each} for each in several(_inner(data, "data"))]


def read_body(record: Json, payload: bytes, names: Names) -> Record:
    """The alert in one of `bodies`."""
    return _read(record["body"], "body", Source.LOGIC_APPS, payload, names)


def read_event(record: Json, payload: bytes, names: Names) -> Record:
    """The alert in one of `events`."""
    return _read(record["data"], "data", Source.CLOUDEVENTS, payload, names)


def _inner(value: object, field: str) -> object:
    """What is wrapped, which may be JSON as a text, or base64 beside its type."""
    if isinstance(value, dict) and isinstance(value.get("$content"), str):
        try:
            value = text_of(base64.b64decode(value["$content"], validate=True))
        except binascii.Error:
            raise Rejected(f"{field}.$content is not base64") from None
    return json_of(value.strip()) if isinstance(value, str) else value


def _read(value: object, field: str, source: Source, payload: bytes, names: Names) -> Record:
    if not isinstance(value, dict):
        raise Rejected(f"{field} is not an alert in SCOM's form or in exmedic's own")
    form = native if native.looks_like(value) else scom
    found = form.read(value, payload, names)
    return Record(replace(found.alert, source=source), found.dedup_key)
