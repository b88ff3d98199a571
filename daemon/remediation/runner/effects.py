"""The acting part of a turn: facts, gates, intent committed, sent, outcome committed.

A step with an effect that is found open at the start of a turn was sent by a process that is gone, or its answer was
lost: it is settled by evidence and never sent again. The mode comes last of what is asked, so that what it holds is
what would be done; what follows from it is a record, and perhaps a question.
"""

from dataclasses import replace
from datetime import timedelta

import structlog

from daemon.domain.commits import Commit
from daemon.domain.errors import Conflict, StoreError
from daemon.domain.incidents import Step
from daemon.domain.inventory import scopes
from daemon.domain.ports import Call, Reply
from daemon.domain.verdicts import Hold, Mode, Refuse
from daemon.exchange.client import raw
from daemon.remediation.actions import EFFECTS
from daemon.remediation.actions.contract import Done, Prepared, Unready, Withdrawn
from daemon.remediation.guardrails import approvals, causes, modes, recommendations, shared_cause
from daemon.remediation.guardrails.approvals import approved_at, used
from daemon.remediation.guardrails.budgets import beside_others, reserved
from daemon.remediation.guardrails.chain import RETRY, at_last, objection
from daemon.remediation.guardrails.modes import mode_for
from daemon.remediation.incidents.snapshot import Case
from daemon.remediation.runner.replies import NotTried, meaning
from daemon.remediation.runner.session import Session

#: A look that has just found the problem is enough, or a source that says again and again that it is over would keep a
#: server from being healed.
JUST_VERIFIED = timedelta(minutes=1)

_log = structlog.get_logger("exmedic.turn")


async def begin(session: Session, case: Case) -> None:
    """Begin the action of the incident's state, if nothing objects."""
    afresh = _verify_first(session, case)
    verdict = afresh or await objection(session.guards, case, session.here()) or await _prepare(session, case)
    prepared = verdict if isinstance(verdict, Prepared) else None
    if prepared is not None:
        case = await session.case()  # the facts took their time: an approval expires, and another may have escalated
        if session.engine.stands_back(case):
            return  # the next turn ends it
        # The mode comes last, so that what it holds is what would be done.
        asked = modes.objection(session.guards, case, session.here())
        verdict = asked or await at_last(session.guards, case, session.here()) or prepared
    if isinstance(verdict, Hold):
        hold = await causes.noted(session.guards, verdict, session.incident)
        await session.commit(lambda case: _held(session, case, hold, prepared))
    elif isinstance(verdict, Refuse):
        await session.commit(lambda case: session.engine.refuse(case, verdict))
    elif isinstance(verdict, Done):
        await session.over(None, verdict)
    else:
        await _intend(session, case, verdict)


def _verify_first(session: Session, case: Case) -> Hold | None:
    """A hold that looks again first, where somebody said that it is over or what is known is too old; else None."""
    timing = session.settings.timing
    if case.state.action.only_undoes:
        return None
    just_verified = case.verified is not None and case.now - case.verified <= JUST_VERIFIED
    if case.incident.verify_requested and not just_verified:
        reason = "the source of the alert says that it is over"
    elif case.verified is None or case.now - case.verified > timedelta(seconds=timing.verified_age):
        reason = "the last verification is too old"
    elif case.verified < (approved_at(case) or case.verified) <= case.now:
        reason = "it was approved after the last verification"
    else:
        return None
    return Hold(reason=reason, after=timedelta(0), deadline=timedelta(seconds=timing.hold_deadline))


def _scopes(session: Session, case: Case) -> tuple[str, ...]:
    return scopes(session.here(), dag_wide=case.state.action.dag_wide)


async def _prepare(session: Session, case: Case) -> Prepared | Hold | Refuse | Done:
    action = EFFECTS[case.state.action.name]
    step_id = case.step().id
    context = await session.context(case, step_id, case.params())
    needs = await shared_cause.dependencies(session.guards, case, session.here())
    prepared = await action.prepare(replace(context, dependencies=needs))
    if isinstance(prepared, Unready):
        paged = await causes.has_told(session.guards, session.incident)
        return replace(_retry(case, prepared.detail, prepared.if_late), paged=paged)
    if case.state.action.disrupts and not (isinstance(prepared, Hold) and prepared.found):
        await causes.cleared(session.guards, session.incident)
    if isinstance(prepared, Prepared):
        return await beside_others(session.guards, case, session.here(), prepared)
    return prepared


