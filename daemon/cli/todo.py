"""`exmedic todo`, `actions` and `explain`: what waits, what was done, and how it went; read without the daemon."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from daemon.app.offline import clock_of, reading
from daemon.app.waiting import MOST, waiting
from daemon.cli.console import DEFAULT_CONFIG, Config, out
from daemon.cli.incidents import found_by
from daemon.cli.site import site
from daemon.cli.times import shown, since
from daemon.domain.incidents import Incident
from daemon.operators.todo import tasks
from daemon.reports.actions import Action, explained
from daemon.reports.actions import actions as actions_of

AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
Utc = Annotated[bool, typer.Option("--utc", help="Times in UTC, not of this machine.")]


def todo(config: Config = DEFAULT_CONFIG, as_json: AsJson = False, utc: Utc = False) -> None:
    """Show what waits for you: questions, quarantines, what is left changed, escalations, pauses, rejected alerts.

    The most pressing kind comes first, each with the command to begin with. It is read from the store and the pause
    files, whether the daemon runs or not. Where databases are now, only the servers know: see `exmedic show`.
    """
    settings, inventory = site(config)

    found = tasks(asyncio.run(waiting(settings, inventory)))
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in found], indent=2))
        return
    for each in found:
        when = shown(each.since, utc=utc) if each.since else ""
        out.print(f"[bold]{each.kind}[/] {when} {escape(each.what)}", soft_wrap=True)
        out.print(f"    exmedic {escape(each.do)}", style="dim", soft_wrap=True)
    if not found:
        out.print("nothing waits for you")


def actions(
    config: Config = DEFAULT_CONFIG,
    begin: Annotated[str, typer.Option("--since", help="How long ago (24h, 7d), or a date and time.")] = "24h",
    as_json: AsJson = False,
    utc: Utc = False,
) -> None:
    """List what was done to servers, a line each: when, where, what, with which outcome, who asked, which incident."""
    settings, _ = site(config)
    first = since(begin, clock_of(settings).now())

    async def read() -> list[Action]:
        async with reading(settings) as store:
            incidents = await store.incidents(None, MOST)
            late = [each for each in incidents if each.ended_at is None or each.ended_at >= first]
            return [action for each in late for action in actions_of(each, await store.steps(each.id), first)]

    found = sorted(asyncio.run(read()), key=lambda each: each.at)
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in found], indent=2))
        return
    for each in found:
        asked = f", asked by {each.asked_by}" if each.asked_by else ""
        told = f"{shown(each.at, utc=utc)} {each.server} {each.action}: {each.outcome}{asked} ({each.incident})"
        out.print(escape(told), soft_wrap=True)
    if not found:
        out.print(f"nothing was done to any server since {shown(first, utc=utc)}")


def explain(
    incident: Annotated[str, typer.Argument(help="The incident's id, or how it begins.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Explain an incident in three sentences: what it was about, what was done, and how it stands."""
    settings, _ = site(config)

    async def read() -> tuple[Incident, tuple[str, ...]]:
        async with reading(settings) as store:
            found = await found_by(store, incident)
            return found, explained(found, await store.steps(found.id), await store.undo_items(found.id))

    found, sentences = asyncio.run(read())
    if as_json:
        told: dict[str, Any] = dict(zip(("what", "done", "stands"), sentences, strict=True))
        typer.echo(json.dumps({"incident": found.id, **told}, indent=2))
        return
    for sentence in sentences:
        out.print(escape(sentence), soft_wrap=True)
