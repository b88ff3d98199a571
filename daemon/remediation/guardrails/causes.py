"""Causes on record: noted when a hold finds one, with one page for all of it, and ended when it holds nobody."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.causes import Cause, CauseKind, Found, covering, joined, told
from daemon.domain.commits import Channel, Commit, GuardChanges, Told
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.store import IncidentStore
from daemon.domain.verdicts import Awaits, Hold
from daemon.outgoing.messages import cause_messages
from daemon.remediation.guardrails import shared_cause
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.ending import left_changed
from daemon.remediation.incidents.snapshot import Case, about

_OVER = {
    CauseKind.MONITOR: "it ails on too few servers by now, or nothing is held for it any more",
    CauseKind.DEPENDENCY: "it is healthy again, or nothing is held for it any more",
}
_MOMENT = timedelta(hours=1)  #: found again so soon after its end, a cause is the same one to a human: no new page
_ROUNDS = 10  #: how often one is noted anew because another incident of it was first

_log = structlog.get_logger("exmedic.causes")


async def noted(context: GuardContext, hold: Hold, incident: Incident) -> Hold:
    """The hold of a cause that is on record now: row, page and audit row in one commit, before the hold itself.

    A crash in between leaves a cause that the next turn of any of its incidents finds again, with its page sent once.
    """
    found = hold.found
    if found is None:
        return hold
    for _ in range(_ROUNDS):
        current = await context.store.causes()
        known = next((each for each in current if each.same(found.kind, found.what)), None)
        past = await context.store.causes_of([incident.id])
        if known is None and any(_freed(each, found, incident) for each in past):
            return hold  # released while its facts were read: the next look does not find it
        cause = _grown(context, known, found, incident)
        try:
            if cause.untold:
                cause, commit = _telling(context, cause, hold.reason, (*current, *past))
                await context.store.commit(commit)
            elif cause != known:
                await context.store.commit(Commit(at=context.clock.now(), guards=GuardChanges(cause=cause)))
        except Conflict:
            continue  # another incident of it was noted meanwhile
        paged = cause.tells(incident.id, _oldest_page(context))
        return replace(hold, reason=f"{hold.reason} (cause {cause.id})", paged=paged)
    _log.warning("cause_not_noted", what=found.what, todo="the next look notes it")
    return hold


async def cleared(context: GuardContext, incident: Incident) -> None:
    """What an incident depends on was found healthy: it waits for none of those causes any more."""
    for cause in await context.store.causes():
        if cause.kind is CauseKind.DEPENDENCY and incident.id in cause.incidents:
            left = tuple(each for each in cause.incidents if each != incident.id)
            try:
                await context.store.commit(
                    Commit(at=context.clock.now(), guards=GuardChanges(cause=replace(cause, incidents=left)))
                )
            except Conflict:
                _log.debug("cause_conflict", cause=cause.id)  # the next look decides


async def end_those_over(context: GuardContext) -> None:
    """End each cause that holds no open incident any more."""
    for cause in await context.store.causes():
        if await _goes_on(context, cause):
            continue
        message = f"shared cause {cause.id} is over, {cause.what}: {_OVER[cause.kind]}"
        now = context.clock.now()
        try:
            await context.store.commit(
                Commit(
                    at=now,
                    guards=GuardChanges(cause=replace(cause, ended=now)),
                    told=Told(audit=(_over(cause, now, message),)),
                )
            )
        except Conflict:
            _log.debug("cause_conflict", cause=cause.id)  # the next look decides


def released(cause: Cause, held: Sequence[Incident], now: datetime, user: str) -> Commit:
    """The commit by which an operator releases a cause, and with it the incidents that its servers have now."""
    message = f"shared cause {cause.id} ({cause.what}) released by {user}"
    freed = replace(cause, ended=now, ended_by=user, incidents=tuple(each.id for each in held))
    fields = {"cause": cause.id, "user": user}
    rows = [
        about(AuditKind.DECISION, each, now, f"{message}: it may act by itself", fields)
        for each in held
        if each.status is IncidentStatus.OPEN
    ]
    return Commit(at=now, guards=GuardChanges(cause=freed), told=Told(audit=(_over(cause, now, message, user), *rows)))


async def told_once(context: GuardContext, case: Case, commit: Commit) -> Commit:
    """The commit; of an escalation without its page, if the page of a cause told of it and it waited for that cause.

    What is left changed, or may be, is told in any case.
    """
    ends, held_by = commit.progress.incident, case.incident.held_by
    escalates = ends is not None and ends.status is IncidentStatus.ESCALATED
    if ends is None or not escalates or held_by is None or held_by.awaits is not Awaits.CAUSE:
        return commit
    return unpaged(case, commit) if await has_told(context, ends) else commit


async def has_told(context: GuardContext, incident: Incident) -> bool:
    """Whether an incident is held by a cause whose page told of it."""
    since = _oldest_page(context)
    return any(
        incident.id in each.incidents and each.tells(incident.id, since) for each in await context.store.causes()
    )


async def servers_of(store: IncidentStore, cause: Cause) -> list[str]:
    """The servers that a cause still concerns: those of its incidents that are open, or with humans and not over."""
    found = [await store.incident(each) for each in cause.incidents]
    ailing = [each.server for each in found if each and (each.latched or each.status is IncidentStatus.OPEN)]
    return list(dict.fromkeys(ailing))


def unpaged(case: Case, commit: Commit) -> Commit:
    """A commit without its pages, unless something is left changed, or may be."""
    if commit.guards.quarantine is not None or left_changed(replace(case, undo=(*case.undo, *commit.progress.undo))):
        return commit
    left = tuple(each for each in commit.told.outgoing if each.channel is not Channel.NOTIFY)
    return replace(commit, told=replace(commit.told, outgoing=left))


def _oldest_page(context: GuardContext) -> datetime:
    """The moment since when a page still tells of what is ill now: what escalates after it needs no other."""
    settings = context.settings
    return context.clock.now() - timedelta(seconds=settings.timing.hold_deadline + settings.shared_cause.within)


def _lately(context: GuardContext, now: datetime) -> datetime:
    """The moment since when what fell ill counts as having fallen ill together."""
    return now - timedelta(seconds=context.settings.shared_cause.within)


def _freed(cause: Cause, found: Found, incident: Incident) -> bool:
    of_kind = cause.kind is found.kind is CauseKind.MONITOR or cause.same(found.kind, found.what)
    return of_kind and cause.frees(incident.id)


async def _goes_on(context: GuardContext, cause: Cause) -> bool:
    for incident_id in cause.incidents:
        incident = await context.store.incident(incident_id)
        if incident is None or incident.status is not IncidentStatus.OPEN:
            continue
        if cause.kind is CauseKind.DEPENDENCY:
            return True
        hold = await shared_cause.of_many(context, incident)
        if hold is not None and hold.found is not None and cause.same(hold.found.kind, hold.found.what):
            return True
    return False


def _grown(context: GuardContext, known: Cause | None, found: Found, incident: Incident) -> Cause:
    """The cause with the incident that it holds; the page covers one that comes soon after it, when it comes."""
    now = context.clock.now()
    cause = joined(known, found, incident.id, now)
    if known is None or incident.id in known.incidents:
        return cause
    return covering(cause, incident.id, incident.server, _lately(context, now), now)


def _telling(context: GuardContext, cause: Cause, why: str, others: Sequence[Cause]) -> tuple[Cause, Commit]:
    """The cause once it is told, and the commit, with a page unless one has told all of it already."""
    now = context.clock.now()
    message = f"shared cause {cause.id}: {why}"
    fields = {"cause": cause.id, "servers": list(cause.servers), "incidents": list(cause.incidents)}
    entry = AuditEntry(kind=AuditKind.CAUSE_FOUND, at=now, message=message, fields=fields)
    before = _told_before(cause, others, _lately(context, now), now)
    prefix = context.settings.bus.prefix
    messages = cause_messages(prefix, cause, why, now) if before is None else ()
    cause = told(cause, before or now)
    return cause, Commit(at=now, guards=GuardChanges(cause=cause), told=Told(audit=(entry,), outgoing=messages))


def _told_before(cause: Cause, others: Sequence[Cause], lately: datetime, now: datetime) -> datetime | None:
    """The moment at which humans had a page that tells all of this; None when none does, so that one is due.

    A cause is told once that was over for less than `_MOMENT`, and so are servers on which two monitors ail together.
    """
    before = next((each.told_at for each in others if each.told_at and _goes_on_from(each, cause, now)), None)
    return before or _named_before(cause, others, lately, now)


def _goes_on_from(other: Cause, cause: Cause, now: datetime) -> bool:
    """Whether a cause is one that had ended by itself a moment ago, for the incidents that its page covered."""
    if other.ended is None or other.ended_by or not other.same(cause.kind, cause.what):
        return False
    return now - _MOMENT <= other.ended <= now and set(cause.incidents) <= set(other.covered)


def _named_before(cause: Cause, others: Sequence[Cause], lately: datetime, now: datetime) -> datetime | None:
    """The earliest of the recent pages that together name all servers of a monitor's cause; None if they do not."""
    if cause.kind is not CauseKind.MONITOR:
        return None
    recent = [each for each in others if each.kind is CauseKind.MONITOR and each.ended is None and each.id != cause.id]
    # Not by their time: causes that one page has told share it.
    pages = [(each.told_at, each.named) for each in recent if each.told_at and lately <= each.told_at <= now]
    named = frozenset[str]().union(*(servers for _, servers in pages))
    return min((at for at, _ in pages), default=None) if named.issuperset(cause.servers) else None


def _over(cause: Cause, now: datetime, message: str, user: str = "") -> AuditEntry:
    fields = {"cause": cause.id, "servers": list(cause.servers), **({"user": user} if user else {})}
    return AuditEntry(kind=AuditKind.CAUSE_OVER, at=now, message=message, fields=fields)
