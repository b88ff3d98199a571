"""The command `exmedic`: run the daemon, look at what it did, steer it, try it in the lab.

Exit codes: 0 done, 1 it could not be done or something is wrong, 2 wrong usage or wrong configuration; 3, of `status`:
the daemon runs and is not well; 4, of `pause`: it is on the disk, and the daemon has not confirmed it.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from daemon.cli import (
    alert,
    audit,
    autonomy,
    backup,
    check,
    demo,
    doctor,
    incidents,
    inventory,
    lab,
    operators,
    replay,
    run,
    runbooks,
    scripts,
    set_aside,
    simulate,
    windows,
)
from daemon.cli.console import errors
from daemon.domain.errors import ExmedicError

app = typer.Typer(
    name="exmedic",
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
        errors.print(f"exmedic {version('exmedic')}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for module in (run, check, doctor, incidents, autonomy, operators, backup):
    for command in module.COMMANDS:
        app.command()(command)
app.add_typer(alert.app, name="alert")
app.add_typer(audit.app, name="audit")
app.add_typer(set_aside.app, name="incidents")
app.add_typer(inventory.app, name="inventory")
app.add_typer(lab.app, name="lab")
app.add_typer(windows.app, name="window")
app.add_typer(runbooks.app, name="runbooks")
app.add_typer(scripts.app, name="scripts")
app.command()(demo.demo)
app.command()(simulate.simulate)
app.command(name="replay")(replay.replay_command)


def main() -> None:
    """Run the command line; an error that exmedic knows is a sentence, not a traceback."""
    try:
        app(prog_name="exmedic")  # however it was started: `python -m daemon` too
    except ExmedicError as error:
        errors.print(f"[bold red]exmedic:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
