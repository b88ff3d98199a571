"""What goes out on the bus and to humans. The outbox adds `seq`, the message's own number, to each bus message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.causes import Cause, CauseKind
from daemon.domain.commits import Channel, Outgoing, PageKind
from daemon.domain.incidents import Incident, Step, UndoItem
from daemon.domain.kept import Question
from daemon.domain.ledger import Mismatch
from daemon.domain.pauses import Standing
from daemon.domain.values import Json, timestamp


def state_message(prefix: str, incident: Incident) -> Outgoing:
    """An incident's latest state, retained on `<prefix>/incidents/<id>`."""
    body = {
        "incident": incident.id,
        "server": incident.server,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        "status": incident.status.value,
        "state": incident.state,
        "waiting_for": incident.waiting_for,
        "due_at": None if incident.due_at is None else timestamp(incident.due_at),
        "opened_at": timestamp(incident.opened_at),
        "ended_at": None if incident.ended_at is None else timestamp(incident.ended_at),
        "reason": incident.reason,
        "latched": incident.latched,
    }
    return Outgoing(channel=Channel.BUS, topic=f"{prefix}/incidents/{incident.id}", body=body, retain=True)


def event_message(prefix: str, incident: Incident, now: datetime, event: Json) -> Outgoing:
    """One transition, on `<prefix>/events`."""
    body = {
        "at": timestamp(now),
        "incident": incident.id,
        "server": incident.server,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        **event,
    }
    return Outgoing(channel=Channel.BUS, topic=f"{prefix}/events", body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A question of an incident, and why it asks. `note`: about an earlier answer."""

    incident: Incident
    question: Question
    why: str
    note: str = ""


def question_message(asking: Asking, until: datetime) -> Outgoing:
    """A question, as text to the notification channels. Nobody can answer it over the bus."""
    incident, name, question = asking.incident, asking.incident.id, asking.question
    lines = [
        f"exmedic asks for your approval to {question.what} on {incident.server}.",
        f"Why: {incident.monitor or incident.health_set} ({incident.health_set}) is unhealthy; {asking.why}",
        f"Since: {incident.opened_at:%Y-%m-%d %H:%M} UTC, incident {name}",
        *([f"Note: {asking.note}"] if asking.note else []),
        f"Unanswered: at the latest at {until:%Y-%m-%d %H:%M} UTC it escalates; healthy by itself, it ends",
        "",
        "Next:",
        f"  exmedic show {name}",
        f"  exmedic approve {name} --state {question.state}   # it verifies afresh, asks all gates again, then acts",
        f"  exmedic decline {name} --state {question.state}   # nothing is done, it escalates",
    ]
    title = f"exmedic: {incident.server} asks for approval to {question.what}"
    return _page(PageKind.QUESTION, title, "\n".join(lines), name)


def _page(kind: PageKind, title: str, text: str, incident: str = "") -> Outgoing:
    """A message to the notification channels, about an incident or about none."""
    body = {"kind": kind.value, "text": text, "incident": incident}
    return Outgoing(channel=Channel.NOTIFY, topic=title, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What an escalation tells. `left`: what is still changed, with the command that puts it back."""

    incident: Incident
    source: str = ""  #: the page's section
    steps: Sequence[Step] = ()
    left: Sequence[tuple[UndoItem, str]] = ()
    ends: Sequence[Incident] = ()  #: what else is open on its server, and ends with it without a page
    quarantined: bool = False


def escalation_text(story: Story) -> str:
    """The story in five lines, then each step with its evidence, then what to do next."""
    incident = story.incident
    tried = ", ".join(f"{step.action} {step.outcome}" for step in story.steps) or "nothing"
    changed = ", ".join(f"{item.setting} on {item.server}" for item, _ in story.left) or "nothing"
    lines = [
        f"{incident.monitor or incident.health_set} ({incident.health_set}) on {incident.server} {_needs(incident)}.",
        f"Why: {incident.reason}",
        f"Since: {incident.opened_at:%Y-%m-%d %H:%M} UTC, incident {incident.id}",
        f"Tried: {tried}",
        f"Left changed: {changed}",
        *(f"Ends with it: {each.monitor or each.health_set}, incident {each.id}" for each in story.ends),
        "",
    ]
    lines += [
        f"{step.started_at:%H:%M:%S} {step.state}: {step.action} -> {step.outcome or step.status.value}: {step.detail}"
        for step in story.steps
    ]
    lines += ["", "Next:", *(f"  {line}" for line in _next(story))]
    if story.source:
        lines.append(f"Page: {story.source}")
    return "\n".join(lines)


def _needs(incident: Incident) -> str:
    """What becomes of an escalated incident, as the page and its title say it."""
    if incident.taken is None:
        return "needs a human"
    return "is with somebody already: exmedic only looks"


def _next(story: Story) -> list[str]:
    """The commands that an engineer probably wants, the most urgent first."""
    server, name = story.incident.server, story.incident.id
    lines = [f"Get-ServerHealth {server} | ?{{$_.HealthSetName -like 'POP*'}}"]
    for item, command in story.left:
        lines += [f"{command}   # {item.setting}: {item.reason}", f"exmedic undo {name}   # does the same, on record"]
    if story.quarantined:
        lines.append(f"exmedic release {server}   # once you have looked at it; until then nothing is done to it")
    lines.append(f"exmedic show {name}")
    if story.incident.latched:
        lines.append(f"exmedic close {name}   # when you are done; until then no ladder starts")
    elif story.incident.taken is not None:
        lines.append("set the alert back to New, without an Owner   # and exmedic takes it up again")
    return lines


def escalation_messages(prefix: str, story: Story, now: datetime) -> tuple[Outgoing, Outgoing]:
    """An escalation: with the raw answers on `<prefix>/escalations`, as text to the notification channels."""
    incident, text = story.incident, escalation_text(story)
    body = {
        "at": timestamp(now),
        "incident": incident.id,
        "server": incident.server,
        "health_set": incident.health_set,
        "monitor": incident.monitor,
        "reason": incident.reason,
        "page": story.source,
        "steps": [_told(step) for step in story.steps],
        "left_changed": [
            {"setting": item.setting, "server": item.server, "reason": item.reason, "put_back_with": command}
            for item, command in story.left
        ],
        "quarantined": story.quarantined,
        "text": text,
    }
    title = f"exmedic: {incident.monitor or incident.health_set} on {incident.server} {_needs(incident)}"
    return (
        Outgoing(channel=Channel.BUS, topic=f"{prefix}/escalations", body=body),
        _page(PageKind.TROUBLE, title, text, incident.id),
    )


def _told(step: Step) -> Json:
    return {
        "step": step.id,
        "state": step.state,
        "action": step.action,
        "executor": step.executor,
        "outcome": step.outcome,
        "detail": step.detail,
        "started_at": timestamp(step.started_at),
        "ended_at": None if step.ended_at is None else timestamp(step.ended_at),
        "raw": step.memo.get("raw", []),
    }


_MOST_PAUSES = 10  #: that a page names

_LEDGER_NEXT = (
    "exmedic status   # all figures as they are now",
    "exmedic audit verify   # is the audit trail whole?",
    "journalctl -t exmedic -p warning   # what went wrong before",
)


def storm_messages(prefix: str, reason: str, now: datetime) -> tuple[Outgoing, Outgoing]:
    """One page for a whole storm, to the same places as an escalation; it belongs to no incident."""
    lines = [
        "More monitors fall ill at once than exmedic opens incidents for.",
        f"- {reason}",
        "The rest is counted and stored, and verified as soon as there is room. No other page comes of it.",
        "",
        "Next:",
        "  look for what they have in common: network, Active Directory, storage, a change",
        "  exmedic status     how many monitors wait",
        "  exmedic incidents  what was opened",
    ]
    text = "\n".join(lines)
    return _of_no_incident(prefix, now, "exmedic: a storm of alerts", reason, text)


def cause_messages(prefix: str, cause: Cause, why: str, now: datetime) -> tuple[Outgoing, Outgoing]:
    """One page for all incidents of a shared cause, to the same places as an escalation; it belongs to none of them."""
    what, ends, first = _about(cause)
    lines = [
        f"{what}. Nothing is restarted, moved or rebooted there meanwhile.",
        f"Why: {why}",
        f"Since: {cause.since:%Y-%m-%d %H:%M} UTC, cause {cause.id}",
        *(f"- {server}" for server in cause.servers),
        f"You are told again when the servers have doubled, not for each of these. It ends by itself {ends};",
        "what is named here and still ill after the longest hold escalates without another page.",
        "",
        "Next:",
        f"  {first}",
        "  exmedic status",
        f"  exmedic release {cause.id}   # treat each server by itself after all, for these incidents",
    ]
    text = "\n".join(lines)
    about = {"cause": cause.id, "servers": list(cause.servers)}
    return _of_no_incident(prefix, now, f"exmedic: {what}", why, text, about=about)


def _about(cause: Cause) -> tuple[str, str, str]:
    """What a cause is, when it ends by itself, and what a human does first."""
    number = len(cause.servers)
    if cause.kind is CauseKind.MONITOR:
        common = "look for what they have in common: network, Active Directory, storage, a change"
        return f"{cause.what} ails on {number} servers at once", "when too few are left", common
    where = cause.servers[0] if number == 1 else f"{number} servers"
    mend = "mend that first; what depends on it goes on by itself"
    return f"{cause.what} is not healthy on {where}, and what ails there depends on it", "once it is healthy", mend


def ledger_messages(prefix: str, mismatches: Sequence[Mismatch], now: datetime) -> tuple[Outgoing, Outgoing]:
    """An escalation about the ledger, to the same places as one about an incident; it belongs to none."""
    lines = [
        "The ledger of exmedic does not balance.",
        "An alert or an incident was lost, or the store was changed by something else.",
        *(f"- {each.text}" for each in mismatches),
        "",
        "Next:",
        *(f"  {line}" for line in _LEDGER_NEXT),
        "exmedic goes on meanwhile. It tells you again when one of these differences has doubled.",
    ]
    reason = "; ".join(each.text for each in mismatches)
    figures = {each.name: {"counted": each.counted, "found": each.found} for each in mismatches}
    text = "\n".join(lines)
    return _of_no_incident(prefix, now, "exmedic: the ledger does not balance", reason, text, about={"ledger": figures})


def older_store_messages(prefix: str, reason: str, now: datetime) -> tuple[Outgoing, Outgoing]:
    """An escalation about a store that is older than its journal."""
    next_step = "see docs/how-to/back-up-and-upgrade.md, Restore a backup. `exmedic resume` ends the pause."
    text = f"{reason}\n\nNext: {next_step}"
    return _of_no_incident(prefix, now, "exmedic: paused, its store is older", reason, text)


def logon_messages(prefix: str, reason: str, now: datetime) -> tuple[Outgoing, Outgoing]:
    """One page for a refused password, to the same places as an escalation; it belongs to no incident."""
    lines = [
        "A password was refused, and Active Directory locks an account after a few refused logons.",
        f"- {reason}",
        "Until then whatever needs it is unreachable, and escalates at its deadline. Then it is tried once more.",
        "No other page comes of it until a logon has been accepted.",
        "",
        "Next:",
        "  see whether the account is locked, disabled or expired, or has another password",
        "  exmedic status                  whether it rests, and until when",
        "  exmedic doctor --server SERVER  whether the password is right now; a wrong one costs a logon",
    ]
    text = "\n".join(lines)
    return _of_no_incident(prefix, now, "exmedic: a password was refused", reason, text)


def pause_messages(prefix: str, pauses: Sequence[Standing], now: datetime) -> tuple[Outgoing, Outgoing]:
    """One page that reminds of pauses which stand for long, to the same places as an escalation."""
    standing = [
        f"- {each.scope or 'everything'} since {each.since:%Y-%m-%d %H:%M} UTC, {each.why}"
        + (f", until {each.terms.until:%Y-%m-%d %H:%M} UTC" if each.terms.until else "")
        for each in pauses
    ]
    lines = [
        "Paused for hours: nothing is done on what is named here, and what fails there only escalates.",
        *standing[:_MOST_PAUSES],
        *([f"- and {len(standing) - _MOST_PAUSES} more"] if len(standing) > _MOST_PAUSES else []),
        "",
        "Next:",
        "  exmedic status  what is paused, since when and by whom",
        "  exmedic resume  ends the pause of everything; with --server or --dag, that of a part",
    ]
    text = "\n".join(lines)
    return _of_no_incident(prefix, now, "exmedic: is still paused", standing[0][2:], text)


def session_messages(prefix: str, reason: str, now: datetime) -> tuple[Outgoing, Outgoing]:
    """One page for a session that the broker forgot, to the same places as an escalation; it belongs to no incident."""
    lines = [
        "Alerts may be lost.",
        f"- {reason}",
        "It was restarted without its files, the session expired, or somebody deleted it. No other page comes of it.",
        "",
        "Next:",
        "  look in SCOM for alerts that were raised while exmedic was not connected",
        "  see that the broker is persistent (docs/install.md, The broker), and how long session_expiry of [bus] is",
        "  journalctl -t exmedic | grep bus_   # since when it was not connected",
    ]
    text = "\n".join(lines)
    return _of_no_incident(prefix, now, "exmedic: the broker has forgotten its session", reason, text)


def _of_no_incident(
    prefix: str, now: datetime, title: str, reason: str, text: str, *, about: Json | None = None
) -> tuple[Outgoing, Outgoing]:
    """An escalation on the bus that belongs to no incident, and its page. `about`: fields of the first beside these."""
    body = {"at": timestamp(now), "incident": "", "reason": reason, "text": text, **(about or {})}
    return (
        Outgoing(channel=Channel.BUS, topic=f"{prefix}/escalations", body=body),
        _page(PageKind.TROUBLE, title, text),
    )
