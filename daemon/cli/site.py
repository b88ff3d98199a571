"""The settings and inventory that a command works with; their mistakes, printed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.markup import escape

from daemon.cli.console import DEFAULT_CONFIG, errors
from daemon.config.inventory import load_site
from daemon.config.settings import Settings, load_settings
from daemon.domain.errors import ConfigError
from daemon.domain.inventory import Inventory
from statemachines.loader import RunbookError


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


def print_mistakes(error: ConfigError) -> None:
    """One line for each mistake."""
    for mistake in error.mistakes:
        errors.print(f"[bold red]mistake[/] {escape(str(mistake))}", highlight=False, soft_wrap=True)
