"""`[[windows]]` of exmedic.toml: when less may be done, on which servers."""

from datetime import date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from daemon.config.fields import Name, Section
from daemon.domain.windows import Span, Weekly, Window, WindowKind

LONGEST = timedelta(days=90)  #: of one window: what is longer is forgotten in the configuration

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _moment(value: object) -> datetime | time:
    if isinstance(value, str):
        try:
            value = time.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("needs its offset from UTC, such as 2026-12-24T18:00:00+01:00; or it is a time only")
    if isinstance(value, datetime) or (isinstance(value, time) and value.tzinfo is None):
        return value
    wanted = "a date and time with its offset from UTC, such as 2026-12-24T18:00:00+01:00"
    day = "; a whole day is from 00:00 until 00:00" if isinstance(value, date) else ""
    raise ValueError(f'must be {wanted}, or for a weekly window a local time such as "22:00"{day}')


_Moment = Annotated[Any, PlainValidator(_moment)]


class WindowSettings(Section):
    """One window: once, from a moment until another; or weekly, on some days by the local clock of a time zone."""

    kind: WindowKind
    name: Name
    from_: _Moment = Field(alias="from")
    until: _Moment
    days: tuple[Day, ...] = ()
    timezone: str | None = None
    servers: tuple[Name, ...] = ()
    dags: tuple[Name, ...] = ()
    sites: tuple[Name, ...] = ()

    @field_validator("until")
    @classmethod
    def _after(cls, value: datetime | time, info: ValidationInfo) -> datetime | time:
        begins = info.data.get("from_")
        if begins is None:
            return value
        if isinstance(value, datetime) is not isinstance(begins, datetime):
            raise ValueError("and from must be of one sort: both dates with times, or both local times")
        if isinstance(value, datetime) and isinstance(begins, datetime) and (wrong := ill_timed(begins, value)):
            raise ValueError(wrong)
        return value

    @field_validator("days")
    @classmethod
    def _weekly(cls, value: tuple[Day, ...], info: ValidationInfo) -> tuple[Day, ...]:
        begins, ends = info.data.get("from_"), info.data.get("until")
        if begins is None or ends is None:
            return value
        if isinstance(begins, datetime) and value:
            raise ValueError("are for a weekly window, with local times; from is a date")
        if not isinstance(begins, datetime) and not value:
            raise ValueError("are missing: on which days does it begin?")
        if len(set(value)) == len(_DAYS) and begins == ends:
            raise ValueError("and times cover the whole week: it would never end")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None, info: ValidationInfo) -> str | None:
        begins = info.data.get("from_")
        if isinstance(begins, datetime) and value is not None:
            raise ValueError("is for a weekly window; from and until have their offsets")
        if isinstance(begins, time) and value is None:
            raise ValueError("is missing: of which time zone are the local times, such as Europe/Paris?")
        if value is not None:
            _known_zone(value)
        return value

    def window(self) -> Window:
        """The record of it."""
        when: Span | Weekly
        if isinstance(self.from_, datetime):
            when = Span(self.from_, self.until)
        else:
            days = tuple(sorted({_DAYS.index(day) for day in self.days}))
            when = Weekly(days=days, begins=self.from_, ends=self.until, zone=self.timezone or "UTC")
        return Window(kind=self.kind, name=self.name, when=when, servers=self.servers, dags=self.dags, sites=self.sites)


def ill_timed(begins: datetime, ends: datetime) -> str:
    """What is wrong with a one-off window, as a predicate of `until`; empty when nothing is."""
    if ends <= begins:
        return "must be later than from"
    if ends - begins > LONGEST:
        return f"must be at most {LONGEST.days} days after from: a window that hardly ends is a setting of its own"
    return ""


def _known_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        close = get_close_matches(name[:100], available_timezones(), n=1)
        hint = f"; did you mean {close[0]}?" if close else "; if it is one, install the package tzdata"
        raise ValueError(f"is no time zone that this machine knows{hint}") from None
