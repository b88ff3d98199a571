"""Restarting a Windows service, on the server itself."""

from datetime import datetime

from daemon.domain.incidents import Step
from daemon.domain.values import Json, moment, timestamp
from daemon.domain.verdicts import Hold, Refuse
from daemon.exchange.answers import RestartedService, ServerState, ServiceState
from daemon.exchange.client import Unheard
from daemon.remediation.actions.contract import Again, Context, Done, Prepared, Unready, Withdrawn, answer_of
from daemon.remediation.actions.evidence import still_possible
from daemon.remediation.actions.facts import Met, met
from daemon.remediation.actions.preconditions.table import RESTART

STOP_TIMEOUT = 90  #: seconds a service gets to stop before it counts as hung


class RestartService:
    """The action `restart_service`. Evidence: when the service's process began; Windows gives its id out again."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """The command that restarts, with the process before it, if the server may be touched and has the service."""
        name = str(ctx.params["service"])
        known = await met(ctx, RESTART, service=name)
        if not isinstance(known, Met):
            return known
        service = _find(known.facts.state, name)
        if service is None:
            return Refuse(reason=f"{ctx.server.name} has no service {name}")
        not_after = ctx.not_after(known.facts.clock)
        return Prepared(
            executor=ctx.server.name,
            script="restart_service",
            args={"service": name, "stop_timeout": STOP_TIMEOUT, "not_after": not_after},
            baseline=baseline(service, known.facts.clock, not_after),
            figures=known.figures,
            heard_at=known.heard_at,
        )

    def accept(self, step: Step, result: Json) -> Done | Again:
        """Done if the answer shows a new process of the service, else Again."""
        restarted = answer_of(result, RestartedService)
        if restarted is None or not _restarted(restarted.service, step):
            return Again(after=5.0, detail="the answer does not show a new process")
        return _done(restarted.service)

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """Done by a new process, failed by none, withdrawn by the old one if no restart can begin; else Again."""
        name = str(ctx.params["service"])
        possible = await still_possible(ctx, step)
        heard = await ctx.itself("server_state", {"services": [name]}, ServerState)
        if isinstance(heard, Unheard):
            return Again(after=15.0, detail=heard.detail)
        service = _find(heard.answer, name)
        if service is None:
            return Again(after=15.0, detail=f"{ctx.server.name} shows no service {name}")
        if _restarted(service, step):
            return _done(service)
        if possible:
            return Again(after=15.0, detail=possible)
        if service.status.lower() != "running":
            return Done(outcome="failed", detail=f"{name} was stopped and is {service.status}")
        if not is_the_old_one(service, step.baseline):
            # Neither newer nor the same: the server's clock was set back, or the answer is incomplete.
            return Again(after=15.0, detail=f"cannot tell whether process {service.pid} of {name} is a new one")
        return Withdrawn(detail=f"{name} still has process {service.pid}, and the restart can no longer begin")


def _find(state: ServerState, name: str) -> ServiceState | None:
    return next((service for service in state.services if service.name.lower() == name.lower()), None)


def baseline(service: ServiceState, clock: datetime, not_after: str) -> Json:
    """What a restart is compared with: the process that runs before it, all on the server's own clock."""
    started = None if service.started_at is None else timestamp(service.started_at)
    return {"pid": service.pid, "started_at": started, "clock": timestamp(clock), "not_after": not_after}


def _restarted(service: ServiceState, step: Step) -> bool:
    """Whether its process began later than the one of the baseline, or, where none ran, after the baseline."""
    before = step.baseline["started_at"] or step.baseline["clock"]
    return (
        service.status.lower() == "running"
        and service.started_at is not None
        and service.started_at > moment(str(before))
    )


def is_the_old_one(service: ServiceState, before: Json) -> bool:
    """Whether its process is that of a baseline. What began earlier is another, started by a clock set back."""
    if service.started_at is None or before["started_at"] is None:
        return False
    same_start = service.started_at == moment(str(before["started_at"]))
    return same_start and service.pid == before["pid"]


def _done(service: ServiceState) -> Done:
    started = "" if service.started_at is None else timestamp(service.started_at)
    return Done(
        outcome="done",
        detail=f"{service.name} runs in process {service.pid}",
        result={"pid": service.pid, "started_at": started},
    )
