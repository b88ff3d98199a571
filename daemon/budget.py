"""What an effect takes from the budgets: looked at before the facts are read, reserved in the commit of its intent.

What others did is known only once the facts are read, and lowers what is left then.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from daemon.actions.action import Prepared
from daemon.case import Case
from daemon.domain.commits import Limit
from daemon.domain.inventory import Server
from daemon.domain.verdicts import Refuse
from daemon.gates.budgets import ACTIONS_OF, limits, overspent
from daemon.gates.foreign import SOMEBODY, Foreign, counted, lowered
from daemon.parts import Parts
from statemachines.actions import Disruption

#: A boot so soon after the intent of a reboot of ours is ours; Windows reckons boot times back from its clock.
OUR_BOOT, BOOT_DRIFT = timedelta(hours=1), timedelta(minutes=2)


def reserved(parts: Parts, case: Case, server: Server, others: Iterable[Foreign] = ()) -> tuple[Limit, ...]:
    """The ceilings that the state's effect comes under, less what others did; none for what puts things back."""
    return tuple(lowered(limit, others) for limit in _ceilings(parts, case, server))


async def spent(parts: Parts, case: Case, server: Server) -> Refuse | None:
    """Whether one of them is used up by us alone."""
    return overspent(await _spent(parts, case, server))


async def beside_others(parts: Parts, case: Case, server: Server, prepared: Prepared) -> Prepared | Refuse:
    """The same effect with what was not ours of what the servers told, or why that leaves nothing of a budget."""
    others = tuple([each for each in prepared.others if not await _ours(parts, each)])
    for limit, count in await _spent(parts, case, server):
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


def _ceilings(parts: Parts, case: Case, server: Server) -> tuple[Limit, ...]:
    disruption = case.state.action.disrupts
    if disruption is None:
        return ()
    return limits(disruption, server, parts.inventory, parts.settings.budgets, case.now)


async def _spent(parts: Parts, case: Case, server: Server) -> list[tuple[Limit, int]]:
    asked = _ceilings(parts, case, server)
    return [(limit, await parts.store.spent(limit, case.incident.id)) for limit in asked]


async def _ours(parts: Parts, each: Foreign) -> bool:
    """Whether a boot followed a reboot of ours, which is counted from its step."""
    if each.disrupts is not Disruption.REBOOT or each.by != SOMEBODY:
        return False

    async def begun(since: datetime) -> int:
        reboots = ACTIONS_OF[Disruption.REBOOT]
        limit = Limit(what="reboots", servers=(each.server,), actions=reboots, since=since, most=0)
        return await parts.store.spent(limit, "")

    return await begun(each.at - OUR_BOOT) > await begun(each.at + BOOT_DRIFT)
