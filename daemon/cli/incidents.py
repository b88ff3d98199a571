"""`exmedic incidents` and `exmedic show`: what was done, read from the store, whether the daemon runs or not."""

import asyncio
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app.offline import reading
from daemon.cli.console import DEFAULT_CONFIG, Config, clock_time, coloured, out
from daemon.cli.site import site
from daemon.cli.times import shown
from daemon.domain.audit import AuditRow
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus, UndoItem, UndoStatus
from daemon.domain.store import IncidentStore

_LOOKED_AT = 10_000  #: incidents, newest first, for one whose id begins as told


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
    for row in rows:
        at = shown(row.entry.at, utc=utc)
        table.add_row(at, str(row.seq), row.entry.kind.value, escape(row.entry.message))
    out.print(table)
    for change in changes:
        state = {UndoStatus.PENDING: "not put back yet", UndoStatus.DONE: "put back", UndoStatus.LEFT: "LEFT CHANGED"}
        why = f" ({escape(change.reason)})" if change.reason else ""
        out.print(f"changed: {change.setting} on {change.server}: {state[change.status]}{why}")
