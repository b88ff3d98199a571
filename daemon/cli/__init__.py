"""The command `exmedic`: run the daemon, look at what it did, steer it, try it in the lab.

Exit codes: 0 done, 1 it could not be done or something is wrong, 2 wrong usage or wrong configuration; 3, of `status`:
the daemon runs and is not well; 4, of `pause`: it is on the disk, and the daemon has not confirmed it.

The module of a command is imported when the command is called, and no other one is: at 3 am a pause must not wait for
what the lab needs.
"""

import sys
from typing import Annotated

import typer
from rich.markup import escape

from daemon.cli.console import errors
from daemon.cli.table import Commands
from daemon.domain.errors import ExmedicError

app = typer.Typer(
    name="exmedic",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Unattended remediation of Microsoft Exchange health-set alerts: it verifies, restarts, moves databases, "
    "reboots, verifies again, puts back what it changed, or pages a human.",
    epilog="Try it: `exmedic demo`. Then: `exmedic check --config exmedic.toml`, `exmedic run --config exmedic.toml`. "
    "Every server is in mode observe until `[safety]` says otherwise of one of its tags, or of itself.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - it takes as long as the rest of a help

        errors.print(f"exmedic {version('exmedic')}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error that exmedic knows is a sentence, not a traceback."""
    try:
        app(prog_name="exmedic")  # however it was started: `python -m daemon` too
    except ExmedicError as error:
        errors.print(f"[bold red]exmedic:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
