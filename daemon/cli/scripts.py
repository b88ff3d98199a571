"""`exmedic scripts`: the PowerShell that is sent to servers, for those who must allow it. Nothing is contacted."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.cli.console import out
from daemon.domain.errors import OperatorError
from daemon.exchange.catalogue import catalogue
from daemon.exchange.launch import load

app = typer.Typer(no_args_is_help=True, help="The PowerShell that is sent to servers: fixed files, and no others.")


@app.command("list")
def list_(
    hashes: Annotated[
        bool, typer.Option("--hashes", help="Only the SHA-256 of what runs as script block, and the name.")
    ] = False,
) -> None:
    """List the shipped scripts: what each does, its effect, where it runs, and whether it opens an Exchange session."""
    if hashes:
        for each in catalogue():
            typer.echo(f"{each.sha256}  {each.name}")
        return
    rows = Table(box=None)
    for title in ("Script", "Effect", "Runs on", "Exchange session", "What"):
        rows.add_column(title, overflow="fold", no_wrap=title == "Script")
    for each in catalogue():
        cells = (each.name, each.effect, each.runs_on, "yes" if each.session else "no", each.does)
        rows.add_row(*(escape(cell) for cell in cells))
    out.print(rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="One of `exmedic scripts list`.")]) -> None:
    """Print exactly the text that runs as a script block, so that its SHA-256 is the one that `list --hashes` tells."""
    try:
        text = load(name).text
    except KeyError:
        raise OperatorError(f"exmedic ships no script {name!r}: see `exmedic scripts list`") from None
    typer.get_binary_stream("stdout").write(text.encode())
