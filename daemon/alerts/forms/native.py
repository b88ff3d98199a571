"""exmedic's own form, for any source that can be told what to send. `exmedic alert schema` prints its JSON Schema."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from daemon.alerts.forms.known import Names
from daemon.alerts.forms.machines import is_host_name
from daemon.alerts.forms.records import Record, payload_key, record_of
from daemon.alerts.forms.rejected import printable
from daemon.alerts.forms.subjects import NAME
from daemon.alerts.forms.times import exact
from daemon.domain.alerts import Alert, Source
from daemon.domain.values import Json

_OFFSET = re.compile(r"(?:Z|[+-][0-9]{2}:?[0-9]{2})\Z")


def _host_name(value: str) -> str:
    if not is_host_name(value):
        raise ValueError("must be a host name, such as mbx1.contoso.com or MBX1")
    return value


def _plain_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must be a name: 1 to 128 letters, digits, _ . or -")
    return value


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("must be a time, as a string")  # noqa: TRY004 - pydantic reports ValueError only
    if not value.startswith("/Date(") and not _OFFSET.search(value):
        raise ValueError("must be a time with its offset from UTC, such as 2026-11-05T03:14:15Z")
    try:
        moment = exact(value)
    except (ValueError, OverflowError):
        raise ValueError("must be a time that exists, from the year 1 to 9999") from None
    if moment is None:
        raise ValueError("must be a time, such as 2026-11-05T03:14:15Z")
    return moment


HostName = Annotated[str, AfterValidator(_host_name), Field(json_schema_extra={"maxLength": 253})]
PlainName = Annotated[str, AfterValidator(_plain_name), Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]


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
    raised_at: Annotated[datetime, BeforeValidator(_moment)] = Field(
        description="When the problem was seen, with the offset from UTC. It tells a problem that returns from a "
        "message that arrives twice, so send the same again only with the same time."
    )
    closed: bool = Field(default=False, description="Whether the sender thinks the problem over; exmedic verifies it.")
    summary: str = Field(default="", description="One line for people.")


def native_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of exmedic's own form."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **NativeAlert.model_json_schema()}


def looks_like(record: Json) -> bool:
    """Whether a record is in exmedic's own form, complete or not."""
    return {"server", "health_set"} <= record.keys()


def read(record: Json, payload: bytes, _names: Names) -> Record:
    """The alert in a record of exmedic's own form; `payload` is what it was written in.

    Raises:
        Rejected: it cannot be understood.
    """
    found = record_of(NativeAlert, record)
    alert = Alert(
        source=Source.NATIVE,
        source_id=printable(found.id),
        server=found.server,
        health_set=found.health_set,
        monitor=found.monitor or "",
        raised_at=found.raised_at,
        closed=found.closed,
        summary=printable(found.summary),
    )
    return Record(alert, payload_key(Source.NATIVE, payload))
