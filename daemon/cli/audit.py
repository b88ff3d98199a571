"""`exmedic audit`: is the trail whole?"""

import asyncio
from typing import Annotated

import typer

from daemon.app.offline import verify_audit
from daemon.cli.console import DEFAULT_CONFIG, Config, out
from daemon.cli.site import site

app = typer.Typer(no_args_is_help=True, help="The audit trail.")


@app.callback()
def _audit() -> None:
    pass


@app.command()
def verify(
    config: Config = DEFAULT_CONFIG,
    journal: Annotated[bool, typer.Option(help="Compare with the copies in the journal too.")] = True,
) -> None:
    """Verify the hash chain of the audit trail, and compare it with its copies in the journal.

    Finds a rewritten, a removed and a cut-off row, and names the first bad one. Exit code 1 if there is one.
    """
    settings, _ = site(config)
    verdict = asyncio.run(verify_audit(settings, journal=journal))
    out.print(f"{'[green]good[/]' if verdict.good else '[bold red]bad[/]'} {verdict.text}", soft_wrap=True)
    if not verdict.good:
        raise typer.Exit(1)
