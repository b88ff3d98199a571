"""Moving active databases away: stop activation on the server, and see that none is left.

The page's step 3 is `Set-MailboxServer -DatabaseCopyActivationDisabledAndMoveNow $true`, which returns nothing and
works asynchronously; its steps 4 and 5 check the result.
"""

from daemon.domain.incidents import Step
from daemon.domain.inventory import Role
from daemon.domain.values import Json
from daemon.domain.verdicts import Hold, Refuse
from daemon.exchange.answers import Activation, DatabaseCopies
from daemon.exchange.client import Heard, Unheard
from daemon.remediation.actions.contract import (
    Again,
    Change,
    Context,
    Done,
    Prepared,
    Unready,
    Withdrawn,
    answer_of,
    backoff,
    polled,
)
from daemon.remediation.actions.evidence import may_still_happen, traces
from daemon.remediation.actions.facts import ACTIVATION, Met, met
from daemon.remediation.actions.preconditions.copies import active_here, blocked_here
from daemon.remediation.actions.preconditions.table import MOVE

SETTING = ACTIVATION


class HoldsCopies:
    """The action `holds_copies`: whatever may hold a database copy counts as a Mailbox server."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """`yes` if the inventory or the server itself says Mailbox, else `no`; Again when it did not answer."""
        if Role.MAILBOX in ctx.server.roles:
            return Done(outcome="yes", detail=f"{ctx.server.name} is a Mailbox server in the inventory")
        heard = await ctx.peer("database_copies", {}, DatabaseCopies)
        if isinstance(heard, Unheard):
            return Again(after=backoff(memo), detail=heard.detail, memo=polled(memo), if_late=heard.outcome)
        if heard.answer.mailbox_role:
            return Done(outcome="yes", detail=f"{ctx.server.name} answers that it has the Mailbox role")
        return Done(outcome="no", detail=f"{ctx.server.name} has no Mailbox role")


class StopActivation:
    """The action `stop_activation`. Evidence: the flag as read back."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """The command that blocks and moves, if the DAG can spare the server and each database has a place to go."""
        known = await met(ctx, MOVE, service=str(ctx.params["service"]))
        if not isinstance(known, Met):
            return known
        copies = known.facts.copies
        if known.facts.blocked_by_us and copies is not None and blocked_here(copies):
            return self._after_all(ctx, known)
        not_after = ctx.not_after(known.clock)
        return Prepared(
            executor=known.executor,
            script="set_activation",
            args={"server": ctx.server.name, "expected": False, "value": True, "not_after": not_after},
            baseline={
                "databases": known.databases(),
                "version": known.facts.exchange.version,
                "not_after": not_after,
            },
            figures=known.figures,
            heard_at=known.heard_at,
            others=known.others,
            changes=(Change(SETTING, {"blocked": False}, {"blocked": True}),),
        )

    def _after_all(self, ctx: Context, known: Met) -> Done:
        """Done, with the databases to look for: Exchange finished an earlier step of ours whose client was gone."""
        moving = {str(name) for step in ctx.senders for name in step.baseline["databases"]} | {*known.databases()}
        detail = f"activation on {ctx.server.name} was blocked after all by an earlier step"
        return Done(outcome="done", detail=detail, result={"databases": sorted(moving)})

    def accept(self, step: Step, result: Json) -> Done | Again:
        """Done if the script set the flag, refused if somebody else just did; Again if it does not show it set."""
        set_ = answer_of(result, Activation)
        if set_ is None or not set_.after:
            return Again(after=5.0, detail="the answer does not show activation blocked")
        if not set_.changed:
            # Set between our look and our command: then it is not ours to put back, and somebody is working there.
            return Done(outcome="refused", detail=f"somebody else has just changed activation on {step.server}")
        return _stopped(step)

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """Done if the step began and the flag reads true, withdrawn if it can no longer set it; else Again.

        A flag that reads true although the step never began was set by somebody else, who is working there.
        """
        heard = await traces(ctx, step)
        possible, began = may_still_happen(step, heard), isinstance(heard, Heard) and heard.answer.began
        blocked, detail = await _read_back(ctx, step)
        if blocked and began:
            return _stopped(step)
        if blocked and not possible:
            return Done(outcome="refused", detail=f"{step.server}: somebody else has blocked activation meanwhile")
        if possible or blocked is None:
            return Again(after=15.0, detail=possible or detail)
        detail = f"activation is not blocked on {ctx.server.name}, and no longer can be by this step"
        return Withdrawn(detail=detail, may_finish=began)


async def _read_back(ctx: Context, step: Step) -> tuple[bool | None, str]:
    # The executor of the step is asked first: another server may not see its change in Active Directory yet.
    args = {"server": ctx.server.name}
    heard = await ctx.ask.ask(step.executor, "database_copies", args, DatabaseCopies, f"{step.id}.settle")
    if isinstance(heard, Unheard):
        return None, heard.detail
    blocked = blocked_here(heard.answer)
    return blocked, "" if blocked is not None else f"{step.executor} does not show the settings of {ctx.server.name}"


def _stopped(step: Step) -> Done:
    databases = list(step.baseline["databases"])
    moving = f"; moving away: {', '.join(databases)}" if databases else "; no database was active here"
    return Done(
        outcome="done", detail=f"activation is blocked on {step.server}{moving}", result={"databases": databases}
    )


class CheckMoved:
    """The action `check_moved`. The flag, no active copy here, and every database that was active Mounted elsewhere."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Done once nothing of the move is missing, else Again; it takes tens of seconds for each database."""
        heard = await ctx.peer("database_copies", {}, DatabaseCopies)
        if isinstance(heard, Unheard):
            return Again(after=backoff(memo), detail=heard.detail, memo=polled(memo), if_late=heard.outcome)
        missing = not_moved(heard.answer, [str(name) for name in ctx.params["databases"]])
        if missing:
            return Again(after=backoff(memo, most=30.0), detail=missing, memo=polled(memo), if_late="stuck")
        return Done(outcome="moved", detail=f"no active database is left on {ctx.server.name}")


def not_moved(facts: DatabaseCopies, databases: list[str]) -> str:
    """What is still missing of a complete move; empty when nothing is."""
    if not blocked_here(facts):
        return f"activation does not read as blocked on {facts.server}"
    left = active_here(facts)
    if left:
        return f"still active on {facts.server}: {', '.join(left)}"
    for database in databases:
        mounted = [c for c in facts.copies if c.database == database and c.active and c.status.lower() == "mounted"]
        if len(mounted) != 1:
            return f"{database} is not Mounted elsewhere yet"
    return ""
