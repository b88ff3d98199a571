"""`exmedic incidents` and `exmedic show`: what was done, read from the store, whether the daemon runs or not."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app.offline import clock_of, reading
from daemon.cli.console import DEFAULT_CONFIG, Config, Dag, ServerPart, clock_time, coloured, out
from daemon.cli.site import site
from daemon.cli.times import shown, since
from daemon.domain.audit import AuditRow
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus, UndoItem, UndoStatus
from daemon.domain.pauses import covered, scope_of
from daemon.domain.store import IncidentStore
from daemon.domain.values import Json, timestamp

_LOOKED_AT = 10_000  #: incidents, newest first, for one whose id begins as told


def incidents(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    *,
    status: Annotated[IncidentStatus | None, typer.Option(help="Only incidents of this status.")] = None,
    server: ServerPart = "",
    dag: Dag = "",
    monitor: Annotated[str, typer.Option(help="Only of monitors or health sets in whose name this is.")] = "",
    begin: Annotated[str, typer.Option("--since", help="Only those open or ended since: 24h, 7d, or a date.")] = "",
    waits: Annotated[bool, typer.Option("--waits", help="Only those that wait for a human.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List incidents, newest first: where each stands and what it waits for."""
    if context.invoked_subcommand is not None:
        return
    settings, inventory = site(config)
    scope = scope_of(inventory, server, dag)
    if scope is None:
        raise OperatorError(f"the inventory does not have {server or dag}, or both a server and a DAG are named")
    wanted = _Wanted(
        servers=covered(inventory, scope) if scope else None,
        monitor=monitor.lower(),
        since=since(begin, clock_of(settings).now()) if begin else None,
        waits=waits,
    )

    async def read() -> list[Incident]:
        async with reading(settings) as store:
            return [each for each in await store.incidents(status, _LOOKED_AT) if wanted.has(each)][:limit]

    found = asyncio.run(read())
    if as_json:
        typer.echo(json.dumps([_json(each) for each in found], indent=2))
        return
    if not found:
        out.print("no incidents")
        return
    print_incidents(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which incidents are listed."""

    servers: frozenset[str] | None
    monitor: str
    since: datetime | None
    waits: bool

    def has(self, incident: Incident) -> bool:
        """Whether an incident is one of them."""
        asks = incident.status is IncidentStatus.OPEN and incident.question is not None and incident.approval is None
        return (
            (self.servers is None or incident.server in self.servers)
            and self.monitor in f"{incident.monitor} {incident.health_set}".lower()
            and (self.since is None or incident.ended_at is None or incident.ended_at >= self.since)
            and (not self.waits or incident.latched or asks)
        )


def _json(incident: Incident) -> Json:
    return {
        "id": incident.id,
        "server": incident.server,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        "status": incident.status.value,
        "latched": incident.latched,
        "state": incident.state,
        "opened_at": timestamp(incident.opened_at),
        "ended_at": incident.ended_at and timestamp(incident.ended_at),
        "waiting_for": incident.waiting_for,
        "due_at": incident.due_at and timestamp(incident.due_at),
        "reason": incident.reason,
    }


def print_incidents(found: list[Incident]) -> None:
    """Two lines for each incident: what it is and how it stands, and why, or what it waits for."""
    for incident in found:
        since = incident.ended_at or incident.opened_at
        what = escape(f"{incident.monitor or incident.health_set} on {incident.server}")
        state = _standing(incident)
        out.print(f"{incident.id} {clock_time(since)} {coloured(incident.status)}{state}  {what}", soft_wrap=True)
        out.print(f"         {escape(incident.waiting_for or incident.reason)}", style="dim", soft_wrap=True)


def _standing(incident: Incident) -> str:
    if incident.status is IncidentStatus.OPEN:
        return f" in [bold]{incident.state}[/]"
    if incident.status is IncidentStatus.ESCALATED:
        return ", latched" if incident.latched else ", closed"
    return ""


async def found_by(store: IncidentStore, beginning: str) -> Incident:
    """The incident of an id, or the only one whose id begins so.

    Raises:
        OperatorError: there is none, or there are several.
    """
    if (exact := await store.incident(beginning)) is not None:
        return exact
    alike = [each for each in await store.incidents(None, _LOOKED_AT) if beginning and each.id.startswith(beginning)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise OperatorError(f"{beginning} fits several incidents: {', '.join(each.id for each in alike[:10])}")
    raise OperatorError(f"there is no incident {beginning}; `exmedic incidents` lists them")


def show(
    incident: Annotated[str, typer.Argument(help="The incident's id, or how it begins.")],
    config: Config = DEFAULT_CONFIG,
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC, not of this machine.")] = False,
) -> None:
    """Show one incident's timeline from the audit trail: alerts, decisions, intents, outcomes, transitions."""
    settings, _ = site(config)

    async def read() -> tuple[Incident, list[AuditRow], list[UndoItem]]:
        async with reading(settings) as store:
            found = await found_by(store, incident)
            return found, await store.audit_of(found.id), await store.undo_items(found.id)

    print_story(*asyncio.run(read()), utc=utc)


def print_story(incident: Incident, rows: list[AuditRow], changes: list[UndoItem], *, utc: bool = True) -> None:
    """Print an incident: its head, its timeline, and what it changed."""
    what = escape(f"{incident.monitor} ({incident.health_set}) on {incident.server}")
    out.print(f"[bold]{incident.id}[/] {what}: {coloured(incident.status)}")
    if incident.reason:
        out.print(f"  {escape(incident.reason)}", soft_wrap=True)
    if incident.status is IncidentStatus.OPEN and incident.waiting_for:
        until = shown(incident.due_at, utc=utc) if incident.due_at else ""
        out.print(f"  waits until {until}: {escape(incident.waiting_for)}", soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    for column in ("time", "seq", "kind", "message"):
        table.add_column(column, no_wrap=column != "message", style="dim" if column in {"time", "seq"} else "")
    for (kind, message), alike in groupby(rows, key=lambda row: (row.entry.kind, row.entry.message)):
        first, *others = alike
        again = f" (and {len(others)} times more until {shown(others[-1].entry.at, utc=utc)})" if others else ""
        table.add_row(shown(first.entry.at, utc=utc), str(first.seq), kind.value, escape(message + again))
    out.print(table)
    for change in changes:
        state = {UndoStatus.PENDING: "not put back yet", UndoStatus.DONE: "put back", UndoStatus.LEFT: "LEFT CHANGED"}
        why = f" ({escape(change.reason)})" if change.reason else ""
        out.print(f"changed: {change.setting} on {change.server}: {state[change.status]}{why}")
