"""The POP protocol log: switched on to find which Mailbox server served the probe, and always switched off again.

The page's PopCTPMonitor step 3.1, and its steps 6 and 7 on the way out. Microsoft, Set-PopSettings reference:
`-ProtocolLogEnabled` takes effect with the next start of the service.
"""

from dataclasses import replace
from datetime import datetime

from daemon.domain.incidents import Step, UndoItem
from daemon.domain.values import Json
from daemon.domain.verdicts import Hold, Refuse
from daemon.exchange.answers import PopSettings, ProtocolLogSet, ServerState, ServiceState
from daemon.exchange.client import Unheard
from daemon.remediation.actions.contract import Again, Change, Context, Done, Prepared, Unready, Withdrawn, answer_of
from daemon.remediation.actions.evidence import still_possible
from daemon.remediation.actions.facts import Met, met
from daemon.remediation.actions.preconditions.table import PROTOCOL_LOG
from daemon.remediation.actions.restart import STOP_TIMEOUT, RestartService, baseline, is_the_old_one
from statemachines.actions import Effect

SETTING = "protocol_log"
SERVICE, BACK_END = "MSExchangePOP3", "MSExchangePOP3BE"  #: both read the setting when they start, where both are
#: The restarts that make the setting's earlier value take effect, and of which service.
RESTARTS = {"pop_restart": SERVICE, "pop_restart_back_end": BACK_END}


