"""`exmedic runbooks`: look at the ladders, the shipped ones and the site's own, and prove them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app.offline import beyond_budgets, runbook_places, runbooks
from daemon.cli.console import SiteConfig, out
from daemon.cli.runbook_simulation import simulate
from daemon.cli.site import mistakes_told, settings_of
from daemon.domain.errors import OperatorError
from daemon.reports.explanation import explain as explanation
from daemon.reports.explanation import wrapped
from statemachines.actions import ACTIONS
from statemachines.checker import bounds
from statemachines.diagrams import arrows, deadline, mermaid, rows, summary, svg, way_out
from statemachines.loader import load
from statemachines.mistake import suggestion
from statemachines.model import Definition, Handled
from statemachines.schema import schema_text

app = typer.Typer(no_args_is_help=True, help="Runbooks: the ladders as data.")

Name = Annotated[str, typer.Argument(help="A runbook's name, from `exmedic runbooks list`.")]


app.command()(simulate)


@app.callback()
def _runbooks() -> None:
    pass


@app.command(name="list")
def list_(config: SiteConfig = None) -> None:
    """List the runbooks: which monitors each handles, and from which procedure it comes."""
    for found in _loaded(config):
        out.print(f"[bold]{found.runbook}[/]  {escape(found.title)}", soft_wrap=True)
        for line in _handled(found):
            out.print(f"  {escape(line)}", soft_wrap=True)
        out.print(f"  [dim]{escape(found.source)}[/]", soft_wrap=True)


@app.command()
def show(name: Name, config: SiteConfig = None) -> None:
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
    out.print(f"Proven: {bounds(found)}.")


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="A runbook or fragment, in use or not yet; all runbooks if left out.")
    ] = None,
    config: SiteConfig = None,
) -> None:
    """Prove runbooks: every path is walked, and what could harm is shown with the shortest way there.

    Exit code 2 if anything is wrong. A daemon refuses to start on such a runbook.
    """
    settings = settings_of(config)
    places = runbook_places(settings)
    if file is not None and not any(file.resolve().is_relative_to(place.resolve()) for place in places):
        places.append(file)
    with mistakes_told():
        found = load(*places)
    wanted = [one for one in found if file is None or file.resolve() in [known.resolve() for known in one.files]]
    if not wanted:
        raise OperatorError(f"nothing uses {file}, so nothing was proven; check a runbook that uses it")
    for one in wanted:
        out.print(f"[green]proven[/] {one.definition.runbook}: {bounds(one.definition)}", soft_wrap=True)
    for what in beyond_budgets((one.definition for one in wanted), settings.budgets):
        out.print(f"[yellow]budgets[/]: {escape(what)}", soft_wrap=True)


@app.command()
def explain(
    monitor: Annotated[str, typer.Argument(help="A monitor, or a health set for alerts that name no monitor.")],
    config: SiteConfig = None,
) -> None:
    """Explain in plain English what is done about a monitor: what a change board asks."""
    settings = settings_of(config)
    found = _loaded(config)
    entries = [(one, entry) for one in found for entry in one.handles if _called(entry) == monitor.lower()]
    if not entries:
        known = [entry.monitor or entry.health_set for one in found for entry in one.handles]
        hint = suggestion(monitor, known)
        raise OperatorError(f"no runbook handles {monitor}{hint}; its alerts go to a human, and nothing is tried")
    for one, entry in entries:
        for line in wrapped(explanation(one, entry, settings.timing), min(out.width, 100)):
            out.print(escape(line), style=None if line.startswith(" ") else "bold", soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of runbook files, with which an editor completes and underlines."""
    typer.echo(schema_text(), nl=False)


@app.command()
def diagram(
    name: Annotated[str | None, typer.Argument(help="A runbook's name; all of them if left out.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write NAME.mmd (Mermaid) and NAME.svg there, instead of printing Mermaid.")
    ] = None,
    config: SiteConfig = None,
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
    settings = settings_of(config)
    with mistakes_told():
        return runbooks(settings)


def _called(entry: Handled) -> str:
    """How an entry is asked for: by its monitor, or by the health set that is all an alert names."""
    return (entry.monitor or entry.health_set).lower()


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
