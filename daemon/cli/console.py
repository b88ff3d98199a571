"""Where the commands print, and how a status or a moment looks there."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, ConsoleDimensions

from daemon.domain.incidents import IncidentStatus

_UNBROKEN = 10_000  #: columns; a line of ours is shorter


class _Printed(Console):
    """A console that breaks no line for who reads through a pipe: what is searched for must not be torn apart."""

    @property  # type: ignore[misc]  # nobody sets it here
    def size(self) -> ConsoleDimensions:
        """See rich: of the terminal, or as COLUMNS says."""
        found = super().size
        told = self.is_terminal or "COLUMNS" in os.environ
        return found if told else ConsoleDimensions(_UNBROKEN, found.height)


out = _Printed(highlight=False)
errors = _Printed(stderr=True)

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="EXMEDIC_CONFIG",
        help="exmedic.toml of the site.",
        show_default=True,
    ),
]
DEFAULT_CONFIG = Path("/etc/exmedic/exmedic.toml")
Reason = Annotated[str, typer.Option(help="Why; it goes on record.")]
ServerPart = Annotated[str, typer.Option("--server", help="Only this server of the inventory.")]
Dag = Annotated[str, typer.Option("--dag", help="Only this DAG of the inventory.")]
SiteConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="EXMEDIC_CONFIG",
        help=f"exmedic.toml of the site, for its own runbooks. Default: {DEFAULT_CONFIG} where there is one; "
        "the shipped runbooks are always there.",
    ),
]

STYLES = {
    IncidentStatus.OPEN: "yellow",
    IncidentStatus.RESOLVED: "green",
    IncidentStatus.ESCALATED: "bold red",
    IncidentStatus.CANCELLED: "dim",
}


def coloured(status: IncidentStatus) -> str:
    """A status as rich markup."""
    return f"[{STYLES[status]}]{status.value}[/]"


def clock_time(moment: datetime | None) -> str:
    """A moment for a table: date and time in UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def name_and_value(text: str) -> tuple[str, object] | None:
    """NAME=VALUE; a value that is a number, true or false is taken as such. None: it is not of that form."""
    name, is_given, value = text.partition("=")
    if not is_given:
        return None
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
