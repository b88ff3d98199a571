"""What an effect takes from the budgets: looked at before the facts are read, reserved in the commit of its intent."""

from daemon.case import Case
from daemon.commit import Limit
from daemon.gates import Refuse, limits, overspent
from daemon.inventory import Server
from daemon.parts import Parts


def reserved(parts: Parts, case: Case, server: Server) -> tuple[Limit, ...]:
    """The ceilings that the state's effect comes under; none for what puts things back."""
    disruption = case.state.action.disrupts
    if disruption is None:
        return ()
    return limits(disruption, server, parts.inventory, parts.settings.budgets, case.now)


async def spent(parts: Parts, case: Case, server: Server) -> Refuse | None:
    """Whether one of them is used up."""
    asked = reserved(parts, case, server)
    return overspent([(limit, await parts.store.spent(limit, case.incident.id)) for limit in asked])
