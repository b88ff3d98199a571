"""Budgets: how often what may be done, counted from the steps themselves.

The ceilings are those of docs/guardrails.md. A spent one refuses, it does not hold: a server that needs a second
reboot within 12 hours, or a fifth in its DAG within a day, needs a human more than it needs patience.

They are looked at before the facts are read and reserved in the commit of the intent. What others did is known only
once the facts are read, and lowers what is left then.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from daemon.config.guardrails import Budgets
from daemon.domain.commits import Limit
from daemon.domain.inventory import Inventory, Server
from daemon.domain.verdicts import Refuse
from daemon.remediation.actions.contract import Prepared
from daemon.remediation.actions.preconditions.other_actors import SOMEBODY, Foreign, counted, lowered
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.snapshot import Case
from statemachines.actions import ACTIONS, ACTIONS_OF, Disruption

HOUR, HALF_A_DAY, DAY = timedelta(hours=1), timedelta(hours=12), timedelta(days=1)


DISRUPTIVE = tuple(spec.name for spec in ACTIONS.values() if spec.disrupts is not None)


def limits(
    disruption: Disruption, server: Server, inventory: Inventory, budgets: Budgets, now: datetime
) -> tuple[Limit, ...]:
    """The ceilings that an effect on a server comes under: the server's, its DAG's or site's, and the fleet's."""
    ladders = Limit(
        what=f"ladders on {server.name} in a day",
        servers=(server.name,),
        actions=DISRUPTIVE,
        since=now - DAY,
        most=budgets.ladders_a_day_server,
        of_ladders=True,
    )
    actions = ACTIONS_OF[disruption]
    own = (
        Limit(what=f"{disruption.value}s {what}", servers=servers, actions=actions, since=now - within, most=most)
        for what, servers, within, most in _of(disruption, server, inventory, budgets)
    )
    return (ladders, *own)


def overspent(spent: Sequence[tuple[Limit, int]]) -> Refuse | None:
    """Refuses by the first ceiling that is reached."""
    for limit, count in spent:
        if count >= limit.most:
            reason = f"the budget is spent: {count} of {limit.most} {limit.what}; a human decides what comes next"
            return Refuse(reason=reason, figures={"spent": count, "most": limit.most, "since": limit.since.isoformat()})
    return None


_Row = tuple[str, tuple[str, ...], timedelta, int]


def _of(disruption: Disruption, server: Server, inventory: Inventory, budgets: Budgets) -> Iterator[_Row]:
    here, fleet = (server.name,), tuple(each.name for each in inventory)
    dag = tuple(each.name for each in inventory if server.dag is not None and each.dag == server.dag)
    site = tuple(each.name for each in inventory if each.site == server.site)
    if disruption is Disruption.RESTART:
        yield f"of a service on {server.name} in a day", here, DAY, budgets.restarts_a_day_server
    elif disruption is Disruption.MOVE:
        yield f"away from {server.name} in an hour", here, HOUR, budgets.moves_an_hour_server
        if dag:
            yield f"within {server.dag} in a day", dag, DAY, budgets.moves_a_day_dag
        yield "in the whole fleet in a day", fleet, DAY, budgets.moves_a_day_fleet
    else:
        yield f"of {server.name} in 12 hours", here, HALF_A_DAY, budgets.reboots_in_12_hours_server
        if dag:
            yield f"within {server.dag} in a day", dag, DAY, budgets.reboots_a_day_dag
        yield f"in {server.site} in a day", site, DAY, budgets.reboots_a_day_site
        yield "in the whole fleet in a day", fleet, DAY, budgets.reboots_a_day_fleet


#: A boot so soon after the intent of a reboot of ours is ours; Windows reckons boot times back from its clock.
OUR_BOOT, BOOT_DRIFT = timedelta(hours=1), timedelta(minutes=2)


def reserved(context: GuardContext, case: Case, server: Server, others: Iterable[Foreign] = ()) -> tuple[Limit, ...]:
    """The ceilings that the state's effect comes under, less what others did; none for what puts things back."""
    return tuple(lowered(limit, others) for limit in _ceilings(context, case, server))


async def spent(context: GuardContext, case: Case, server: Server) -> Refuse | None:
    """A refusal when a ceiling of the effect is used up by us alone; None when none is."""
    return overspent(await _spent(context, case, server))


async def beside_others(context: GuardContext, case: Case, server: Server, prepared: Prepared) -> Prepared | Refuse:
    """The same effect with what was not ours of what the servers told, or why that leaves nothing of a budget."""
    others = tuple([each for each in prepared.others if not await _ours(context, each)])
    for limit, count in await _spent(context, case, server):
        theirs = counted(limit, others)
        if theirs and count + len(theirs) >= limit.most:
            told = "; ".join(map(str, theirs))
            reason = (
                f"the budget is spent: {count + len(theirs)} of {limit.most} {limit.what}, others' included ({told}); "
                "a human decides what comes next"
            )
            figures = {"spent": count, "others": len(theirs), "most": limit.most, "since": limit.since.isoformat()}
            return Refuse(reason=reason, figures=figures)
    return replace(prepared, others=others)


def _ceilings(context: GuardContext, case: Case, server: Server) -> tuple[Limit, ...]:
    disruption = case.state.action.disrupts
    if disruption is None:
        return ()
    return limits(disruption, server, context.inventory, context.settings.budgets, case.now)


async def _spent(context: GuardContext, case: Case, server: Server) -> list[tuple[Limit, int]]:
    asked = _ceilings(context, case, server)
    return [(limit, await context.store.spent(limit, case.incident.id)) for limit in asked]


async def _ours(context: GuardContext, each: Foreign) -> bool:
    """Whether a boot followed a reboot of ours, which is counted from its step."""
    if each.disrupts is not Disruption.REBOOT or each.by != SOMEBODY:
        return False

    async def begun(since: datetime) -> int:
        reboots = ACTIONS_OF[Disruption.REBOOT]
        limit = Limit(what="reboots", servers=(each.server,), actions=reboots, since=since, most=0)
        return await context.store.spent(limit, "")

    return await begun(each.at - OUR_BOOT) > await begun(each.at + BOOT_DRIFT)
