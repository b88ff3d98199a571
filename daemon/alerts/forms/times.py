"""Times as routes from SCOM write them. What cannot be read, or could be two days, is no time: nothing rests on it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_POWERSHELL_DATE = re.compile(r"\\?/Date\((-?[0-9]{1,16})(?:[+-][0-9]{4})?\)\\?/")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,16} ?(?:Z|[+-][0-9]{2}:?[0-9]{2})?")
_CLOCK = r"[ ,]+(?:\S{1,3} )?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?:\s*(?P<half>[AP])\.?M\.?)?"
_NUMBERS = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<sign>[/.])(?P<other>\d{{1,2}})(?P=sign)(?P<year>\d{{4}}){_CLOCK}", re.IGNORECASE
)
_DAY_FIRST = re.compile(
    rf"(?:\w{{2,10}},? )?(?P<day>\d{{1,2}})\.? (?P<month>\w{{3,10}}) (?P<year>\d{{4}}){_CLOCK}", re.IGNORECASE
)
_MONTH_FIRST = re.compile(
    rf"(?:\w{{2,10}},? )?(?P<month>\w{{3,10}}) (?P<day>\d{{1,2}}), (?P<year>\d{{4}}){_CLOCK}", re.IGNORECASE
)
_MONTHS: Final = (
    ("january", "janvier", "januar"),
    ("february", "février", "februar"),
    ("march", "mars", "märz"),
    ("april", "avril"),
    ("may", "mai"),
    ("june", "juin", "juni"),
    ("july", "juillet", "juli"),
    ("august", "août"),
    ("september", "septembre"),
    ("october", "octobre", "oktober"),
    ("november", "novembre"),
    ("december", "décembre", "dezember"),
)
_MONTH = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST: Final = 80


def exact(text: str) -> datetime | None:
    """A time in ISO 8601, or as ConvertTo-Json of Windows PowerShell 5.1 writes it, in UTC; None: it is not written so.

    SCOM's times are UTC, also where the offset is left out.

    Raises:
        ValueError, OverflowError: there is no such time.
    """
    if ticks := _POWERSHELL_DATE.fullmatch(text):
        return _EPOCH + timedelta(milliseconds=int(ticks[1]))
    if _ISO_DATE.fullmatch(text):
        moment = datetime.fromisoformat(text.replace(" ", "T", 1).replace(" ", ""))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    return None


def readable(value: object) -> datetime | None:
    """A time in UTC, also as the United States, France and Germany write it; None where it cannot be read for sure."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = " ".join(value.split())
    try:
        return exact(text) or _written(text)
    except (ValueError, OverflowError):
        return None


def _written(text: str) -> datetime | None:
    if found := _NUMBERS.fullmatch(text):
        day = _day(int(found["first"]), int(found["other"]), german=found["sign"] == ".", american=bool(found["half"]))
    elif found := _DAY_FIRST.fullmatch(text) or _MONTH_FIRST.fullmatch(text):
        day = (_MONTH.get(found["month"].lower(), 0), int(found["day"]))
    if not found or day is None:
        return None
    hour = int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004 - the clock of twelve hours
            return None
        hour = hour % 12 + (12 if found["half"].upper() == "P" else 0)
    return datetime(int(found["year"]), *day, hour, int(found["minute"]), int(found["second"] or 0), tzinfo=UTC)


def _day(first: int, other: int, *, german: bool, american: bool) -> tuple[int, int] | None:
    """Month and day; None where it could be two days, as 5/11 could where a clock of 24 hours tells no country."""
    if german:
        return other, first
    if american or other > 12:  # noqa: PLR2004 - there are twelve months
        return first, other
    return (other, first) if first > 12 or first == other else None  # noqa: PLR2004 - months
