"""Budgets: how often what may be done, counted from the steps themselves.

The ceilings are those of docs/guardrails.md. A spent one refuses, it does not hold: a server that needs a second
reboot within 12 hours, or a fifth in its DAG within a day, needs a human more than it needs patience.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from daemon.config.guardrails import Budgets
from daemon.domain.commits import Limit
from daemon.domain.inventory import Inventory, Server
from daemon.domain.verdicts import Refuse
from statemachines.actions import ACTIONS, Disruption

HOUR, HALF_A_DAY, DAY = timedelta(hours=1), timedelta(hours=12), timedelta(days=1)
ACTIONS_OF = {
    disruption: tuple(spec.name for spec in ACTIONS.values() if spec.disrupts is disruption)
    for disruption in Disruption
}
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
