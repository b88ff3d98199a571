"""The reading part of a turn: polls of an incident's state, and looks at one that humans have."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from daemon.domain.audit import AuditKind
from daemon.domain.commits import Commit, GuardChanges, Progress, Told
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, Step
from daemon.remediation.actions import EFFECTS, READS
from daemon.remediation.actions.contract import Again, Context, Done, Withdrawn
from daemon.remediation.actions.heal import others
from daemon.remediation.guardrails import causes
from daemon.remediation.incidents.ending import FOLLOWS, over_with
from daemon.remediation.incidents.opening import UNHANDLED_LATCH
from daemon.remediation.incidents.snapshot import Case, about
from daemon.remediation.runner.session import Session

UNDECIDED = timedelta(minutes=5)  #: a look at a latched incident that decided nothing, and may find news, goes on then
READ_AGAIN = 3  #: how often alerts that join during a verification make it look again

_log = structlog.get_logger("exmedic.turn")


async def begin(session: Session) -> None:
    """Begin the action of the incident's state, and look at once."""
    committed = await session.commit(session.engine.read)
    if committed is not None:
        session.incident = committed
        step = await session.store.open_step(committed.id)
        if step is not None:
            await poll(session, step)


async def poll(session: Session, step: Step) -> None:
    """Look once, and commit what follows."""
    case = await session.case()
    context = await session.context(case, step.id, step.params)
    seen = await READS[step.action].poll(context, step.memo)
    if isinstance(seen, Done) and seen.outcome == "unhealthy" and (step.action, step.number) == ("verify", 1):
        await _open_hidden(session, context)
    for _ in range(READ_AGAIN):
        try:
            case = await session.case()
            commit = await causes.told_once(session.guards, case, _after_poll(session, case, step, seen))
            await session.store.commit(commit)
        except Conflict:
            fresh = await session.store.incident(session.incident.id)
            if fresh is None or fresh.version == session.incident.version:
                raise
            session.incident = fresh
            if isinstance(seen, Done) and seen.outcome == "healthy":
                if session.clock.now() < step.deadline_at:
                    return  # an alert came in while we looked: what we saw is older, so the next turn looks again
                seen = Done(outcome="unknown", detail=f"alerts kept coming in while it was asked: {seen.detail}")
        else:
            return
    await session.commit(lambda case: _after_poll(session, case, step, seen))


async def _open_hidden(session: Session, context: Context) -> None:
    """Other monitors found unhealthy on the server get their own incidents; repeated after a crash, they join.

    Not where somebody is at work on this one already: they would be healed under his hands.
    """
    if session.incident.only_looks:
        return
    for sick in await others(context):
        if session.guards.ladders.handling(context.server, sick.health_set, sick.monitor):
            await session.family.ensure(sick, context.incident, "")


def _after_poll(session: Session, case: Case, step: Step, seen: Done | Again) -> Commit:
    if isinstance(seen, Done):
        return session.engine.finish(case, session.with_raw(step), seen)
    if case.now >= step.deadline_at:
        late = Done(outcome=seen.if_late, detail=f"not within {step.deadline_at - step.started_at}: {seen.detail}")
        return session.engine.finish(case, session.with_raw(step), late)
    return session.engine.poll_again(case, step, seen)


async def watch(session: Session) -> None:
    """An escalated incident's key is latched until its monitor is proven healthy; look whether it is."""
    commit = await (_follows(session) if session.incident.told_by else _looked(session))
    try:
        await session.store.commit(commit)
    except Conflict:
        _log.debug("latch_conflict", incident=session.incident.id)  # something joined meanwhile; it is still due


async def _follows(session: Session) -> Commit:
    """What becomes of one that ended with another: it waits for that one, and is verified afresh afterwards."""
    incident, now = session.incident, session.clock.now()
    other = await session.store.incident(incident.told_by)
    if other is not None and (other.latched or other.status is IncidentStatus.OPEN):
        waits = replace(incident, due_at=now + FOLLOWS, verify_requested=False)
        return Commit(at=now, progress=Progress(incident=waits))
    return over_with(incident, now, f"incident {incident.told_by}, with which it ended, is over")


async def _looked(session: Session) -> Commit:
    """What becomes of a latched incident by one more look at its monitor."""
    incident, now = session.incident, session.clock.now()
    case = await session.case() if incident.runbook and session.server is not None else None
    seen = _with_time(incident, now) if case is None else await _look(session, case)
    outcome = seen.outcome if isinstance(seen, Done) else ""
    settled = await session.store.quarantine(incident.server) is None
    if case is not None and case.sick_is_news and outcome == "unhealthy" and settled:
        return over_with(incident, now, f"the problem was gone, or was never found, and is there now: {seen.detail}")
    over = outcome == "healthy"
    audit = (about(AuditKind.LATCH_LIFTED, incident, now, f"latch lifted: {seen.detail}", {}),) if over else ()
    later = timedelta(seconds=session.settings.timing.latch_recheck)
    if case is not None and case.sick_is_news and not outcome:
        later = min(later, UNDECIDED)  # nobody was told of a problem that this may turn out to be
    due = None if over else now + later
    memo = seen.memo if isinstance(seen, Again) else {}
    fresh = replace(incident, latched=not over, due_at=due, verify_requested=False, watched=memo)
    return Commit(at=now, progress=Progress(incident=fresh), told=Told(audit=audit))


def _with_time(incident: Incident, now: datetime) -> Done | Again:
    """Whether a day has passed since the end of one whose monitor no ladder can look at."""
    if incident.runbook or now < (incident.ended_at or incident.opened_at) + UNHANDLED_LATCH:
        return Again(after=0, detail="nothing can look at its monitor")
    return Done(outcome="healthy", detail="a day has passed")


async def _look(session: Session, case: Case) -> Done | Again:
    """One more look at the monitor of a latched incident."""
    incident = case.incident
    await _settle_quarantine(session, case)
    look = READS["verify" if incident.monitor else "triage"]
    return await look.poll(await session.context(case, f"{incident.id}-watch", {}), incident.watched or {})


async def _settle_quarantine(session: Session, case: Case) -> None:
    """Evidence that has turned up since may end the quarantine that this incident caused."""
    quarantine = await session.store.quarantine(case.incident.server)
    step = None if quarantine is None else await session.store.step(quarantine.step_id)
    if step is None or step.incident_id != case.incident.id:
        return
    evidence = await EFFECTS[step.action].settle(await session.context(case, step.id, step.params), step)
    if isinstance(evidence, Done | Withdrawn) and getattr(evidence, "outcome", "") != "unknown":
        message = f"quarantine lifted by evidence: {evidence.detail}"
        entry = about(AuditKind.QUARANTINE_LIFTED, case.incident, case.now, message, {})
        await session.store.commit(
            Commit(at=case.now, guards=GuardChanges(lift=case.incident.server), told=Told(audit=(entry,)))
        )
