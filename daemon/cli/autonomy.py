"""`exmedic autonomy`: what modes observe and approve kept exmedic from doing, and how it turned out."""

import asyncio
import json
import sys
from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app.offline import clock_of, reading
from daemon.cli.console import DEFAULT_CONFIG, Config, out
from daemon.cli.site import site
from daemon.config.settings import Settings
from daemon.reports.autonomy import How, Judged, Rung, judged, rungs


def autonomy(
    config: Config = DEFAULT_CONFIG,
    since: Annotated[float, typer.Option(min=0, help="Incidents opened in the last so many days.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: each rung of each incident.")] = False,
) -> None:
    """Report what modes observe and approve kept from being done, and how it turned out, by runbook and rung.

    Read from the store, whether the daemon runs or not. It helps to decide which tags and servers may get a less
    cautious mode.
    """
    settings, _ = site(config)
    found = asyncio.run(_judged(settings, timedelta(days=since)))
    if as_json:
        typer.echo(json.dumps([_told(one) for one in found], indent=2))
    elif found:
        print_rungs(rungs(found))
    else:
        out.print(f"nothing was kept from being done in the last {since:g} days")


async def _judged(settings: Settings, span: timedelta) -> list[Judged]:
    after = clock_of(settings).now() - span
    found: list[Judged] = []
    async with reading(settings) as store:
        for incident in await store.incidents(None, sys.maxsize):
            if incident.opened_at > after and incident.recommended:
                found += judged(incident, await store.steps(incident.id))
    return found


def print_rungs(found: list[Rung]) -> None:
    """For each rung in each mode how often it turned out how."""
    table = Table(box=None, pad_edge=False)
    for column in ("runbook: rung", "mode", "how it turned out"):
        table.add_column(column, overflow="fold")
    table.add_column("times", justify="right")
    for rung in found:
        name = (escape(f"{rung.runbook}: {rung.state}"), rung.mode)
        for how in (how for how in How if rung.counts[how]):
            table.add_row(*name, how.value, str(rung.counts[how]))
            name = ("", "")
    out.print(table)


def _told(one: Judged) -> dict[str, str]:
    fields = ("incident", "server", "runbook", "state", "what", "mode", "why")
    return {"how": one.how.value, **{name: getattr(one, name) for name in fields}}
