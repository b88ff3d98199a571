"""What the reply to an effect means: nothing was tried, it is over, or evidence must decide. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from daemon.domain.incidents import Step
from daemon.domain.ports import LOGON, Reply, ReplyKind
from daemon.exchange.opening import unopened
from daemon.remediation.actions.contract import Again, Done, EffectAction
from statemachines.table import BROKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTried:
    """Nothing was tried: it may be sent again until the state's deadline, at which the outcome is `if_late`."""

    detail: str
    if_late: str


#: What follows at the state's deadline, by the error kind of a script that has tried nothing. `broken` is none of a
#: runbook's outcomes: an error of ours says nothing about the server, so no ladder goes up on it. Without
#: a session on one executor, the next try goes to another one.
NOT_TRIED: Mapping[str, str] = MappingProxyType(
    {"expired": "unreachable", LOGON: "unreachable", "broken": BROKEN, "no_session": BROKEN, "second_hop": "refused"}
)
#: The outcome, by the error kind of a script that says no. Not allowed, not there or not as expected: nothing was
#: tried, so no harsher step may follow from it.
SAID_NO: Mapping[str, str] = MappingProxyType(
    {
        "denied": "refused",
        "not_found": "refused",
        "conflict": "refused",
        "hung": "failed",
        "failed": "failed",
    }
)


def meaning(action: EffectAction, step: Step, script: str, reply: Reply) -> NotTried | Done | Again:
    """How sending an effect ended. `Again`: it may have happened, so it is settled by evidence."""
    if reply.kind is ReplyKind.WITHHELD:
        return NotTried(detail="paused before it was sent", if_late="unreachable")
    if reply.kind is ReplyKind.UNREACHABLE:
        return NotTried(detail=reply.detail, if_late="unreachable")
    if reply.kind is ReplyKind.FAILED and (reply.error in NOT_TRIED or unopened(reply.error, reply.detail)):
        if_late = NOT_TRIED.get(reply.error, "refused")
        what = "failed before it did anything" if if_late == BROKEN else "did nothing"
        return NotTried(detail=f"{script} on {step.executor} {what}: {reply.detail}", if_late=if_late)
    if reply.kind is ReplyKind.FAILED and reply.error in SAID_NO:
        return Done(outcome=SAID_NO[reply.error], detail=reply.detail)
    if reply.kind is ReplyKind.OK:
        return action.accept(step, reply.result)
    return Again(after=0.0, detail=f"the answer was lost: {reply.detail}")
