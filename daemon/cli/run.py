"""`exmedic run`: the daemon."""

import asyncio
from pathlib import Path

import typer

from daemon.app.service import run_daemon
from daemon.cli.console import DEFAULT_CONFIG, Config
from daemon.cli.site import print_mistakes
from daemon.domain.errors import ConfigError, ExmedicError


def run(config: Config = DEFAULT_CONFIG) -> None:
    """Run the daemon until SIGTERM, which stops it in stages: no new work, running actions end, all is flushed.

    It reads everything it needs from CONFIG. Under systemd it reports when it is ready, and logs to the journal;
    elsewhere it logs to stdout, as JSON or, on a terminal, in colour.
    """
    try:
        asyncio.run(run_daemon(Path(config)))
    except ConfigError as error:
        print_mistakes(error)
        raise typer.Exit(2) from error
    except BaseExceptionGroup as group:
        expected = _expected(group)
        if expected is None:
            raise
        raise expected from group


def _expected(group: BaseExceptionGroup[BaseException]) -> ExmedicError | None:
    """What ended the daemon, if all of it was foreseen: the loops' task group wraps even a single error."""
    known, defects = group.split(ExmedicError)
    first: BaseException | None = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, ExmedicError) and defects is None else None
