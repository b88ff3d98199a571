"""What may hold or refuse an effect without asking its server: the first guard that objects decides.

Undo asks only those of `PUTTING_BACK`: it is exempt from budgets and windows, never from a pause or a quarantine.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from daemon import asking, budget, in_window, shared_cause
from daemon.case import Case
from daemon.domain.inventory import Server, scopes, share
from daemon.domain.verdicts import Hold, Refuse
from daemon.gates.acting import not_paused, not_quarantined
from daemon.parts import Parts

Guard = Callable[[Parts, Case, Server], Awaitable[Hold | Refuse | None]]

RETRY = timedelta(seconds=15)  #: before what provably was not sent, or facts that could not be read, are tried again


async def objection(parts: Parts, case: Case, server: Server) -> Hold | Refuse | None:
    """The first guard that does not let the effect of a case's state through; None when all do."""
    for guard in PUTTING_BACK if case.state.action.name == "undo" else GUARDS:
        verdict = await guard(parts, case, server)
        if verdict is not None:
            return verdict
    return None


async def at_last(parts: Parts, case: Case, server: Server) -> Hold | Refuse | None:
    """What may have changed while the facts were read, asked again just before the intent."""
    return await in_window.at_last(parts, case, server) or await shared_cause.held(parts, case, server)


async def quarantined(parts: Parts, _case: Case, server: Server) -> Refuse | None:
    """A disruptive step on the server is unsettled."""
    return not_quarantined(await parts.store.quarantine(server.name))


async def paused(parts: Parts, case: Case, server: Server) -> Hold | None:
    """The kill switch is on, for everything, its DAG or the server; putting back waits no longer than its state."""
    hold = not_paused(parts.pause.reason(server.name), parts.settings.timing)
    if hold is None or case.state.action.name != "undo":
        return hold
    return replace(hold, after=RETRY, deadline=case.state.deadline)


async def claimed(parts: Parts, case: Case, server: Server) -> Hold | None:
    """Another incident holds what this one needs, or is unsettled on a server that must not go away as well."""
    timing = parts.settings.timing
    why = ""
    for scope in scopes(server, dag_wide=case.state.action.dag_wide):
        holder = await parts.store.claim_holder(scope)
        if holder is not None and holder != case.incident.id:
            why = f"{scope} is claimed by incident {holder}"
    for quarantine in await parts.store.quarantines() if case.state.action.dag_wide else ():
        other = parts.inventory.find(quarantine.server)
        if other is not None and other != server and share(server, other):
            # What is unsettled there may still take it away, and two at once could cost the DAG its quorum.
            why = f"{other.name}, of the same DAG or site, is quarantined"
    after = timedelta(seconds=min(60.0, timing.hold_recheck))
    deadline = timedelta(seconds=timing.hold_deadline)
    return Hold(reason=why, after=after, deadline=deadline, lets_go=True) if why else None


GUARDS: tuple[Guard, ...] = (
    quarantined,
    asking.declined,
    paused,
    in_window.held,
    shared_cause.held,
    budget.spent,
    claimed,
)
PUTTING_BACK: tuple[Guard, ...] = (quarantined, paused, claimed)
