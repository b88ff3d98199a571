"""SCOM's form: the properties of its alert as JSON, by whichever of its routes they came."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from daemon.alerts.forms.fields import Fields
from daemon.alerts.forms.known import Names
from daemon.alerts.forms.machines import in_display_name, in_path, in_text, machine
from daemon.alerts.forms.records import Record, payload_key, record_of
from daemon.alerts.forms.rejected import Rejected, printable
from daemon.alerts.forms.subjects import Texts, subject
from daemon.alerts.forms.times import readable
from daemon.domain.alerts import Alert, Source
from daemon.domain.values import Json, timestamp

#: States in which SCOM regards the problem as over: 255 Closed, and by common use 254 Resolved.
CLOSED_STATES: Final = (254, 255)

#: Resolution states by name, as SCOM is installed with them in some languages; the console's of a site may be others.
_STATES: Final = {
    **dict.fromkeys(("new", "neu", "nouveau", "nouvelle", "nuevo", "nueva", "nuovo", "novo", "nova", "nieuw"), 0),
    "awaiting evidence": 247,
    "assigned to engineering": 248,
    "acknowledged": 249,
    "scheduled": 250,
    "resolved": 254,
    **dict.fromkeys(("closed", "geschlossen", "fermé", "fermée", "cerrado", "cerrada", "chiuso", "gesloten"), 255),
}

_ID = re.compile(r"\{?[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}\}?")
_NUMBER = re.compile(r"[0-9]{1,10}")
_LAST_STATE: Final = 255


class State(NamedTuple):
    """A resolution state: its number where it is known, and how it was written."""

    number: int | None
    written: str


def _state(value: object) -> State:
    number = _whole(value)
    if isinstance(number, int) and not isinstance(number, bool):
        if not 0 <= number <= _LAST_STATE:
            raise ValueError("must be a resolution state: 0 to 255, or its name")
        return State(number, str(number))
    if not isinstance(value, str):
        raise ValueError("must be a resolution state: 0 to 255, or its name")  # noqa: TRY004 - pydantic reports ValueError only
    return State(_STATES.get(value.lower()), printable(value))


def _whole(value: object) -> object:
    """A number that was written as text."""
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _guid(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("must be the GUID of a SCOM alert")
    digits = value.strip("{}").replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _yes(value: object) -> bool:
    return str(value).lower() in ("true", "1", "yes")


class _ScomAlert(BaseModel):
    """The properties of a SCOM alert that are used here; it has many more, and management packs add to them."""

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_pascal)

    id: Annotated[str, BeforeValidator(_guid)]
    name: str | None = None
    description: str | None = None
    resolution_state: Annotated[State, BeforeValidator(_state)]
    principal_name: str | None = None
    netbios_computer_name: str | None = None
    monitoring_object_path: str | None = None
    monitoring_object_display_name: str | None = None
    monitoring_object_name: str | None = None
    monitoring_object_full_name: str | None = None
    monitoring_object_in_maintenance_mode: Annotated[bool, BeforeValidator(_yes)] = False
    owner: str | None = None
    time_raised: Annotated[datetime | None, BeforeValidator(readable)] = None
    last_modified: Annotated[datetime | None, BeforeValidator(readable)] = None
    repeat_count: Annotated[int | None, BeforeValidator(_whole), Field(ge=0, lt=2**31)] = None


_PROPERTIES: Final = tuple(to_pascal(name) for name in _ScomAlert.model_fields)


def looks_like(record: Json) -> bool:
    """Whether a record is an alert of SCOM's, complete or not."""
    fields = Fields(record)
    own = ("PrincipalName", "MonitoringObjectPath", "NetbiosComputerName", "MonitoringObjectDisplayName")
    return ("Id" in fields and "ResolutionState" in fields) or sum(name in fields for name in own) > 1


def read(record: Json, payload: bytes, names: Names) -> Record:
    """The alert in a record of SCOM's; `payload` is what it was written in.

    Raises:
        Rejected: it cannot be understood.
    """
    fields = Fields(record)
    given: dict[str, Any] = {name: value for name in _PROPERTIES if (value := fields.value(name)) is not None}
    found = record_of(_ScomAlert, given)
    texts = Texts(
        name=found.name or "",
        description=found.description or "",
        display_name=found.monitoring_object_display_name or "",
        object_name=found.monitoring_object_name or "",
        full_name=found.monitoring_object_full_name or "",
    )
    about = subject(texts, names)
    machines, hints = _machines(found, texts, names)
    alert = Alert(
        source=Source.SCOM,
        source_id=found.id,
        server=next(iter((*machines, *hints)), ""),
        health_set=about.health_set,
        monitor=about.monitor,
        raised_at=found.time_raised,
        closed=found.resolution_state.number in CLOSED_STATES,
        summary=printable(about.text),
        suppress="a Health Set maintenance alert is never remediated" if about.maintenance else "",
        names=machines,
        hints=hints,
        resolution_state=found.resolution_state.number,
        state=found.resolution_state.written,
        owner=printable(found.owner or ""),
        in_maintenance=found.monitoring_object_in_maintenance_mode,
    )
    return Record(alert, _key(payload, found))


def _machines(found: _ScomAlert, texts: Texts, names: Names) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The machines that the fields name, and those that are named only in passing."""
    named = (
        *machine(found.principal_name or ""),
        *machine(found.netbios_computer_name or ""),
        *in_path(found.monitoring_object_path or ""),
        *(name for name in in_display_name(texts.display_name) if not names.health_set(name)),
    )
    of_object = in_path(texts.full_name.partition(":")[2])
    if not named and not of_object:
        raise Rejected(
            "none of PrincipalName, NetbiosComputerName, MonitoringObjectPath and MonitoringObjectDisplayName names a "
            "server"
        )
    passing = (*of_object, *in_text(texts.display_name), *in_text(texts.name), *in_text(texts.description))
    return _once(named), _once(name for name in passing if name not in named and not names.health_set(name))


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _key(payload: bytes, found: _ScomAlert) -> str:
    if found.last_modified is None:
        # Without it a change could look like a repetition, and be dropped.
        return payload_key(Source.SCOM, payload)
    number, written = found.resolution_state
    state = written if number is None else number  # another name is another state
    return ":".join(map(str, ("scom", found.id, timestamp(found.last_modified), state, found.repeat_count or 0)))
