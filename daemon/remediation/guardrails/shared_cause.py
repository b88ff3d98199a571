"""One cause behind many incidents: whether a disruptive effect waits for it, or because it is too early to know.

Found out afresh each time, from the incidents themselves: a crash or a restart forgets nothing, and it is over by
itself when enough of them have ended. What holds one incident of a server holds all of them: a restart for one monitor
is no safer than for its neighbour.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from daemon.config.guardrails import SharedCause, Timing
from daemon.domain.causes import CauseKind, Found
from daemon.domain.incidents import Incident
from daemon.domain.inventory import Inventory, Server
from daemon.domain.verdicts import Hold
from daemon.remediation.actions.preconditions.dependencies import dependency
from daemon.remediation.actions.preconditions.facts import Dependency
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.ending import FLAPPING_AFTER, FLAPPING_WITHIN, gone_by_itself
from daemon.remediation.incidents.snapshot import Case
from statemachines.model import Need

_NAMED = 12  #: servers of a cause that a sentence names; of the others it gives the number


def threshold(fleet: int, settings: SharedCause) -> int:
    """On how many of so many servers the same problem is a shared cause; one server alone never is one."""
    # Rounded first: 0.1 of 30 servers is 3.0000000000000004, and not four.
    of_fleet = math.ceil(round(settings.share * fleet, 6))
    return min(settings.servers, max(2, of_fleet))


def pattern(incident: Incident, alike: Iterable[Incident], least: int, within: timedelta) -> tuple[Incident, ...]:
    """The incidents that have a cause in common with one, itself included, oldest first; empty when none have.

    `alike`: the current incidents of its monitor, one for each server. Those that follow one another within the time
    belong together, if anywhere among them `least` were opened within it: who joins late shares the cause as well.
    """
    group: list[Incident] = []
    for each in sorted(alike, key=lambda each: (each.opened_at, each.id)):
        if group and each.opened_at - group[-1].opened_at > within:
            if incident.id in {known.id for known in group}:
                break
            group = []
        group.append(each)
    first_and_last = zip(group, group[least - 1 :], strict=False)
    dense = any(last.opened_at - first.opened_at <= within for first, last in first_and_last)
    return tuple(group) if dense and incident.id in {each.id for each in group} else ()


def shared(
    incident: Incident, alike: Iterable[Incident], inventory: Inventory, settings: SharedCause, timing: Timing
) -> Hold | None:
    """Hold while the same monitor ails on so many servers that one cause is likelier than many."""
    fleet = len(tuple(inventory))
    known = [each for each in alike if inventory.find(each.server) is not None]
    found = pattern(incident, known, threshold(fleet, settings), timedelta(seconds=settings.within))
    if not found:
        return None
    what = f"{incident.monitor or 'no monitor named'} ({incident.health_set})"
    return Hold(
        reason=_in_words(what, found, fleet),
        after=timedelta(seconds=timing.hold_recheck),
        deadline=timedelta(seconds=timing.hold_deadline),
        lets_go=True,
        found=Found(
            kind=CauseKind.MONITOR,
            what=what,
            incidents=tuple(each.id for each in found),
            servers=tuple(each.server for each in found),
        ),
    )


def unsettled(opened_at: datetime, now: datetime, settings: SharedCause, timing: Timing) -> Hold | None:
    """Hold until an incident is so old that a pattern, if there is one, has had the time to show."""
    left = opened_at + timedelta(seconds=settings.settling) - now
    if left <= timedelta(0):
        return None
    reason = f"the incident is {_seconds(now - opened_at)} s old; nothing disruptive before {settings.settling:.0f} s"
    # The clock may have been set back: then it is asked again, and the deadline of every hold ends the wait.
    after = min(left, timedelta(seconds=timing.hold_recheck))
    return Hold(reason=reason, after=after, deadline=timedelta(seconds=timing.hold_deadline), lets_go=True)


def _in_words(what: str, found: Sequence[Incident], fleet: int) -> str:
    number = len(found)
    took = found[-1].opened_at - found[0].opened_at
    minutes = max(1, math.ceil(took / timedelta(minutes=1)))
    names = ", ".join(sorted(each.server for each in found)[:_NAMED])
    more = f" and {number - _NAMED} more" if number > _NAMED else ""
    return (
        f"{what} ails on {number} of {fleet} servers within {minutes} min: {names}{more}; "
        f"one cause for all is more likely than {number}"
    )


def _seconds(age: timedelta) -> int:
    return math.floor(age.total_seconds())


async def held(context: GuardContext, case: Case, _server: Server) -> Hold | None:
    """A hold where a monitor of the server ails on others too, or it is too early to tell; None otherwise."""
    if case.state.action.disrupts is None:
        return None
    if hold := await of_many(context, case.incident):
        return hold
    return unsettled(case.incident.opened_at, case.now, context.settings.shared_cause, context.settings.timing)


async def of_many(context: GuardContext, incident: Incident) -> Hold | None:
    """The hold of a cause that the server of an incident shares with others, unless an operator has freed it."""
    hold = None
    for each in await _with_ladders(context, incident):
        hold = hold or await _found(context, each)
    if hold is None:
        return None
    known = await context.store.causes_of([incident.id])
    freed = any(each.kind is CauseKind.MONITOR and each.frees(incident.id) for each in known)
    return None if freed else hold


async def _found(context: GuardContext, incident: Incident) -> Hold | None:
    """The hold of the cause that an incident shares with others; those that were released from it do not count."""
    settings, timing = context.settings.shared_cause, context.settings.timing
    alike = await context.store.alike(incident.key)
    hold = shared(incident, alike, context.inventory, settings, timing)
    if hold is None or hold.found is None:
        return None
    known = await context.store.causes_of([each.id for each in alike])
    released = [each for each in known if each.same(hold.found.kind, hold.found.what)]
    held = [each for each in alike if not any(cause.frees(each.id) for cause in released)]
    held = [each for each in held if each.id == incident.id or not await _comes_and_goes(context, each)]
    return shared(incident, held, context.inventory, settings, timing)


async def _comes_and_goes(context: GuardContext, incident: Incident) -> bool:
    """Whether its problem was gone by itself too often today, and no look has found it this time: it holds nobody."""
    often = await context.store.transients(incident.key, context.clock.now() - FLAPPING_WITHIN)
    return len(often) >= FLAPPING_AFTER and gone_by_itself(await context.store.steps(incident.id))


async def dependencies(context: GuardContext, case: Case, server: Server) -> tuple[Dependency, ...]:
    """What the ailing monitors of a server depend on, by their runbooks; asked before what disrupts."""
    if case.state.action.disrupts is None:
        return ()
    names: dict[Need, None] = {}
    for incident in await _with_ladders(context, case.incident):
        definition = (await context.ladders.of(incident)).definition
        handled = definition.handled(incident.health_set, incident.monitor)
        names.update(dict.fromkeys(handled.depends_on if handled else ()))
    return tuple([await _dependency(context, case.incident, server, name) for name in names])


async def _dependency(context: GuardContext, incident: Incident, server: Server, name: Need) -> Dependency:
    about = dependency(name, server, context.settings.dependencies)
    for cause in await context.store.causes_of([incident.id]):
        if cause.same(CauseKind.DEPENDENCY, str(about)) and cause.frees(incident.id):
            return Dependency(name=name, noted=f"cause {cause.id} was released by {cause.ended_by}")
    return about


async def _with_ladders(context: GuardContext, incident: Incident) -> list[Incident]:
    """An incident, and the others that hold the keys of its server and have a ladder."""
    others = await context.store.on_server(incident.key.server)
    return [incident, *(each for each in others if each.runbook and each.id != incident.id)]
