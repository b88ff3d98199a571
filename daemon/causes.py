"""Causes on record: noted when a hold finds one, with one page for all its incidents, and ended when it is over."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from daemon import shared_cause
from daemon.cause import Cause, CauseKind, joined
from daemon.commit import Commit
from daemon.domain import AuditEntry, AuditKind, Incident, IncidentStatus
from daemon.errors import Conflict
from daemon.gates import Hold
from daemon.parts import Parts
from daemon.wire.messages import cause_messages

_OVER = {
    CauseKind.MONITOR: "ails on too few servers by now, or they were released",
    CauseKind.DEPENDENCY: "is healthy again, or nothing waits for it any more",
}
_ROUNDS = 10  #: how often one is noted anew because another incident of it was first

_log = structlog.get_logger("exmedic.causes")


async def noted(parts: Parts, hold: Hold, incident: Incident) -> Hold:
    """The hold of a cause that is on record now: row, page and audit row in one commit, before the hold itself.

    A crash in between leaves a cause that the next turn of any of its incidents finds again, with its page sent once.
    """
    if hold.found is None:
        return hold
    found = hold.found
    if found.kind is CauseKind.DEPENDENCY:
        found = replace(found, incidents=(incident.id,))
    for _ in range(_ROUNDS):
        others = await parts.store.causes()
        known = next((each for each in others if each.same(found)), None)
        cause = joined(known, found, parts.clock.now())
        try:
            if cause != known:
                await parts.store.commit(_grown(parts, known, cause, hold.reason, others))
        except Conflict:
            continue  # another incident of it was noted meanwhile
        return replace(hold, reason=f"{hold.reason} (cause {cause.id})", paged=incident.server in cause.named)
    _log.warning("a cause is noted at the next look", what=found.what)
    return hold


async def cleared(parts: Parts, incident: Incident) -> None:
    """What an incident depends on was found healthy: it waits for none of those causes any more."""
    for cause in await parts.store.causes():
        if cause.kind is CauseKind.DEPENDENCY and incident.id in cause.incidents:
            left = tuple(each for each in cause.incidents if each != incident.id)
            try:
                await parts.store.commit(Commit(at=parts.clock.now(), cause=replace(cause, incidents=left)))
            except Conflict:
                _log.debug("it moved on meanwhile; the next look decides", cause=cause.id)


async def end_those_over(parts: Parts) -> None:
    """End each cause that no incident has any more."""
    for cause in await parts.store.causes():
        if await _goes_on(parts, cause):
            continue
        now = parts.clock.now()
        message = f"shared cause {cause.id} is over: {cause.what} {_OVER[cause.kind]}"
        try:
            await parts.store.commit(ended(cause, now, message))
        except Conflict:
            _log.debug("it moved on meanwhile; the next look decides", cause=cause.id)


def ended(cause: Cause, now: datetime, message: str, by: str = "") -> Commit:
    """The commit that ends a cause. `by`: the operator who releases its incidents."""
    fields = {"cause": cause.id, "servers": list(cause.servers), **({"user": by} if by else {})}
    entry = AuditEntry(kind=AuditKind.CAUSE_OVER, at=now, message=message, fields=fields)
    return Commit(at=now, cause=replace(cause, ended=now, ended_by=by), audit=(entry,))


async def _goes_on(parts: Parts, cause: Cause) -> bool:
    for incident_id in cause.incidents:
        incident = await parts.store.incident(incident_id)
        if incident is None or not (incident.latched or incident.status is IncidentStatus.OPEN):
            continue
        if cause.kind is CauseKind.DEPENDENCY or await shared_cause.found(parts, incident) is not None:
            return True
    return False


def _grown(parts: Parts, known: Cause | None, cause: Cause, why: str, others: Sequence[Cause]) -> Commit:
    """The commit of a cause that has grown; a page only if it tells anything that those of `others` did not."""
    now, prefix = parts.clock.now(), parts.settings.bus.prefix
    if known is not None and known.told == cause.told:
        return Commit(at=now, cause=cause)
    message = f"shared cause {cause.id}, {cause.what}: {why}"
    fields = {"cause": cause.id, "servers": list(cause.servers), "incidents": list(cause.incidents)}
    entry = AuditEntry(kind=AuditKind.CAUSE_FOUND, at=now, message=message, fields=fields)
    # Servers on which two monitors ail for one reason are told once.
    named = {server for each in others if each.kind is CauseKind.MONITOR for server in each.named}
    told = cause.kind is CauseKind.MONITOR and named.issuperset(cause.servers)
    return Commit(at=now, cause=cause, audit=(entry,), outgoing=() if told else cause_messages(prefix, cause, why, now))
