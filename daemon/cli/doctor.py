"""`exmedic doctor`: before anything may act on a live server."""

import asyncio
import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app import servers
from daemon.app.offline import logons_of
from daemon.cli.console import DEFAULT_CONFIG, Config, out
from daemon.cli.site import site
from daemon.doctor.needs import Finding, Holds
from daemon.doctor.report import Report
from daemon.domain.errors import OperatorError
from daemon.operators.authorisation import doubts

_MARKS = {Holds.YES: "[green]yes[/]", Holds.NO: "[bold red]NO[/]", Holds.OPEN: "[yellow]?[/]"}
_BROKER = (
    "[yellow]broker[/]: let it refuse what is too large at the publisher, where somebody sees it (mosquitto: "
    "max_packet_size): what has more than 16 MiB never reaches exmedic, and nobody is told"
)
_TOPICS = {
    "access": "Access",
    "rights": "Rights",
    "server": "The server",
    "facts": "Facts that exmedic was built on and that nobody has confirmed",
}


def doctor(
    server: Annotated[list[str] | None, typer.Option(help="A server of the inventory; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every server of the inventory.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: a list with one object per server.")] = False,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Find out whether exmedic can work with a live server, and what is missing. It only reads.

    Runs every reading script the way the daemon would, about the server from another one where that is so, and says
    which rights are missing and which of the unconfirmed facts hold there. Exit code 1 if something is missing.
    """
    settings, inventory = site(config)
    if every == bool(server):
        raise typer.BadParameter("name servers with --server, or give --all")
    wanted = [one.name for one in inventory] if every else list(dict.fromkeys(server or ()))
    strangers = [name for name in wanted if inventory.find(name) is None]
    if strangers:
        # Before the first is contacted: a misspelt name must not be noticed after half an hour.
        raise OperatorError(f"not in {settings.inventory}, so not contacted: {', '.join(strangers)}")
    reports = []
    logons = logons_of(settings)
    for name in wanted:
        reports.append(asyncio.run(servers.doctor(settings, name, logons)))
        if not as_json:
            print_report(reports[-1])
    if not as_json:
        for doubt in doubts(settings.roles):
            out.print(f"[yellow]roles[/]: {escape(doubt)}")
        out.print(_BROKER)
    if as_json:
        typer.echo(json.dumps([report.told for report in reports], indent=2))
    if not all(report.good for report in reports):
        raise typer.Exit(1)


def print_report(report: Report) -> None:
    """One line or two for each finding, by topic, with what to do; of a server that cannot be reached, one line."""
    if report.silence:
        told = f"{escape(report.server)}: [bold red]not reached[/]: {escape(report.silence)}; nothing else was asked"
        out.print(told, soft_wrap=True)
        return
    missing = [finding for finding in report.findings if finding.missing]
    verdict = "[green]fit[/]" if report.good else f"[bold red]{len(missing)} missing[/]"
    out.print(f"[bold]{escape(report.server)}[/]: {verdict}", soft_wrap=True)
    for topic, title in _TOPICS.items():
        found = [finding for finding in report.findings if finding.topic == topic]
        if not found:
            continue
        out.print(f"\n[bold]{title}[/]")
        table = Table(box=None, show_header=False, pad_edge=False)
        for width in (3, 30, None):
            table.add_column(width=width, overflow="fold")
        for finding in found:
            table.add_row(_MARKS[finding.holds], escape(finding.name), _seen(finding))
        out.print(table)
    out.print("\n[dim]Not tried, since it would change something: Set-MailboxServer, Set-PopSettings, restarts.[/]\n")


def _seen(finding: Finding) -> str:
    text = escape(finding.seen)
    if finding.advice:
        text += f"\n[bold]{'so' if finding.topic == 'facts' else 'do'}:[/] {escape(finding.advice)}"
    if finding.source and finding.holds is not Holds.YES:
        text += f"\n[dim]({escape(finding.source)})[/]"
    return text
