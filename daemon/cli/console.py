"""Where the commands print, and how a status, a moment or a mistake looks there."""

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from daemon.config.inventory import load_site
from daemon.config.settings import Settings, load_settings
from daemon.domain.errors import ConfigError
from daemon.domain.incidents import IncidentStatus
from daemon.domain.inventory import Inventory
from statemachines.loader import RunbookError

out = Console(highlight=False)
errors = Console(stderr=True)

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


def site(config: Path) -> tuple[Settings, Inventory]:
    """The settings and inventory of a site; prints every mistake and exits with 2 if there are any."""
    with mistakes_told():
        return load_site(config)


def settings_of(config: Path | None) -> Settings:
    """The settings of a site, and the default ones where there is none; prints every mistake and exits with 2."""
    if config is None and DEFAULT_CONFIG.exists():
        config = DEFAULT_CONFIG
    with mistakes_told():
        return Settings() if config is None else load_settings(config)


@contextlib.contextmanager
def mistakes_told(code: int = 2) -> Iterator[None]:
    """Print every mistake that what is done here finds in a configuration or a runbook, and exit with the code."""
    try:
        yield
    except (ConfigError, RunbookError) as error:
        print_mistakes(ConfigError(error.mistakes))
        raise typer.Exit(code) from error


def name_and_value(text: str) -> tuple[str, object] | None:
    """NAME=VALUE; a value that is a number, true or false is taken as such. None: it is not of that form."""
    name, is_given, value = text.partition("=")
    if not is_given:
        return None
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def print_mistakes(error: ConfigError) -> None:
    """One line for each mistake."""
    for mistake in error.mistakes:
        errors.print(f"[bold red]mistake[/] {escape(str(mistake))}", highlight=False, soft_wrap=True)
