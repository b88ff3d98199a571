"""What operators may ask, a model for each command, told apart by `command`.

A field that is null or left out is empty, one that no command has is ignored. What is wrong with a request is told in
a sentence. What the inventory, the store and the clock have to say to it, those who carry it out ask.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from daemon.config.windows import LONGEST
from daemon.domain.errors import OperatorError
from daemon.domain.windows import WindowKind

LONGEST_NAME = 64  #: characters of a window's name; every hold repeats it


def _text(value: object, info: ValidationInfo) -> str:
    if isinstance(value, Sequence | Mapping) and value and not isinstance(value, str):
        raise ValueError(f"{info.field_name} must be text")
    return str(value or "")


def _window_name(value: object) -> str:
    name = str(value or "").strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(f"a window needs a name of at most {LONGEST_NAME} characters, all on one line")
    return name


def _kind(value: object) -> WindowKind:
    kind = str(value or "")
    if kind not in set(WindowKind):
        raise ValueError(f"{kind or 'nothing'} is no kind of window; known: {', '.join(WindowKind)}")
    return WindowKind(kind)


def _names(value: object, info: ValidationInfo) -> tuple[str, ...]:
    given = value or ()
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ValueError(f"{info.field_name} must be a list of names")  # noqa: TRY004 - pydantic knows this one
    return tuple(str(name) for name in given)


def _moment(value: object, info: ValidationInfo) -> datetime | None:
    text = str(value or "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        field = "from" if info.field_name == "begins" else info.field_name
        raise ValueError(f"{field} must be a date and time with its offset from UTC, such as 2026-11-05T22:00+01:00")
    return moment


def _number(value: object) -> float:
    try:
        return float(str(value or 0))
    except ValueError:
        return 0.0


Text = Annotated[str, BeforeValidator(_text)]


def _any_text(value: object) -> str:
    """A reason as it can be stored: bytes that are no text, of a command line, stand there by their numbers."""
    return str(value or "").encode("utf-8", "backslashreplace").decode()


#: A reason may be anything: no pause fails by the form of its reason.
Reason = Annotated[str, BeforeValidator(_any_text)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)


class Status(_Request):
    """How does it stand?"""

    command: Literal["status"]


class _OfScope(_Request):
    server: Text = ""
    dag: Text = ""


class Pause(_OfScope):
    """Pause everything, a server or a DAG."""

    command: Literal["pause"]
    reason: Reason = ""
    until: Moment = None
    order: Text = ""  #: the id that the file of this order has, where whoever orders it could write one
    uid: int | None = None  #: who is at the other end of the socket: put there by the daemon, over whatever was sent


class Resume(_Request):
    """End the pause of everything."""

    command: Literal["resume"]


class ResumeScope(_OfScope):
    """End the pause of a server or a DAG."""

    command: Literal["resume_scope"]


class Release(_Request):
    """Release a server from its quarantine, or what a shared cause holds."""

    command: Literal["release"]
    server: Text = ""  #: or the id of a cause


class _OfIncident(_Request):
    incident: Text = ""


class Close(_OfIncident):
    """Close an incident."""

    command: Literal["close"]


class Undo(_OfIncident):
    """Put back what an incident left."""

    command: Literal["undo"]


class _Answer(_OfIncident):
    state: Text = ""  #: the one that is meant; empty: what it asks now
    reason: Reason = ""


class Approve(_Answer):
    """Approve what an incident asks."""

    command: Literal["approve"]


class Decline(_Answer):
    """Decline what an incident asks."""

    command: Literal["decline"]


class DropDeferred(_Request):
    """Drop what was set aside for want of room."""

    command: Literal["drop_deferred"]
    reason: Reason = ""


class AddWindow(_Request):
    """Add a one-off window; without servers, DAGs and sites it is for all of them."""

    command: Literal["add_window"]
    name: Annotated[str, BeforeValidator(_window_name)] = ""
    kind: Annotated[WindowKind, BeforeValidator(_kind)]
    begins: Moment = Field(default=None, alias="from")
    until: Moment = None
    hours: Annotated[float, BeforeValidator(_number)] = 0.0
    servers: Names = ()
    dags: Names = ()
    sites: Names = ()
    reason: Reason = ""

    @model_validator(mode="before")
    @classmethod
    def _of_no_kind(cls, data: dict[str, object]) -> dict[str, object]:
        return {"kind": "", **data}

    @model_validator(mode="after")
    def _ends(self) -> "AddWindow":
        if self.until is None and not 0 < self.hours <= LONGEST / timedelta(hours=1):
            raise ValueError("say when it ends: until a date and time, or for how many hours")
        return self


class EndWindow(_Request):
    """End a window before its time."""

    command: Literal["end_window"]
    name: Text = ""


Order = (
    Status
    | Pause
    | Resume
    | ResumeScope
    | Release
    | Close
    | Undo
    | Approve
    | Decline
    | DropDeferred
    | AddWindow
    | EndWindow
)
_ORDERS: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="command")])


def understood(request: Mapping[str, Any]) -> Order:
    """What a request of a known command asks.

    Raises:
        OperatorError: something is wrong with it.
    """
    try:
        return _ORDERS.validate_python(dict(request))
    except ValidationError as error:
        first = error.errors()[0]
        raise OperatorError(str(first.get("ctx", {}).get("error", first["msg"]))) from None
