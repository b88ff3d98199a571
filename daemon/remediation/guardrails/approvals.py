"""What an incident asks of an operator before it acts, and what he answered. Pure.

Question and answer are among the incident's facts, so they are committed together with the incident they are about:
an approval for a state that has just been left conflicts, and an intent that uses one ends it in the same commit.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from daemon.domain.audit import AuditKind
from daemon.domain.commits import Commit
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.inventory import Server
from daemon.domain.values import Json, moment, timestamp
from daemon.domain.verdicts import Hold, Refuse
from daemon.outgoing.messages import Question, event_message, question_message
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.snapshot import Case, about
from statemachines.table import RECHECK

ASKED = ".asked"  #: among an incident's facts, where no state can be called so: what it asks, in which state


ANSWER = ".approval"  #: what an operator answered to it


def approved(case: Case, now: datetime) -> bool:
    """Whether an operator has approved what the incident's present state does, and the approval has not expired."""
    given = case.incident.facts.get(ANSWER, {})
    return (
        bool(given.get("approved")) and given["state"] == _state(case.incident) and now < moment(str(given["expires"]))
    )


def approved_at(case: Case) -> datetime | None:
    """When the present state was approved; None when it is not."""
    return moment(str(case.incident.facts[ANSWER]["at"])) if approved(case, case.now) else None


def why_declined(case: Case) -> str:
    """Why an operator wants the present state not to act; empty when none has said so."""
    given = case.incident.facts.get(ANSWER, {})
    if given.get("approved", True) or given["state"] != _state(case.incident):
        return ""
    return f"declined by {given['by']}: {given['why']}"


def used(incident: Incident) -> Incident:
    """The incident once an intent has used the approval up: the next effect, and the same one again, asks anew."""
    return replace(incident, facts={name: fact for name, fact in incident.facts.items() if name not in (ASKED, ANSWER)})


def put(case: Case, hold: Hold, held: Commit, *, why: str, prefix: str) -> Commit:
    """The commit of a hold, with the question that it asks: a page for each question, not for each look.

    `case` is the incident before it, `why` says for the page what makes it ask. A hold that has lasted too long asks
    nothing any more: it escalates.
    """
    incident, before = held.incident, case.incident
    if incident is None or incident.waiting_for != hold.reason:
        return held
    if approved(case, case.now):  # the operator was quicker than this commit
        return replace(held, incident=replace(incident, due_at=case.now))
    question: Json = {"state": _state(before), "what": hold.question, "since": timestamp(case.now)}
    asked, late = before.facts.get(ASKED, {}), before.facts.get(ANSWER, {})
    expired = bool(late.get("approved")) and late["state"] == question["state"]
    if (asked.get("state"), asked.get("what")) == (question["state"], hold.question) and not expired:
        return held
    incident = used(incident)
    incident = replace(incident, facts={**incident.facts, ASKED: question})
    note = f"the approval of {late['by']} expired unused at {moment(str(late['expires'])):%H:%M} UTC" if expired else ""
    until = (incident.held_since or case.now) + hold.deadline
    told = Question(incident=incident, state=question["state"], what=hold.question, why=why, note=note)
    entry = case.entry(AuditKind.DECISION, f"asks for approval to {hold.question}", {"asks": question["state"]})
    event = {"event": "asked", "state": question["state"], "what": hold.question, "until": timestamp(until)}
    messages = (event_message(prefix, incident, case.now, event), question_message(told, until))
    return replace(held, incident=incident, audit=(*held.audit, entry), outgoing=(*held.outgoing, *messages))


def approve(incident: Incident, answer: Json, now: datetime, lasts: timedelta) -> Commit:
    """An operator approves what the incident asks. `answer`: by, why, and the state he means (empty: the present one).

    Raises:
        OperatorError: it asks nothing, or it has moved on from what was meant.
    """
    asked = _question(incident, str(answer.get("state", "")))
    given = incident.facts.get(ANSWER, {})
    given = given if given.get("state") == asked["state"] else {}
    if given and not given["approved"]:
        raise OperatorError(f"{given['by']} has declined it already; incident {incident.id} escalates")
    if given and now < moment(str(given["expires"])):
        until = moment(str(given["expires"]))
        raise OperatorError(f"{given['by']} has approved it already, until {until:%H:%M} UTC; nothing was changed")
    return _answered(incident, answer, asked, now, now + lasts)


def decline(incident: Incident, answer: Json, now: datetime) -> Commit:
    """An operator wants it not done: the incident escalates. The arguments are those of `approve`.

    Raises:
        OperatorError: it asks nothing, or it has moved on from what was meant.
    """
    return _answered(incident, answer, _question(incident, str(answer.get("state", ""))), now, None)


def _answered(incident: Incident, answer: Json, asked: Json, now: datetime, expires: datetime | None) -> Commit:
    by, why = str(answer["by"]), str(answer.get("why") or "no reason given")
    verdict = "declines" if expires is None else "approves"
    given: Json = {
        "approved": expires is not None,
        "state": asked["state"],
        "what": asked["what"],
        "by": by,
        "why": why,
        "at": timestamp(now),
        "expires": timestamp(expires or now),
    }
    fresh = replace(incident, due_at=now, facts={**incident.facts, ANSWER: given})
    fields = {"user": by, verdict: asked["state"], "why": why, "expires": given["expires"]}
    until = "" if expires is None else f", until {expires:%Y-%m-%d %H:%M} UTC"
    entry = about(AuditKind.DECISION, incident, now, f"{by} {verdict} to {asked['what']}{until}: {why}", fields)
    return Commit(at=now, incident=fresh, audit=(entry,))


def _question(incident: Incident, state: str) -> Json:
    """What an incident asks now."""
    if incident.status is not IncidentStatus.OPEN:
        raise OperatorError(f"incident {incident.id} is {incident.status.value} and asks nothing any more")
    if incident.close_by:
        raise OperatorError(f"incident {incident.id} is being closed by {incident.close_by} and asks nothing any more")
    asked = incident.facts.get(ASKED, {})
    if not asked:
        raise OperatorError(f"incident {incident.id} asks nothing now: it is in {incident.state}")
    if asked["state"] != _state(incident):
        raise OperatorError(f"incident {incident.id} has moved on from {asked['state']} to {incident.state}")
    if state not in ("", asked["state"]):
        raise OperatorError(
            f"incident {incident.id} does not ask about {state}: it asks for approval to {asked['what']}, "
            f"--state {asked['state']}; see `exmedic show {incident.id}`, then answer that"
        )
    return asked


def _state(incident: Incident) -> str:
    """The state that acts; while it waits, it is verified afresh beside it."""
    return incident.state.removesuffix(RECHECK)


async def declined(_context: GuardContext, case: Case, _server: Server) -> Refuse | None:
    """A refusal once an operator said no to what the incident asked; None when nobody did."""
    why = why_declined(case)
    return Refuse(reason=why) if why else None
