"""`exmedic window`: when less may be done, and on which servers."""

import asyncio
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from daemon.app.offline import clock_of, reading
from daemon.cli.console import DEFAULT_CONFIG, Config, Reason, clock_time, out
from daemon.cli.operators import steer
from daemon.cli.site import site
from daemon.config.settings import Settings, windows_of
from daemon.config.whereabouts import DATABASE
from daemon.domain.windows import Span, Weekly, Window, WindowKind, holding, next_change

app = typer.Typer(no_args_is_help=True, help="Maintenance, freezes and business hours: when less may be done.")

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Servers = Annotated[list[str] | None, typer.Option("--server", help="A server it is for; may be repeated.")]
Dags = Annotated[list[str] | None, typer.Option("--dag", help="A DAG it is for; may be repeated.")]
Sites = Annotated[list[str] | None, typer.Option("--site", help="A site it is for; may be repeated.")]


@app.command()
def add(  # noqa: PLR0917 - typer calls it by keyword
    name: Annotated[str, typer.Argument(help="What holds will call it.")],
    kind: Annotated[
        WindowKind,
        typer.Option(
            help="maintenance: nothing is done; freeze: nothing but a restart; business_hours: moves and reboots ask."
        ),
    ] = WindowKind.MAINTENANCE,
    until: Annotated[str, typer.Option(help="When it ends, such as 2026-11-05T22:00+01:00.")] = "",
    hours: Annotated[float, typer.Option(help="Or how many hours it lasts.")] = 0.0,
    begins: Annotated[str, typer.Option("--from", help="When it begins; left out: now.")] = "",
    server: Servers = None,
    dag: Dags = None,
    site_: Sites = None,
    reason: Reason = "",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Add a window, in your name. Without --server, --dag and --site it is for every server.

    Alerts for a server in maintenance open nothing; their monitors are verified when it ends. It ends by itself.
    """
    settings, _ = site(config)
    request = {"command": "add_window", "name": name, "kind": kind.value, "from": begins, "until": until}
    scope = {"servers": server or [], "dags": dag or [], "sites": site_ or []}
    answer = steer(settings, {**request, **scope, "hours": hours, "reason": reason})
    out.print(f"[green]added[/] {escape(str(answer['window']))}", soft_wrap=True)


@app.command()
def end(
    name: Annotated[str, typer.Argument(help="The window's name, from `exmedic window list`.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """End a window before its time, in your name. What waited for it goes on within minutes."""
    settings, _ = site(config)
    answer = steer(settings, {"command": "end_window", "name": name})
    out.print(f"[green]ended[/] {escape(str(answer['ended']))}")


@app.command("list")
def list_(config: Config = DEFAULT_CONFIG) -> None:
    """List the windows that are not over, those of the configuration and those added by command."""
    settings, _ = site(config)
    now = clock_of(settings).now()
    windows = [*windows_of(settings), *asyncio.run(_added(settings, now))]
    windows = [each for each in windows if not isinstance(each.when, Span) or each.when.ends > now]
    if not windows:
        out.print("no windows")
        return
    for each in windows:
        by = f"added by {each.added_by}" if each.added_at else "of exmedic.toml"
        what = escape(f"{each.kind.value.replace('_', ' ')} for {each.scope}, {by}")
        out.print(f"[bold]{escape(each.name)}[/] {what}: {_now(each, now)}", soft_wrap=True)
        out.print(f"  {_when(each)}{escape(f': {each.reason}' if each.reason else '')}", style="dim", soft_wrap=True)


async def _added(settings: Settings, now: datetime) -> list[Window]:
    if not (settings.data / DATABASE).exists():
        return []
    async with reading(settings) as store:
        return await store.windows(now)


def _when(window: Window) -> str:
    if isinstance(window.when, Weekly):
        weekly = window.when
        days = " ".join(_DAYS[day] for day in weekly.days)
        return f"{days} {weekly.begins:%H:%M}-{weekly.ends:%H:%M} {weekly.zone}"
    return f"{clock_time(window.when.begins)} to {clock_time(window.when.ends)} UTC"


def _now(window: Window, now: datetime) -> str:
    for found in holding([window], now):
        return f"[yellow]holds until {clock_time(found.until)} UTC[/]"
    change = next_change([window], now)
    return "never again" if change is None else f"begins {clock_time(change)} UTC"
