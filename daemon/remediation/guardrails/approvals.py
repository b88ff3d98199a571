"""What an incident asks of an operator before it acts, and what he answered. Pure.

Question and answer are part of the incident, so they are committed together with what they are about: an approval for
a state that has just been left conflicts, and an intent that uses one ends it in the same commit.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from daemon.domain.audit import AuditKind
from daemon.domain.commits import Commit, Progress, Told
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.inventory import Server
from daemon.domain.kept import Approval, Question
from daemon.domain.values import Json, timestamp
from daemon.domain.verdicts import Hold, Refuse
from daemon.outgoing.messages import Asking, event_message, question_message
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.snapshot import Case, about
from statemachines.table import RECHECK


def approved(case: Case, now: datetime) -> bool:
    """Whether an operator has approved what the incident's present state does, and the approval has not expired."""
    given = case.incident.approval
    return given is not None and given.approved and given.state == _state(case.incident) and now < given.expires


def approved_at(case: Case) -> datetime | None:
    """When the present state was approved; None when it is not."""
    given = case.incident.approval
    return given.at if given is not None and approved(case, case.now) else None


def why_declined(case: Case) -> str:
    """Why an operator wants the present state not to act; empty when none has said so."""
    given = case.incident.approval
    if given is None or given.approved or given.state != _state(case.incident):
        return ""
    return f"declined by {given.by}: {given.why}"


def used(incident: Incident) -> Incident:
    """The incident once an intent has used the approval up: the next effect, and the same one again, asks anew."""
    return replace(incident, question=None, approval=None)


def put(case: Case, hold: Hold, held: Commit, *, why: str, prefix: str) -> Commit:
    """The commit of a hold, with the question that it asks: a page for each question, not for each look.

    `case` is the incident before it, `why` says for the page what makes it ask. A hold that has lasted too long asks
    nothing any more: it escalates.
    """
    incident, before = held.progress.incident, case.incident
    if incident is None or incident.waiting_for != hold.reason:
        return held
    if approved(case, case.now):  # the operator was quicker than this commit
        return replace(held, progress=replace(held.progress, incident=replace(incident, due_at=case.now)))
    fresh = Question(state=_state(before), what=hold.question, since=case.now)
    asked, note = before.question, _expired(before, fresh.state)
    if asked is not None and (asked.state, asked.what) == (fresh.state, fresh.what) and not note:
        return held
    incident = replace(used(incident), question=fresh)
    until = (incident.held_since or case.now) + hold.deadline
    told = Asking(incident=incident, question=fresh, why=why, note=note)
    entry = case.entry(AuditKind.DECISION, f"asks for approval to {fresh.what}", {"asks": fresh.state})
    event = {"event": "asked", "state": fresh.state, "what": fresh.what, "until": timestamp(until)}
    messages = (event_message(prefix, incident, case.now, event), question_message(told, until))
    return replace(
        held,
        progress=replace(held.progress, incident=incident),
        told=held.told.then(entry, outgoing=messages),
    )


def _expired(incident: Incident, state: str) -> str:
    """What to tell of an approval of the state that was not used in time; empty when there is none."""
    late = incident.approval
    if late is None or not late.approved or late.state != state:
        return ""
    return f"the approval of {late.by} expired unused at {late.expires:%H:%M} UTC"


def approve(incident: Incident, answer: Json, now: datetime, lasts: timedelta) -> Commit:
    """An operator approves what the incident asks. `answer`: by, why, and the state he means (empty: the present one).

    Raises:
        OperatorError: it asks nothing, or it has moved on from what was meant.
    """
    asked = question(incident, str(answer.get("state", "")))
    given = incident.approval
    if given is not None and given.state == asked.state:
        if not given.approved:
            raise OperatorError(f"{given.by} has declined it already; incident {incident.id} escalates")
        if now < given.expires:
            until = f"{given.expires:%H:%M} UTC"
            raise OperatorError(f"{given.by} has approved it already, until {until}; nothing was changed")
    return _answered(incident, answer, asked, now, now + lasts)


def decline(incident: Incident, answer: Json, now: datetime) -> Commit:
    """An operator wants it not done: the incident escalates. The arguments are those of `approve`.

    Raises:
        OperatorError: it asks nothing, or it has moved on from what was meant.
    """
    return _answered(incident, answer, question(incident, str(answer.get("state", ""))), now, None)


def _answered(incident: Incident, answer: Json, asked: Question, now: datetime, expires: datetime | None) -> Commit:
    by, why = str(answer["by"]), str(answer.get("why") or "no reason given")
    verdict = "declines" if expires is None else "approves"
    given = Approval(
        approved=expires is not None,
        state=asked.state,
        what=asked.what,
        by=by,
        why=why,
        at=now,
        expires=expires or now,
    )
    fresh = replace(incident, due_at=now, approval=given)
    fields = {"user": by, verdict: asked.state, "why": why, "expires": timestamp(given.expires)}
    until = "" if expires is None else f", until {expires:%Y-%m-%d %H:%M} UTC"
    entry = about(AuditKind.DECISION, incident, now, f"{by} {verdict} to {asked.what}{until}: {why}", fields)
    return Commit(at=now, progress=Progress(incident=fresh), told=Told(audit=(entry,)))


def question(incident: Incident, state: str) -> Question:
    """What an incident asks now. `state` is the one that an operator means; empty: whichever it is.

    Raises:
        OperatorError: it asks nothing, or it has moved on from what was meant.
    """
    if incident.status is not IncidentStatus.OPEN:
        raise OperatorError(f"incident {incident.id} is {incident.status.value} and asks nothing any more")
    if incident.close_by:
        raise OperatorError(f"incident {incident.id} is being closed by {incident.close_by} and asks nothing any more")
    asked = incident.question
    if asked is None:
        raise OperatorError(f"incident {incident.id} asks nothing now: it is in {incident.state}")
    if asked.state != _state(incident):
        raise OperatorError(f"incident {incident.id} has moved on from {asked.state} to {incident.state}")
    if state not in ("", asked.state):
        raise OperatorError(
            f"incident {incident.id} does not ask about {state}: it asks for approval to {asked.what}, "
            f"--state {asked.state}; see `exmedic show {incident.id}`, then answer that"
        )
    return asked


def _state(incident: Incident) -> str:
    """The state that acts; while it waits, it is verified afresh beside it."""
    return incident.state.removesuffix(RECHECK)


async def declined(_context: GuardContext, case: Case, _server: Server) -> Refuse | None:
    """A refusal once an operator said no to what the incident asked; None when nobody did."""
    why = why_declined(case)
    return Refuse(reason=why) if why else None
