"""What others did to servers, Managed Availability and people: it counts for the budgets of moves and reboots.

A server tells of its latest boot only, so of several by people the last one counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from daemon.domain.commits import Limit
from daemon.domain.verdicts import Allow, CannotTell, Verdict
from daemon.remediation.actions.preconditions.facts import Facts, Member
from statemachines.actions import ACTIONS_OF, Disruption

MANAGED_AVAILABILITY = "Managed Availability"
SOMEBODY = "somebody"
FORCED_WITHIN = timedelta(minutes=30)  #: a boot so soon after a ForceReboot is its own
ONE_MOVE = timedelta(minutes=10)  #: failovers so near to one another are one move
FAILOVERS = frozenset({"serverfailover", "databasefailover"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A move or a reboot that others did, or that may have been ours: `at` is on the daemon's clock."""

    server: str
    disrupts: Disruption
    at: datetime
    by: str

    def __str__(self) -> str:
        return f"{self.disrupts.value} of {self.server} by {self.by} at {self.at:%Y-%m-%d %H:%M} UTC"


def others_known(facts: Facts) -> Verdict:
    """Every other member of the DAG has told what was done there."""
    silent = next((member for member in facts.members if member.silence), None)
    if silent is not None:
        return CannotTell(reason=f"what others did on {silent.server.name} is not known: {silent.silence}")
    return Allow(figures={"members_asked": len(facts.members)})


def foreign(member: Member, now: datetime) -> tuple[Foreign, ...]:
    """What was done on one server, the latest boot included, whoever did it. `now`: the daemon's, when it answered."""
    if member.clock is None or member.state is None or member.recovery is None:
        return ()
    forced = [action.started for action in member.recovery.actions if action.action.lower() == "forcereboot"]
    failed_over = sorted(action.started for action in member.recovery.actions if action.action.lower() in FAILOVERS)
    booted, clock, name = member.state.boot_time, member.clock, member.server.name
    by_itself = any(timedelta(0) <= booted - started <= FORCED_WITHIN for started in forced)
    found = [
        *((Disruption.REBOOT, at, MANAGED_AVAILABILITY) for at in forced),
        *((Disruption.MOVE, at, MANAGED_AVAILABILITY) for at in _apart(failed_over)),
        *([] if by_itself else [(Disruption.REBOOT, booted, SOMEBODY)]),
    ]
    # Only the span is the server's: its clock may be wrong.
    return tuple(Foreign(server=name, disrupts=what, at=now - (clock - at), by=by) for what, at, by in found)


def counted(limit: Limit, others: Iterable[Foreign]) -> tuple[Foreign, ...]:
    """Those that a ceiling counts. Ladders are ours alone."""
    if limit.of_ladders:
        return ()
    return tuple(
        each
        for each in others
        if each.server in limit.servers and each.at > limit.since and limit.actions == ACTIONS_OF[each.disrupts]
    )


def lowered(limit: Limit, others: Iterable[Foreign]) -> Limit:
    """What a ceiling leaves to us."""
    return replace(limit, most=max(0, limit.most - len(counted(limit, others))))


def _apart(times: list[datetime]) -> list[datetime]:
    """The first of each group of moments that follow one another closely."""
    return [at for number, at in enumerate(times) if number == 0 or at - times[number - 1] > ONE_MOVE]
