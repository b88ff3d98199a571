"""`exmedic runbooks`: look at the ladders, the shipped ones and the site's own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app import runbooks
from daemon.cli.console import DEFAULT_CONFIG, out, print_mistakes
from daemon.config import Settings, load_settings
from daemon.errors import ConfigError, OperatorError
from statemachines.actions import ACTIONS
from statemachines.diagrams import arrows, deadline, mermaid, rows, summary, svg, way_out
from statemachines.mistake import suggestion
from statemachines.model import Definition

app = typer.Typer(no_args_is_help=True, help="Runbooks: the ladders as data.")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="EXMEDIC_CONFIG",
        help=f"exmedic.toml of the site, for its own runbooks. Default: {DEFAULT_CONFIG} where there is one; "
        "the shipped runbooks are always there.",
    ),
]
Name = Annotated[str, typer.Argument(help="A runbook's name, from `exmedic runbooks list`.")]


@app.callback()
def _runbooks() -> None:
    pass


@app.command(name="list")
def list_(config: Config = None) -> None:
    """List the runbooks: which monitors each handles, and from which procedure it comes."""
    for found in _loaded(config):
        out.print(f"[bold]{found.runbook}[/]  {escape(found.title)}", soft_wrap=True)
        for line in _handled(found):
            out.print(f"  {escape(line)}", soft_wrap=True)
        out.print(f"  [dim]{escape(found.source)}[/]", soft_wrap=True)


@app.command()
def show(name: Name, config: Config = None) -> None:
    """Show one runbook state by state: what each does, until when, and what follows each outcome."""
    found = _named(_loaded(config), name)
    out.print(f"[bold]{found.runbook}[/]  {escape(found.title)}", soft_wrap=True)
    for line in (*_handled(found), f"source: {found.source}"):
        out.print(f"  {escape(line)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("state", "does", "within", "then"):
        table.add_column(column, no_wrap=column in ("state", "within"))
    drawn = arrows(found)
    for state in rows(found):
        then = "\n".join(f"{arrow.label}: {arrow.target}" for arrow in drawn if arrow.source == state)
        own = found.states[state]
        what = f"{escape(summary(own))} [dim]({ACTIONS[own.do].effect})[/]"
        table.add_row(state, what, deadline(own), escape(then))
    out.print(table)
    out.print(f"Every other outcome leads to escalated. {escape(way_out(found))}")


@app.command()
def diagram(
    name: Annotated[str | None, typer.Argument(help="A runbook's name; all of them if left out.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write NAME.mmd (Mermaid) and NAME.svg there, instead of printing Mermaid.")
    ] = None,
    config: Config = None,
) -> None:
    """Draw runbooks: Mermaid to the terminal, or Mermaid and SVG as files."""
    found = _loaded(config)
    chosen = found if name is None else (_named(found, name),)
    if write is None:
        for one in chosen:
            typer.echo(mermaid(one), nl=False)
        return
    try:
        write.mkdir(parents=True, exist_ok=True)
        for one in chosen:
            (write / f"{one.runbook}.mmd").write_text(mermaid(one), encoding="utf-8")
            (write / f"{one.runbook}.svg").write_text(svg(one), encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"cannot write to {write}: {error.strerror}; name a directory you may write to") from error
    out.print(f"{len(chosen)} runbooks drawn in {escape(str(write))}", soft_wrap=True)


def _loaded(config: Path | None) -> tuple[Definition, ...]:
    if config is None and DEFAULT_CONFIG.exists():
        config = DEFAULT_CONFIG
    try:
        return runbooks(Settings() if config is None else load_settings(config))
    except ConfigError as error:
        print_mistakes(error)
        raise typer.Exit(2) from error


def _named(found: tuple[Definition, ...], name: str) -> Definition:
    for one in found:
        if one.runbook == name:
            return one
    names = [one.runbook for one in found]
    raise OperatorError(f"there is no runbook {name!r}{suggestion(name, names)}; there are: {', '.join(names)}")


def _handled(found: Definition) -> list[str]:
    lines = []
    for handled in found.handles:
        what = handled.monitor or "alerts that name no monitor"
        probe = f", probe {handled.probe}" if handled.probe else ""
        role = f", on servers with the role {handled.role}" if handled.role else ""
        lines.append(f"handles {what} ({handled.health_set}){probe}{role}")
    return lines
