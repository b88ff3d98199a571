"""Alerts that come in: a payload becomes an `Alert`, or is `Rejected` with the reason. docs/alerts.md has examples.

Two forms: the property names of a SCOM alert as JSON, and exmedic's own. Whatever the bytes are, nothing else happens
and it happens quickly: anybody who may publish on the bus can send them. Names are checked here to be names; that they
never become part of a command does not rest on that, since arguments travel as data.

When an alert was raised decides nothing. A source's clock is no evidence, so an alert from last week or from the
future is taken like any other: the first state of every ladder asks the server itself.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal
from pydantic_core import from_json

from daemon.config.validation import complaints
from daemon.domain.alerts import Alert, Source
from daemon.domain.errors import ExmedicError
from daemon.domain.values import Json, timestamp
from daemon.exchange.struck import struck_out

#: A SCOM alert with all its fields has a few KiB. More is not an alert, and reading it would hold up the ones behind.
MAX_PAYLOAD: Final = 256 * 1024

MAX_TEXT: Final = 500  #: characters of a summary or a reason; the payload itself is stored beside it

MAX_COMPLAINTS: Final = 5  #: about one payload

#: States in which SCOM regards the problem as over: 255 Closed, and by common use 254 Resolved.
CLOSED_STATES: Final = (254, 255)

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*")
_MENTION = re.compile(
    r"(?<!\S)(?P<health_set>[A-Za-z0-9_.-]{1,128})\s+health\s+set\s+(?P<maintenance>maintenance\s+)?unhealthy\b"
    r"(?:\s*\((?P<monitor>[^/)]{0,200})[/)])?",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\{[0-9]{1,2}\}")
_POWERSHELL_DATE = re.compile(r"/Date\((-?[0-9]{1,16})(?:[+-][0-9]{4})?\)/")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,16}(?:Z|[+-][0-9]{2}:?[0-9]{2})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rejected(ExmedicError):  # noqa: N818 - it is the ledger's word
    """A payload that cannot be understood; the message says where and why, without control characters."""

    def __init__(self, reason: str) -> None:
        super().__init__(_printable(reason))


@dataclass(frozen=True, slots=True)
class Understood:
    """An alert, and the key under which a second delivery of it is dropped."""

    alert: Alert
    dedup_key: str


def understand(source: Source, payload: bytes) -> Understood:
    """Read a payload of a source's form.

    Raises:
        Rejected: it cannot be understood.
    """
    fields = _json_object(payload)
    if source is Source.SCOM:
        return _scom(payload, _record(_ScomAlert, fields))
    return Understood(_native(_record(NativeAlert, fields)), payload_key(source, payload))


def parse_scom(payload: bytes) -> Alert:
    """The alert in a SCOM payload.

    Raises:
        Rejected: it cannot be understood.
    """
    return understand(Source.SCOM, payload).alert


def parse_native(payload: bytes) -> Alert:
    """The alert in a payload of exmedic's own form.

    Raises:
        Rejected: it cannot be understood.
    """
    return understand(Source.NATIVE, payload).alert


def payload_key(form: str, payload: bytes) -> str:
    """The key of a payload that has none of its own: what is the same byte for byte is the same message."""
    return f"{form}:sha256:{hashlib.sha256(payload).hexdigest()}"


def native_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of exmedic's own form."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **NativeAlert.model_json_schema()}


def _json_object(payload: bytes) -> Json:
    if len(payload) > MAX_PAYLOAD:
        raise Rejected(f"the payload has {len(payload)} bytes; an alert has at most {MAX_PAYLOAD}")
    try:
        text = payload.decode("utf-8-sig")  # PowerShell 5.1 writes a byte order mark where UTF-8 is asked for
    except UnicodeDecodeError as error:
        raise Rejected(f"the payload is not UTF-8: byte {error.start}") from None
    try:
        # Before the standard library's reader: it stops at 200 levels, at NaN and at half a surrogate pair, and says
        # where; json would run out of stack at the first and hand on the others.
        from_json(text, allow_inf_nan=False)
        value = json.loads(text, object_pairs_hook=_no_duplicates)
    except ValueError as error:
        raise Rejected(f"the payload is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Rejected("the payload is JSON, but not an object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Which of two values would count is left open by RFC 8259, section 4: two readers may see two alerts.
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise Rejected(f"the field {json.dumps(name[:100])} is given twice")
        fields[name] = value
    return fields


Model = TypeVar("Model", bound=BaseModel)


def _record(model: type[Model], fields: Json) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = islice(complaints(error, model), MAX_COMPLAINTS)  # a payload may hold thousands of unknown fields
        raise Rejected("; ".join(complaint.sentence for complaint in first)) from None


def _host_name(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("must be a host name, such as mbx1.contoso.com or MBX1")
    return value


def _plain_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be a name: 1 to 128 letters, digits, _ . or -")
    return value


def _moment(value: object) -> datetime | None:
    """A time as JSON carries it, in UTC: ISO 8601, or as ConvertTo-Json of Windows PowerShell 5.1 writes it.

    SCOM's times are UTC, also where the offset is left out.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be a time, as a string")  # noqa: TRY004 - pydantic reports ValueError only
    try:
        if ticks := _POWERSHELL_DATE.fullmatch(value):
            return _EPOCH + timedelta(milliseconds=int(ticks[1]))
        if _ISO_DATE.fullmatch(value):
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time that exists, from the year 1 to 9999") from None
    raise ValueError("must be a time, such as 2026-11-05T03:14:15Z")


def _moment_with_offset(value: object) -> datetime | None:
    if isinstance(value, str) and not re.search(r"(?:Z|[+-][0-9]{2}:?[0-9]{2})\Z", value):
        raise ValueError("must be a time with its offset from UTC, such as 2026-11-05T03:14:15Z")
    return _moment(value)


