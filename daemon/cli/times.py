"""Times as they are typed and shown: spans such as 2h, and moments of this machine's own clock or of UTC."""

from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def span(text: str, option: str) -> timedelta:
    """How long 90s, 45m, 2h or 1d is.

    Raises:
        typer.BadParameter: it is none of them; `option` is what it was typed for.
    """
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or not int(number) or unit not in _UNITS:
        raise typer.BadParameter(f"{option} {text} is no time; such as 90s, 45m, 2h or 1d")
    return timedelta(seconds=int(number) * _UNITS[unit])


def since(text: str, now: datetime) -> datetime:
    """The moment from which on something is looked for: so long ago, or a date and time of this machine.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return now - span(text, "--since")


def shown(moment: datetime, *, utc: bool = False) -> str:
    """A moment for a human: date and time of this machine, or of UTC."""
    return f"{moment.astimezone(UTC if utc else None):%Y-%m-%d %H:%M:%S}"