class ProtocolLogOn:
    """The action `protocol_log_on`. Evidence: ProtocolLogEnabled as read back."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """The command that switches the log on. Done if it is on already: then it is not ours to switch off."""
        heard = await ctx.peer("pop_settings", {}, PopSettings)
        if isinstance(heard, Unheard):
            return Unready(detail=heard.detail, if_late=heard.outcome)
        if heard.answer.protocol_log_enabled:
            return Done(outcome="done", detail=f"the protocol log of {ctx.server.name} is on already, not by us")
        known = await met(ctx, PROTOCOL_LOG)
        if not isinstance(known, Met):
            return known
        running = await ctx.itself("server_state", {"services": list(RESTARTS.values())}, ServerState)
        if isinstance(running, Unheard):
            return Unready(detail=running.detail, if_late=running.outcome)
        services = {service.name.lower(): service for service in running.answer.services}
        not_after = ctx.not_after(heard.clock)
        return Prepared(
            executor=heard.executor,
            script="set_protocol_log",
            args={"server": ctx.server.name, "expected": False, "value": True, "not_after": not_after},
            baseline={
                "not_after": not_after,
                "services": {name: baseline(each, running.clock, not_after) for name, each in services.items()},
            },
            figures={**known.figures, "enabled": False, "folder": heard.answer.log_location},
            heard_at=min(heard.heard_at, known.heard_at),
            # Put back in reverse: the page switches the log off (step 6), then restarts the service (step 7).
            changes=(
                *(
                    Change(restart, {"service": service, "log": False}, {"service": service, "log": True})
                    for restart, service in reversed(RESTARTS.items())
                    if service.lower() in services
                ),
                Change(SETTING, {"enabled": False}, {"enabled": True}),
            ),
        )

    def accept(self, step: Step, result: Json) -> Done | Again:
        """Done if the script switched it on, refused if somebody else just did; Again if it does not show it on."""
        set_ = answer_of(result, ProtocolLogSet)
        if set_ is None or not set_.after:
            return Again(after=5.0, detail="the answer does not show the protocol log on")
        if not set_.changed:
            # Set between our look and our command: then it is not ours to put back, and somebody is working there.
            return Done(outcome="refused", detail=f"somebody else has just changed the protocol log on {step.server}")
        return _on(step)

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """Done if it reads on, withdrawn if it reads off and the first can no longer happen; else Again.

        What is withdrawn is not undone, so a change that came late would be left on for ever.
        """
        possible = await still_possible(ctx, step)
        heard = await ctx.of_server(step, "pop_settings", PopSettings)
        if isinstance(heard, Unheard):
            return Again(after=15.0, detail=heard.detail)
        if heard.answer.protocol_log_enabled:
            return _on(step)
        if possible:
            return Again(after=15.0, detail=possible)
        return Withdrawn(
            detail=f"the protocol log of {ctx.server.name} is off, and this step can no longer switch it on"
        )


def _on(step: Step) -> Done:
    return Done(outcome="done", detail=f"the protocol log of {step.server} is on, for the next start of {SERVICE}")


class RestartAfterwards:
    """Putting a restart back: that of a service whose process began while the log was on, once it is off.

    Such a process goes on writing user names and commands, whoever started it. One that began before, or after, does
    not: restarting a healthy back end would disturb those whom other servers serve. A lost answer is settled like that
    of any other restart; no gate but pause and quarantine is asked, as for all undo.
    """

    effect = Effect.DISRUPTIVE

    def __init__(self) -> None:
        self._restart = RestartService()

    def by_hand(self, item: UndoItem) -> str:
        """The command with which a human does it."""
        service = item.applied["service"]
        return f"Invoke-Command -ComputerName {item.server} {{ Restart-Service {service} }}"

    async def prepare(self, ctx: Context, item: UndoItem) -> Prepared | Refuse | Unready | Done:
        """The command that restarts the service, once the log is off. Done if it writes nothing of the log."""
        settings = await ctx.peer("pop_settings", {}, PopSettings)
        if isinstance(settings, Unheard):
            return Unready(detail=settings.detail, if_late=settings.outcome)
        if settings.answer.protocol_log_enabled == item.applied["log"]:
            # Asked again: the peer may not see the change in Active Directory yet.
            return Unready(detail=f"the protocol log of {item.server} still reads as on", if_late="refused")
        name = str(item.applied["service"])
        heard = await ctx.itself("server_state", {"services": [name]}, ServerState)
        if isinstance(heard, Unheard):
            return Unready(detail=heard.detail, if_late=heard.outcome)
        service = next((found for found in heard.answer.services if found.name.lower() == name.lower()), None)
        if service is None:
            return Unready(detail=f"{item.server} shows no service {name}", if_late="unknown")
        if quiet := _quiet(service, ctx, heard.clock):
            return Done(outcome="done", detail=f"{name} on {item.server} logs nothing: {quiet}")
        if service.started_at is None and service.status.lower() == "running":
            return Unready(detail=f"{item.server} does not say since when {name} runs", if_late="unknown")
        not_after = ctx.not_after(heard.clock)
        return Prepared(
            executor=item.server,
            script="restart_service",
            args={"service": name, "stop_timeout": STOP_TIMEOUT, "not_after": not_after},
            baseline={"setting": item.setting, **baseline(service, heard.clock, not_after)},
            figures={"status": service.status, "pid": service.pid},
            heard_at=settings.heard_at,
        )

    def accept(self, step: Step, result: Json) -> Done | Again:
        """Done if the answer shows a new process of the service, else Again."""
        return self._restart.accept(step, result)

    async def settle(self, ctx: Context, step: Step, item: UndoItem) -> Done | Again | Withdrawn:
        """What became of the restart, by the service's process, like that of any other."""
        return await self._restart.settle(replace(ctx, params={"service": item.applied["service"]}), step)


def _quiet(service: ServiceState, ctx: Context, clock: datetime) -> str:
    """Why a service does not write the log; empty when it may. `clock`: the server's own, as it answered just now.

    What its process is compared with was read on the server's own clock, or is as long ago as on ours.
    """
    status = service.status.lower()
    if status != "running":
        # A front end that hung in our own restart is started again; what others have stopped is not.
        ours = service.name.lower() == SERVICE.lower() and service.start_type.lower() == "automatic"
        return "" if ours else f"it is {status}"
    # Of several steps the first: it may have switched the log on late, although its client was gone.
    earliest = ctx.senders[-1].baseline if ctx.senders else {}
    before = earliest.get("services", {}).get(service.name.lower())
    if before is not None and is_the_old_one(service, before):
        return "its process began before the log was on"
    if service.started_at is None or ctx.put_back_at is None:
        return ""
    off = clock - (ctx.ask.clock.now() - ctx.put_back_at)
    return "its process began after the log was off" if service.started_at > off else ""
