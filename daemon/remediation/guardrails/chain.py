"""What may hold or refuse an effect without asking its server: the first guard that objects decides.

Undo asks only those of `PUTTING_BACK`: it is exempt from budgets and windows, never from a pause or a quarantine.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from daemon.config.guardrails import Timing
from daemon.domain.incidents import Quarantine
from daemon.domain.inventory import Server, scopes, share
from daemon.domain.verdicts import Hold, Refuse
from daemon.remediation.guardrails import approvals, budgets, shared_cause, windows
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.snapshot import Case

Guard = Callable[[GuardContext, Case, Server], Awaitable[Hold | Refuse | None]]


RETRY = timedelta(seconds=15)  #: before what provably was not sent, or facts that could not be read, are tried again


async def objection(context: GuardContext, case: Case, server: Server) -> Hold | Refuse | None:
    """The first guard that does not let the effect of a case's state through; None when all do."""
    for guard in PUTTING_BACK if case.state.action.only_undoes else GUARDS:
        verdict = await guard(context, case, server)
        if verdict is not None:
            return verdict
    return None


async def at_last(context: GuardContext, case: Case, server: Server) -> Hold | Refuse | None:
    """The objection of what may have changed while the facts were read, just before the intent; None when none does."""
    return await windows.at_last(context, case, server) or await shared_cause.held(context, case, server)


async def quarantined(context: GuardContext, _case: Case, server: Server) -> Refuse | None:
    """A refusal while a disruptive step on the server is unsettled; None when none is."""
    return not_quarantined(await context.store.quarantine(server.name))


async def paused(context: GuardContext, case: Case, server: Server) -> Hold | None:
    """A hold while everything, the DAG or the server is paused, else None; putting back waits as long as its state."""
    hold = not_paused(context.pause.reason(server.name), context.settings.timing)
    if hold is None or not case.state.action.puts_back:
        return hold
    return replace(hold, after=RETRY, deadline=case.state.deadline)


async def claimed(context: GuardContext, case: Case, server: Server) -> Hold | None:
    """A hold while another incident has what this one needs, or is unsettled on a server that must not go as well."""
    timing = context.settings.timing
    why = ""
    for scope in scopes(server, dag_wide=case.state.action.dag_wide):
        holder = await context.store.claim_holder(scope)
        if holder is not None and holder != case.incident.id:
            why = f"{scope} is claimed by incident {holder}"
    for quarantine in await context.store.quarantines() if case.state.action.dag_wide else ():
        other = context.inventory.find(quarantine.server)
        if other is not None and other != server and share(server, other):
            # What is unsettled there may still take it away, and two at once could cost the DAG its quorum.
            why = f"{other.name}, of the same DAG or site, is quarantined"
    after = timedelta(seconds=min(60.0, timing.hold_recheck))
    deadline = timedelta(seconds=timing.hold_deadline)
    return Hold(reason=why, after=after, deadline=deadline, lets_go=True) if why else None


GUARDS: tuple[Guard, ...] = (
    quarantined,
    approvals.declined,
    paused,
    windows.held,
    shared_cause.held,
    budgets.spent,
    claimed,
)


PUTTING_BACK: tuple[Guard, ...] = (quarantined, paused, claimed)


def not_quarantined(quarantine: Quarantine | None) -> Refuse | None:
    """Refuses while a server is quarantined."""
    if quarantine is None:
        return None
    return Refuse(
        reason=f"{quarantine.server} is quarantined since {quarantine.since:%Y-%m-%d %H:%M} UTC: "
        f"{quarantine.reason}; check the server, then `exmedic release {quarantine.server}`"
    )


def not_paused(paused: str | None, timing: Timing) -> Hold | None:
    """Holds while the kill switch is on; `paused` says why it is."""
    if paused is None:
        return None
    after, deadline = timedelta(seconds=timing.hold_recheck), timedelta(seconds=timing.hold_deadline)
    return Hold(reason=f"paused: {paused}", after=after, deadline=deadline)
