"""The mode of an effect, asked when every other gate allows it, and what follows: a record, and perhaps a question."""

from dataclasses import replace

from daemon import approval, would
from daemon.actions.action import Prepared
from daemon.approval import ANSWER, approved, used
from daemon.case import Case
from daemon.domain.commits import Commit
from daemon.domain.incidents import Incident
from daemon.domain.inventory import Server
from daemon.domain.values import Json
from daemon.domain.verdicts import Hold, Mode, Refuse
from daemon.gates.modes import class_of, may_act, mode_of
from daemon.parts import Parts


async def declined(_parts: Parts, case: Case, _server: Server) -> Refuse | None:
    """An operator said no to what the incident asked."""
    why = approval.declined(case)
    return Refuse(reason=why) if why else None


def mode_for(parts: Parts, case: Case, server: Server) -> Mode:
    """The mode of what a case's state does. Putting back is never observed, and never asked for."""
    action = case.state.action
    if action.name == "undo":
        return Mode.AUTO
    return mode_of(server, class_of(action), parts.settings.safety)


def objection(parts: Parts, case: Case, server: Server) -> Hold | None:
    """What the mode says to an effect that everything else allows."""
    what = case.state.action.summary.format(**case.params())
    return may_act(what, mode_for(parts, case, server), parts.settings.timing, approved=approved(case, case.now))


def held(parts: Parts, case: Case, hold: Hold, server: Server, prepared: Prepared | None) -> Commit:
    """The commit of any hold. `prepared`: how the server was when only the mode was in the way."""
    why = hold.reason
    if hold.question:
        name = case.incident.id
        answers = f"answer with `exmedic approve {name}` or `exmedic decline {name}`"
        hold = replace(hold, reason=f"{why}; {answers}")
    commit = parts.engine.hold(case, hold)
    mode = Mode.APPROVE if hold.question else mode_for(parts, case, server)  # business hours ask in mode auto too
    if prepared is not None and mode is not Mode.AUTO:
        commit = would.recorded(case, commit, mode, prepared.baseline)
    if not hold.question:
        return commit
    return approval.put(case, hold, commit, why=why, prefix=parts.settings.bus.prefix)


def intended(case: Case, commit: Commit) -> Commit:
    """The commit of an intent: the approval that allowed it, if one did, is used up by it."""
    incident, step = commit.incident, commit.step
    if incident is None or step is None:
        return commit
    answer: Json = incident.facts.get(ANSWER, {})
    done: Incident = would.acted(incident, case.incident.state, step.id, answer)
    return replace(commit, incident=used(done))
