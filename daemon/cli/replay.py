"""`exmedic replay`: what a changed runbook would have done in the incidents that are on record."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from daemon.app.offline import reading_file, runbook_places
from daemon.cli.console import SiteConfig, clock_time, out
from daemon.cli.site import mistakes_told, settings_of
from daemon.domain.errors import ConfigError, OperatorError
from daemon.domain.incidents import Incident
from daemon.domain.store import HistoryStore, IncidentStore
from daemon.domain.values import timestamp
from daemon.reports.replay import Recorded, Replayed, concerns, replay
from statemachines.compiler import Ladder
from statemachines.loader import Draft, draft
from statemachines.model import Definition

_DIFFERS = 3  #: exit code


def replay_command(
    database: Annotated[Path, typer.Option("--from", help="A store (exmedic.db) or a backup of one; only read.")],
    runbook: Annotated[Path, typer.Option(help="The changed runbook.")],
    *,
    incident: Annotated[str, typer.Option(help="Only this incident.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only incidents opened since then, UTC.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    config: SiteConfig = None,
) -> None:
    """Run recorded incidents through a changed runbook, each up to where it would act differently.

    Nothing is contacted. Exit code 0 if nothing would differ, 3 if anything would, 1 if it cannot be told.
    """
    changed = _draft(runbook, config)
    after = None if since is None else since.replace(tzinfo=UTC)
    results = asyncio.run(_replayed(database, changed, incident, after))
    differ = sum(one.differs for one in results)
    if json_:
        typer.echo(json.dumps(_as_json(changed.definition, results), indent=2))
    else:
        for one in results:
            _print(one)
        out.print(f"{len(results)} incidents of {changed.definition.runbook}, {differ} would differ", soft_wrap=True)
    if differ:
        raise typer.Exit(_DIFFERS)


def _draft(runbook: Path, config: Path | None) -> Draft:
    """The changed runbook; prints every mistake and exits with 1 if it could harm."""
    settings = settings_of(config)
    with mistakes_told(1):
        changed = draft(runbook, *runbook_places(settings))
        if changed.unproven:
            raise ConfigError(changed.unproven)
    return changed


async def _replayed(database: Path, changed: Draft, only: str, since: datetime | None) -> list[Replayed]:
    ladder, known = Ladder(changed.definition), dict[str, Ladder]()
    async with reading_file(database) as store:
        if only:
            one = await store.incident(only)
            if one is None:
                raise OperatorError(f"{database} has no incident {only}; leave --incident out to replay all")
            found = [one]
        else:
            found = await store.incidents(None, sys.maxsize)
        wanted = [
            one
            for one in reversed(found)
            if concerns(changed.definition, changed.replaces, one) and (since is None or one.opened_at >= since)
        ]
        if only and not wanted:
            raise OperatorError(f"incident {only} is not one that {changed.definition.runbook} handles, or is older")
        return [replay(await _recorded(store, one, known), ladder) for one in wanted]


async def _recorded(store: HistoryStore, incident: Incident, known: dict[str, Ladder]) -> Recorded:
    return Recorded(
        incident=incident,
        steps=tuple(await store.steps(incident.id)),
        undo=tuple(await store.undo_items(incident.id)),
        audit=tuple(await store.audit_of(incident.id)),
        ladder=await _ladder(store, incident, known) if incident.runbook_hash else None,
    )


async def _ladder(store: IncidentStore, incident: Incident, known: dict[str, Ladder]) -> Ladder:
    """The ladder that an incident was pinned to.

    Raises:
        OperatorError: this version of exmedic cannot run it.
    """
    if incident.runbook_hash not in known:
        stored = await store.runbook(incident.runbook_hash)
        if stored is None:
            raise OperatorError(f"incident {incident.id}: its runbook {incident.runbook} is not in the store")
        try:
            known[incident.runbook_hash] = Ladder(Definition.model_validate_json(stored.text))
        except (ValidationError, KeyError) as error:
            raise OperatorError(
                f"incident {incident.id}: its runbook {stored.name} is of another version of exmedic and cannot be "
                "walked; leave it out with --since"
            ) from error
    return known[incident.runbook_hash]


def _print(one: Replayed) -> None:
    name = one.incident.server.partition(".")[0]
    when = f" at {clock_time(one.at)}" if one.differs else ""
    style = "bold yellow" if one.differs else "dim"
    head = f"{one.incident.id} {one.incident.monitor or one.incident.health_set} on {name}{when}"
    out.print(f"{escape(head)}: [{style}]{escape(one.text)}[/]", soft_wrap=True)


def _as_json(definition: Definition, results: list[Replayed]) -> dict[str, object]:
    return {
        "runbook": definition.runbook,
        "hash": definition.hash,
        "incidents": [
            {
                "incident": one.incident.id,
                "server": one.incident.server,
                "health_set": one.incident.health_set,
                "monitor": one.incident.monitor,
                "differs": one.differs,
                "state": one.state,
                "at": None if one.at is None else timestamp(one.at),
                "text": one.text,
            }
            for one in results
        ],
        "differences": sum(one.differs for one in results),
    }
