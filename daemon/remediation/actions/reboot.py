"""Rebooting a server, from another one, and waiting until it is really back."""

from datetime import timedelta

from daemon.domain.incidents import Step
from daemon.domain.inventory import Role
from daemon.domain.values import Json, moment, timestamp
from daemon.domain.verdicts import Hold, Refuse
from daemon.exchange.answers import DatabaseCopies, Rebooting, ServerState
from daemon.exchange.client import Unheard
from daemon.remediation.actions.contract import (
    Again,
    Context,
    Done,
    Prepared,
    Unready,
    Withdrawn,
    answer_of,
    backoff,
    polled,
)
from daemon.remediation.actions.evidence import still_possible
from daemon.remediation.actions.facts import Met, met
from daemon.remediation.actions.preconditions.copies import copies_here
from daemon.remediation.actions.preconditions.table import REBOOT_CLIENT_ACCESS, REBOOT_MAILBOX
from daemon.remediation.actions.protocol_log import BACK_END, SERVICE

#: What must run on any server before it may be probed: Active Directory topology and Health Manager. The monitored
#: service comes on top.
CORE_SERVICES = ("MSExchangeADTopology", "MSExchangeHM")
#: On a Mailbox server also the Information Store and Replication.
MAILBOX_SERVICES = ("MSExchangeIS", "MSExchangeRepl")
#: Both services of POP, where they are meant to run: a server with every role has front end and back end.
POP_SERVICES = (SERVICE, BACK_END)
#: Windows reckons its boot time back from its clock, so it follows small corrections of the clock.
BOOT_DRIFT = timedelta(minutes=1)


class Reboot:
    """The action `reboot`. Evidence: the boot time, and Windows' record of a requested restart (event 1074)."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """The command that reboots, if others can carry its load and, where it may hold copies, none is active."""
        mailbox = Role.MAILBOX in ctx.server.roles
        asked = REBOOT_MAILBOX if mailbox else REBOOT_CLIENT_ACCESS
        known = await met(ctx, asked, service=str(ctx.params["service"]))
        if not isinstance(known, Met):
            return known
        not_after = ctx.not_after(known.clock)
        return Prepared(
            executor=known.executor,
            script="reboot",
            args={"server": ctx.server.name, "mailbox": mailbox, "not_after": not_after},
            baseline={
                "since": timestamp(known.facts.clock),
                "boot_time": timestamp(known.facts.state.boot_time),
                "not_after": not_after,
            },
            figures=known.figures,
            heard_at=known.heard_at,
            others=known.others,
        )

    def accept(self, step: Step, result: Json) -> Done | Again:
        """Done if Windows has accepted the reboot, which `wait_until_back` sees through; else Again."""
        rebooting = answer_of(result, Rebooting)
        if rebooting is None or not rebooting.accepted:
            return Again(after=15.0, detail="the answer does not show that the reboot was accepted")
        return _rebooting(step, "the reboot was accepted")

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """Done by a boot, or a request for one, after the intent; withdrawn if none is or can begin; else Again."""
        possible = await still_possible(ctx, step)
        heard = await ctx.itself("server_state", {"services": []}, ServerState)
        if isinstance(heard, Unheard):
            return Again(after=30.0, detail=heard.detail)
        since = moment(str(step.baseline["since"]))
        if heard.answer.boot_time > since:
            return _rebooting(step, f"{step.server} booted at {heard.answer.boot_time:%H:%M:%S}, after the intent")
        requested = heard.answer.restart_requested_at
        if requested is not None and requested > since:
            said = f", with the comment {heard.answer.restart_comment!r}" if heard.answer.restart_comment else ""
            return _rebooting(step, f"{step.server} recorded a requested restart at {requested:%H:%M:%S}{said}")
        if possible:
            return Again(after=15.0, detail=possible)
        if not heard.answer.restarts_readable:
            return Again(after=15.0, detail=f"{step.server} does not say whether a restart was asked for")
        if abs(heard.answer.boot_time - moment(str(step.baseline["boot_time"]))) > BOOT_DRIFT:
            # Another boot time that is not later than the intent: the server's clock was set.
            return Again(after=15.0, detail=f"cannot tell whether the boot of {step.server} is a new one")
        return Withdrawn(
            detail=f"{step.server} has not rebooted, none is under way, and this step can no longer begin one"
        )


def _rebooting(step: Step, detail: str) -> Done:
    return Done(outcome="done", detail=detail, result={"since": step.baseline["since"]})


class WaitUntilBack:
    """The action `wait_until_back`: the whole list twice, a minute apart."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Done once boot time, services and copies were as they must be twice, a while apart; else Again."""
        missing = await self._missing(ctx)
        if missing:
            after = backoff(memo, first=10.0, most=30.0)
            return Again(after=after, detail=missing, memo=polled({"polls": memo.get("polls", 0)}), if_late="missing")
        apart = timedelta(seconds=ctx.timing.back_apart)
        good_since = moment(memo["good_since"]) if "good_since" in memo else ctx.now
        if ctx.now - good_since >= apart:
            return Done(outcome="back", detail=f"{ctx.server.name} has rebooted and everything runs")
        fresh = polled(memo, good_since=timestamp(good_since))
        rest = (apart - (ctx.now - good_since)).total_seconds()
        return Again(after=rest, detail=f"{ctx.server.name} is back once; looking again", memo=fresh, if_late="missing")

    async def _missing(self, ctx: Context) -> str:
        """The first thing of the list that is not true; empty when all is."""
        mailbox = Role.MAILBOX in ctx.server.roles
        services = [*CORE_SERVICES, *(MAILBOX_SERVICES if mailbox else ()), str(ctx.params["service"])]
        asked = list(dict.fromkeys([*services, *POP_SERVICES]))
        heard = await ctx.itself("server_state", {"services": asked}, ServerState)
        if isinstance(heard, Unheard):
            return heard.detail
        if heard.answer.boot_time <= moment(str(ctx.params["since"])):
            return f"{ctx.server.name} has not rebooted yet"
        running = {service.name.lower() for service in heard.answer.services if service.status.lower() == "running"}
        meant = {each.name.lower() for each in heard.answer.services if each.start_type.lower() == "automatic"}
        wanted = [*services, *(name for name in POP_SERVICES if name.lower() in meant and name not in services)]
        stopped = [name for name in wanted if name.lower() not in running]
        if stopped:
            return f"not running yet on {ctx.server.name}: {', '.join(stopped)}"
        return await self._ill_copies(ctx) if mailbox else ""

    async def _ill_copies(self, ctx: Context) -> str:
        copies = await ctx.peer("database_copies", {}, DatabaseCopies)
        if isinstance(copies, Unheard):
            return copies.detail
        here = copies_here(copies.answer)
        ill = [copy for copy in here if copy.status.lower() not in {"healthy", "mounted"}]
        if ill:
            return f"copy of {ill[0].database} on {ctx.server.name} is {ill[0].status}"
        if len({copy.database for copy in here}) != copies.answer.databases:
            return f"the answer shows copies of {len(here)} of {copies.answer.databases} databases"
        return ""
