"""Putting back what a ladder changed: compare-and-set to the recorded earlier value."""

from daemon.actions.action import Again, Context, Done, Prepared, Unheard, Unready, Withdrawn, answer_of
from daemon.actions.activation import SETTING
from daemon.domain import Json, Step, UndoItem
from daemon.gates import Hold, Refuse, blocked_here
from daemon.wire.answers import Activation, DatabaseCopies


class Undo:
    """The action `undo`, for one recorded change. Today that can only be `activation`."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """Read the value: already the earlier one means nothing to do; one that is not ours is left alone."""
        item = _item(ctx)
        heard = await ctx.peer("database_copies", {}, DatabaseCopies)
        if isinstance(heard, Unheard):
            return Unready(detail=heard.detail, if_late=heard.outcome)
        now = blocked_here(heard.answer)
        if now is None:
            return Unready(detail=f"the answer has no settings of {item.server}", if_late="unknown")
        if now == item.earlier["blocked"]:
            return Done(outcome="done", detail=f"activation on {item.server} is as it was: {_word(now)}")
        return Prepared(
            executor=heard.executor,
            script="set_activation",
            args={
                "server": item.server,
                "expected": item.applied["blocked"],
                "value": item.earlier["blocked"],
                "not_after": ctx.not_after(heard.clock),
            },
            baseline={},
            figures={"now": now, "earlier": item.earlier["blocked"]},
            heard_at=heard.heard_at,
        )

    def accept(self, step: Step, result: Json) -> Done | Again:
        """The script answers with the flag read back."""
        set_ = answer_of(result, Activation)
        if set_ is None:
            return Again(after=5.0, detail="the answer was not understood")
        return Done(outcome="done", detail=f"activation on {step.server} is again {_word(set_.after)}")

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """An idempotent change: read back; not there yet means that it may be sent again."""
        item = _item(ctx)
        args = {"server": item.server}
        heard = await ctx.ask.ask(step.executor, "database_copies", args, DatabaseCopies, f"{step.id}.settle")
        if isinstance(heard, Unheard):
            # Idempotent: another server may carry it out, so an executor that is gone does not block the way out.
            return Withdrawn(detail=heard.detail)
        if blocked_here(heard.answer) == item.earlier["blocked"]:
            return Done(outcome="done", detail=f"activation on {item.server} is as it was")
        return Withdrawn(detail=f"activation on {item.server} is not put back yet")


def by_hand(item: UndoItem) -> str:
    """The command with which a human puts a change back."""
    if item.setting != SETTING:
        raise ValueError(f"no undo is known for {item.setting}")
    value = "$true" if item.earlier["blocked"] else "$false"
    return f"Set-MailboxServer -Identity {item.server} -DatabaseCopyActivationDisabledAndMoveNow {value}"


def _item(ctx: Context) -> UndoItem:
    if ctx.item is None:
        raise ValueError("undo needs the recorded change")
    return ctx.item


def _word(blocked: bool) -> str:
    return "blocked" if blocked else "allowed"