def _retry(case: Case, reason: str, outcome: str, *, verify_afresh: bool = False) -> Hold:
    deadline = case.state.deadline
    return Hold(reason=reason, after=RETRY, deadline=deadline, verify_afresh=verify_afresh, outcome=outcome)


async def _intend(session: Session, case: Case, prepared: Prepared) -> None:
    """Commit the intent, then send. Between the two nothing is awaited but the commit itself."""
    case = replace(case, now=session.clock.now())
    if session.clock.monotonic() - prepared.heard_at > session.settings.timing.facts_age:
        stale = _retry(case, "the facts were too old by the time they were complete", "unknown")
        await session.commit(lambda case: session.engine.hold(case, stale))
        return
    budget = reserved(session.guards, case, session.here(), prepared.others)
    intended = session.engine.intend(case, prepared, _scopes(session, case))
    commit = replace(intended, guards=replace(intended.guards, limits=budget))
    commit = _intended(case, commit)
    try:
        committed = await session.store.commit(commit)
    except Conflict as conflict:
        # The incident moved on, or another one took the claim first: everything is asked afresh.
        _log.info("intent_conflict", incident=case.incident.id, why=str(conflict))
        return
    if committed is None or commit.progress.step is None:
        raise StoreError("the store did not return the incident of an intent")
    session.incident = committed
    call = Call(
        executor=prepared.executor,
        script=prepared.script,
        args=prepared.args,
        step_id=commit.progress.step.id,
        timeout=session.settings.winrm.effect_timeout,
        read_only=False,
    )
    await _sent(session, commit.progress.step, call.script, await session.send(call))


async def _sent(session: Session, step: Step, script: str, reply: Reply) -> None:
    """Understand how sending an effect ended."""
    engine = session.engine
    session.transcript.append(raw(script, step.executor, reply))
    seen = meaning(EFFECTS[step.action], step, script, reply)
    if isinstance(seen, Done):
        await session.over(step, seen)
    elif isinstance(seen, NotTried):
        await session.commit(
            lambda case: engine.withdraw(
                case, step, seen.detail, _retry(case, seen.detail, seen.if_late), may_finish=False
            )
        )
    else:
        await session.commit(lambda case: engine.poll_again(case, step, seen))


async def settle(session: Session, step: Step) -> None:
    """What became of an effect whose answer was lost, or whose sender died?"""
    case = await session.case()
    # `databases` and the like come from the step itself: `produced` has them only once it is done.
    context = await session.context(case, step.id, step.params)
    seen = await EFFECTS[step.action].settle(context, step)
    engine = session.engine
    if isinstance(seen, Done):
        await session.over(step, seen)
    elif isinstance(seen, Withdrawn):
        await session.commit(
            lambda case: engine.withdraw(
                case,
                step,
                seen.detail,
                _retry(case, seen.detail, "unknown", verify_afresh=True),
                may_finish=seen.may_finish,
            )
        )
    elif case.now >= step.deadline_at:
        await session.over(step, Done(outcome="unknown", detail=seen.detail))
    else:
        await session.commit(lambda case: engine.poll_again(case, step, seen))


def _held(session: Session, case: Case, hold: Hold, prepared: Prepared | None) -> Commit:
    """The commit of any hold, without its page where one has told of its cause."""
    commit = _put_on_record(session, case, hold, prepared)
    return causes.unpaged(case, commit) if hold.paged else commit


def _put_on_record(session: Session, case: Case, hold: Hold, prepared: Prepared | None) -> Commit:
    """With the question that a hold asks. `prepared`: how the server was when only the mode was in the way."""
    why = hold.reason
    if hold.question:
        name = case.incident.id
        answers = f"answer with `exmedic approve {name}` or `exmedic decline {name}`"
        hold = replace(hold, reason=f"{why}; {answers}")
    commit = session.engine.hold(case, hold)
    mode = (
        Mode.APPROVE if hold.question else mode_for(session.guards, case, session.here())
    )  # business hours ask in mode auto too
    if prepared is not None and mode is not Mode.AUTO:
        commit = recommendations.recorded(case, commit, mode, prepared.baseline)
    if not hold.question:
        return commit
    return approvals.put(case, hold, commit, why=why, prefix=session.settings.bus.prefix)


def _intended(case: Case, commit: Commit) -> Commit:
    """The commit of an intent: the approval that allowed it, if one did, is used up by it."""
    incident, step = commit.progress.incident, commit.progress.step
    if incident is None or step is None:
        return commit
    done = recommendations.acted(incident, case.incident.state, step.id)
    return replace(commit, progress=replace(commit.progress, incident=used(done)))
