"""What an incident keeps, as the JSON of its column `facts`, and back.

What states produced is there by the name of the state, what else it keeps under keys that no state can have.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from daemon.domain.incidents import Incident
from daemon.domain.kept import Approval, CarriedOut, LastLook, OrderedUndo, Question, Recommendation, Running, Taken
from daemon.domain.values import Json, moment, timestamp
from daemon.domain.verdicts import Mode

Facts = Mapping[str, Mapping[str, Any]]

_QUESTION, _APPROVAL = ".asked", ".approval"
_RECOMMENDED, _LAST_LOOK = ".would", ".look"
_WATCHED, _JOINED, _ORDERED_UNDO, _TAKEN = ".watched", ".joined", "ordered undo", ".taken"
_TOLD, _ENDS_OTHERS = ".told", ".ends others"
_KEPT = frozenset({
    *(_QUESTION, _APPROVAL, _RECOMMENDED, _LAST_LOOK, _WATCHED, _JOINED, _ORDERED_UNDO, _TAKEN, _TOLD, _ENDS_OTHERS),
})  # fmt: skip


def facts(incident: Incident) -> Facts:
    """All that an incident keeps, as one JSON object; what it does not keep has no key."""
    found: dict[str, Json] = dict(incident.produced)
    if incident.question is not None:
        asked = incident.question
        found[_QUESTION] = {"state": asked.state, "what": asked.what, "since": timestamp(asked.since)}
    if incident.approval is not None:
        found[_APPROVAL] = _approval_json(incident.approval)
    if incident.recommended:
        found[_RECOMMENDED] = {would.state: _recommendation_json(would) for would in incident.recommended}
    if incident.last_look is not None:
        found[_LAST_LOOK] = _look_json(incident.last_look)
    if incident.watched is not None:
        found[_WATCHED] = incident.watched
    if incident.joined:
        found[_JOINED] = {"count": incident.joined}
    if incident.ordered_undo is not None:
        found[_ORDERED_UNDO] = {"latched": incident.ordered_undo.latched}
    return found | _with_humans(incident)


def _with_humans(incident: Incident) -> dict[str, Json]:
    """What it keeps of who has it, or was told of it."""
    found: dict[str, Json] = {}
    if incident.taken is not None:
        found[_TAKEN] = {"why": incident.taken.why, "alert": incident.taken.alert}
    if incident.told_by:
        found[_TOLD] = {"by": incident.told_by}
    if incident.ends_others:
        found[_ENDS_OTHERS] = {}
    return found


def produced(stored: Facts) -> Mapping[str, Json]:
    """What states produced, by state."""
    return {name: fact for name, fact in stored.items() if name not in _KEPT}


def question(stored: Facts) -> Question | None:
    """What it asks; None when it asks nothing."""
    asked = stored.get(_QUESTION)
    if asked is None:
        return None
    return Question(state=asked["state"], what=asked["what"], since=moment(asked["since"]))


def approval(stored: Facts) -> Approval | None:
    """What an operator answered; None when nobody has."""
    given = stored.get(_APPROVAL)
    if given is None:
        return None
    return Approval(**{**given, "at": moment(given["at"]), "expires": moment(given["expires"])})


def recommended(stored: Facts) -> tuple[Recommendation, ...]:
    """What modes kept from being done, by the name of the state; empty when nothing was."""
    return tuple(_recommendation(state, would) for state, would in sorted(stored.get(_RECOMMENDED, {}).items()))


def last_look(stored: Facts) -> LastLook | None:
    """How the server was once it was healthy again; None when nobody looked."""
    look = stored.get(_LAST_LOOK)
    if look is None:
        return None
    services = look.get("services")
    return LastLook(
        at=moment(look["at"]),
        boot_time=_then(look.get("boot_time")),
        services=None if services is None else tuple(Running(service=n, since=_then(services[n])) for n in services),
        active=None if "active" not in look else tuple(look["active"]),
    )


def watched(stored: Facts) -> Json | None:
    """What the next look at a latched one must know; None before the first look, empty after one that decided."""
    return stored.get(_WATCHED)


def joined(stored: Facts) -> int:
    """How many alerts joined it."""
    return int(stored.get(_JOINED, {}).get("count", 0))


def ordered_undo(stored: Facts) -> OrderedUndo | None:
    """How it stood when an operator ordered to put back what it left; None when nobody has."""
    ordered = stored.get(_ORDERED_UNDO)
    return None if ordered is None else OrderedUndo(ordered["latched"])


def taken(stored: Facts) -> Taken | None:
    """Who has it already; None where nobody is known to."""
    found = stored.get(_TAKEN)
    return None if found is None else Taken(found["why"], found["alert"])


def told_by(stored: Facts) -> str:
    """The incident whose notification tells of it; empty where it has its own, or none is due."""
    return str(stored.get(_TOLD, {}).get("by", ""))


def ends_others(stored: Facts) -> bool:
    """Whether other incidents of its server end with it."""
    return _ENDS_OTHERS in stored


def _approval_json(given: Approval) -> Json:
    return {
        "approved": given.approved,
        "state": given.state,
        "what": given.what,
        "by": given.by,
        "why": given.why,
        "at": timestamp(given.at),
        "expires": timestamp(given.expires),
    }


def _recommendation_json(would: Recommendation) -> Json:
    told: dict[str, Any] = {
        "action": would.action,
        "class": would.action_class,
        "what": would.what,
        "service": would.service,
        "mode": would.mode.value,
        "first": timestamp(would.first),
        "baseline": would.baseline,
    }
    done = would.carried_out
    if done is not None:
        told["approval"] = {"step": done.step, "by": done.by, "at": timestamp(done.at)}
    return told


def _recommendation(state: str, would: Json) -> Recommendation:
    done = would.get("approval")
    return Recommendation(
        state=state,
        action=would["action"],
        action_class=would["class"],
        what=would["what"],
        service=would["service"],
        mode=Mode(would["mode"]),
        first=moment(would["first"]),
        baseline=would["baseline"],
        carried_out=None if done is None else CarriedOut(step=done["step"], by=done["by"], at=moment(done["at"])),
    )


def _look_json(look: LastLook) -> Json:
    told: dict[str, Any] = {"at": timestamp(look.at)}
    if look.boot_time is not None:
        told["boot_time"] = timestamp(look.boot_time)
    if look.services is not None:
        told["services"] = {one.service: one.since and timestamp(one.since) for one in look.services}
    if look.active is not None:
        told["active"] = list(look.active)
    return told


def _then(value: str | None) -> datetime | None:
    return None if value is None else moment(value)
