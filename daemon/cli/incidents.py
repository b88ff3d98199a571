"""`exmedic incidents` and `exmedic show`: what was done, read from the store, whether the daemon runs or not."""

import asyncio
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app.offline import reading
from daemon.cli.console import DEFAULT_CONFIG, Config, clock_time, coloured, out
from daemon.cli.site import site
from daemon.domain.audit import AuditRow
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus, UndoItem, UndoStatus


def incidents(
    config: Config = DEFAULT_CONFIG,
    status: Annotated[IncidentStatus | None, typer.Option(help="Only incidents of this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
) -> None:
    """List incidents, newest first: where each stands and what it waits for."""
    settings, _ = site(config)

    async def read() -> list[Incident]:
        async with reading(settings) as store:
            return await store.incidents(status, limit)

    found = asyncio.run(read())
    if not found:
        out.print("no incidents")
        return
    print_incidents(found)


def print_incidents(found: list[Incident]) -> None:
    """Two lines for each incident: what it is and how it stands, and why, or what it waits for."""
    for incident in found:
        since = incident.ended_at or incident.opened_at
        what = escape(f"{incident.monitor or incident.health_set} on {incident.server}")
        state = "" if incident.status is not IncidentStatus.OPEN else f" in [bold]{incident.state}[/]"
        out.print(f"{incident.id} {clock_time(since)} {coloured(incident.status)}{state}  {what}", soft_wrap=True)
        out.print(f"         {escape(incident.waiting_for or incident.reason)}", style="dim", soft_wrap=True)


def show(
    incident: Annotated[str, typer.Argument(help="The incident's id, from `exmedic incidents`.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Show one incident's timeline from the audit trail: alerts, decisions, intents, outcomes, transitions."""
    settings, _ = site(config)

    async def read() -> tuple[Incident | None, list[AuditRow], list[UndoItem]]:
        async with reading(settings) as store:
            found = await store.incident(incident)
            return found, await store.audit_of(incident), await store.undo_items(incident)

    found, rows, changes = asyncio.run(read())
    if found is None:
        raise OperatorError(f"there is no incident {incident}; `exmedic incidents` lists them")
    print_story(found, rows, changes)


def print_story(incident: Incident, rows: list[AuditRow], changes: list[UndoItem]) -> None:
    """Print an incident: its head, its timeline, and what it changed."""
    what = escape(f"{incident.monitor} ({incident.health_set}) on {incident.server}")
    out.print(f"[bold]{incident.id}[/] {what}: {coloured(incident.status)}")
    if incident.reason:
        out.print(f"  {escape(incident.reason)}", soft_wrap=True)
    if incident.status is IncidentStatus.OPEN and incident.waiting_for:
        out.print(f"  waits until {clock_time(incident.due_at)}: {escape(incident.waiting_for)}", soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    for column in ("time", "seq", "kind", "message"):
        table.add_column(column, no_wrap=column != "message", style="dim" if column in {"time", "seq"} else "")
    for row in rows:
        at = f"{row.entry.at:%H:%M:%S}"
        table.add_row(at, str(row.seq), row.entry.kind.value, escape(row.entry.message))
    out.print(table)
    for change in changes:
        state = {UndoStatus.PENDING: "not put back yet", UndoStatus.DONE: "put back", UndoStatus.LEFT: "LEFT CHANGED"}
        why = f" ({escape(change.reason)})" if change.reason else ""
        out.print(f"changed: {change.setting} on {change.server}: {state[change.status]}{why}")
