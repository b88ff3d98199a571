"""What became of an effect whose answer was lost: can it still happen?"""

from daemon.domain.incidents import Step
from daemon.domain.values import moment
from daemon.exchange.answers import StepRunning
from daemon.exchange.client import Heard, Unheard
from daemon.remediation.actions.contract import Context


async def traces(ctx: Context, step: Step) -> Heard[StepRunning] | Unheard:
    """What a lost effect has left on its executor, or why nothing was heard."""
    return await ctx.ask.ask(step.executor, "step_running", {"step": step.id}, StepRunning, f"{step.id}.settle")


async def still_possible(ctx: Context, step: Step) -> str:
    """Why a lost effect may still happen, as far as its executor can tell; empty when it no longer can.

    Two things together prove that it cannot: the executor's own clock is past the moment after which the script
    refuses to begin, and no process started for the step runs there any more.

    Ask this before the evidence is read: an effect that began and ended between the two looks would be missed.
    """
    return may_still_happen(step, await traces(ctx, step))


def may_still_happen(step: Step, heard: Heard[StepRunning] | Unheard) -> str:
    """Why a lost effect may still happen, by these traces; empty when it no longer can."""
    if isinstance(heard, Unheard):
        return f"cannot tell whether {step.executor} still runs it: {heard.detail}"
    if heard.answer.running:
        return f"{step.executor} still runs it"
    not_after = moment(str(step.baseline["not_after"]))
    if heard.answer.looked_at <= not_after:
        return f"{step.executor} may still begin it until {not_after:%H:%M:%S} of its own clock"
    return ""