HostName = Annotated[str, AfterValidator(_host_name), Field(json_schema_extra={"maxLength": 253})]
PlainName = Annotated[str, AfterValidator(_plain_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$"})]


class NativeAlert(BaseModel):
    """An alert in exmedic's own form."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, title="exmedic alert")

    id: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="The sender's own id of the problem; shown to people, not interpreted."
    )
    server: HostName = Field(description="The server's FQDN, or its short name if the inventory has only one such.")
    health_set: PlainName = Field(description="The health set, such as POP.Protocol.")
    monitor: PlainName | None = Field(
        default=None, description="The monitor, such as PopDeepTestMonitor; left out when only the health set is known."
    )
    raised_at: Annotated[datetime, BeforeValidator(_moment_with_offset)] = Field(
        description="When the problem was seen, with the offset from UTC. It tells a problem that returns from a "
        "message that arrives twice, so send the same again only with the same time."
    )
    closed: bool = Field(default=False, description="Whether the sender thinks the problem over; exmedic verifies it.")
    summary: str = Field(default="", description="One line for people.")


class _ScomAlert(BaseModel):
    """The properties of a SCOM alert that are used here; it has many more, and management packs add to them."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_pascal)

    id: Annotated[str, Field(pattern=r"^\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?$")]
    name: str | None = None
    description: str | None = None
    resolution_state: Annotated[int, Field(ge=0, le=255)]
    principal_name: str | None = None
    netbios_computer_name: str | None = None
    monitoring_object_path: str | None = None
    time_raised: Annotated[datetime | None, BeforeValidator(_moment)] = None
    last_modified: Annotated[datetime | None, BeforeValidator(_moment)] = None
    repeat_count: Annotated[int, Field(ge=0, lt=2**31)] | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    """What an alert's text says it is about. `monitor` is empty when it names only the health set, or neither."""

    text: str
    health_set: str = ""
    monitor: str = ""
    maintenance: bool = False


def _native(record: NativeAlert) -> Alert:
    return Alert(
        source=Source.NATIVE,
        source_id=_printable(record.id),
        server=record.server,
        health_set=record.health_set,
        monitor=record.monitor or "",
        raised_at=record.raised_at,
        closed=record.closed,
        summary=_printable(record.summary),
    )


def _scom(payload: bytes, record: _ScomAlert) -> Understood:
    subject = _subject(record)
    alert = Alert(
        source=Source.SCOM,
        source_id=record.id.strip("{}").lower(),
        server=_scom_server(record),
        health_set=subject.health_set,
        monitor=subject.monitor,
        raised_at=record.time_raised,
        closed=record.resolution_state in CLOSED_STATES,
        summary=_printable(subject.text),
        suppress="a Health Set maintenance alert is never remediated" if subject.maintenance else "",
    )
    return Understood(alert, _scom_key(payload, record, alert))


def _scom_key(payload: bytes, record: _ScomAlert, alert: Alert) -> str:
    if record.last_modified is None:
        # Without it a change could look like a repetition, and be dropped.
        return payload_key(Source.SCOM, payload)
    parts = (alert.source_id, timestamp(record.last_modified), record.resolution_state, record.repeat_count or 0)
    return ":".join(("scom", *map(str, parts)))


def _scom_server(record: _ScomAlert) -> str:
    """PrincipalName is the FQDN; the others stand in where SCOM left it empty."""
    for name in ("principal_name", "netbios_computer_name", "monitoring_object_path"):
        if value := getattr(record, name):
            try:
                return _host_name(value)
            except ValueError as error:
                raise Rejected(f"{to_pascal(name)} {error}") from None
    raise Rejected("none of PrincipalName, NetbiosComputerName and MonitoringObjectPath names a server")


def _subject(record: _ScomAlert) -> _Subject:
    """What Name says, and Description where Name is silent.

    The management pack of Exchange 2013 leaves the placeholder {2} in Name; such an alert is one of its own even when
    its description names nothing (then: no health set, no monitor, and it is for a human).
    """
    texts = {"Name": record.name or "", "Description": record.description or ""}
    found = [_mentioned(field, text) for field, text in texts.items()]
    subjects = [subject for subject in found if subject]
    if not subjects:
        if _PLACEHOLDER.fullmatch(texts["Name"].strip()):
            return _Subject(f"{texts['Name']} {texts['Description']}")
        raise Rejected(
            'neither Name nor Description reads "<HealthSet> Health Set unhealthy (<Monitor>/<TargetResource>)"; '
            "only Exchange health set alerts belong on this topic"
        )
    first = subjects[0]
    same = [subject for subject in subjects if subject.health_set.lower() == first.health_set.lower()]
    monitor = next((subject.monitor for subject in same if subject.monitor), "")
    return _Subject(first.text, first.health_set, monitor, any(subject.maintenance for subject in subjects))


def _mentioned(field: str, text: str) -> _Subject | None:
    mention = _MENTION.search(text)
    if mention is None:
        return None
    monitor = (mention["monitor"] or "").strip()
    if _PLACEHOLDER.fullmatch(monitor):
        monitor = ""
    for name in (mention["health_set"], monitor):
        if name and not _NAME.fullmatch(name):
            raise Rejected(f"{field} mentions a health set or monitor that is not a name")
    return _Subject(text, mention["health_set"], monitor, bool(mention["maintenance"]))


def _printable(text: str) -> str:
    """One line without control characters and passwords: it is shown on terminals, goes to the journal and the bus."""
    told = struck_out(text[: 2 * MAX_TEXT])  # while line ends show where a password ends
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in told).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 3] + "..."
