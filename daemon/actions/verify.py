"""Does the monitor's problem still exist? Steps 2a to 2d of the page's "Verifying the issue still exists".

Unhealthy: the probe failed three times over three minutes. Healthy: the probe succeeded and the monitor's rows are
Healthy and not stale. The probe passed but the monitor does not agree yet: wait up to 15 minutes. A manual run tests
one monitoring mailbox only, so a passing probe alone does not clear a failing monitor.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from daemon.actions.action import Again, Context, Done, Heard, Unheard, backoff, polled
from daemon.config import Timing
from daemon.domain import Json, moment, timestamp
from daemon.wire.answers import HealthRow, ProbeRun, ServerHealth, same_server

#: ResultType values that say "it does not work". The others but Succeeded say that the probe did not really run.
FAILURES = frozenset({"failed", "timeout"})


class Sight(StrEnum):
    """What one look showed."""

    HEALTHY = "healthy"
    DISAGREES = "disagrees"  # the probe passed, the monitor is not Healthy
    FAILS = "fails"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a monitor, with its evidence."""

    sight: Sight
    detail: str
    if_late: str = "unknown"


class Verify:
    """The action `verify`."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Run the probe and read the monitor's rows, once."""
        names = {"health_set": ctx.incident.health_set}
        if ctx.probe is None:
            # Only monitors with a probe have a runbook today; without one nothing here can be decided.
            return Done(outcome="unknown", detail=f"{ctx.incident.monitor} has no probe to run")
        run = await ctx.peer("invoke_probe", {**names, "probe": ctx.probe}, ProbeRun)
        health = await ctx.peer("server_health", names, ServerHealth)
        return judge(memo, look(ctx, run, health), ctx.now, ctx.timing)


def look(ctx: Context, run: Heard[ProbeRun] | Unheard, health: Heard[ServerHealth] | Unheard) -> Look:
    """What the probe's answer and the monitor's rows show together."""
    if isinstance(run, Unheard):
        return Look(Sight.UNREAD, run.detail, run.outcome)
    results = [item for item in run.answer.objects if same_server(item.server, ctx.server.name)]
    if not results:
        why = "; ".join(run.answer.warnings) or "no object and no warning"
        return Look(Sight.UNREAD, f"the probe {ctx.probe} did not run: {why}")
    failed = [item for item in results if item.result_type.lower() in FAILURES]
    if failed:
        why = failed[0].error or failed[0].exception or "no error text"
        return Look(Sight.FAILS, f"probe {ctx.probe}: {failed[0].result_type} ({why})")
    if any(item.result_type.lower() != "succeeded" for item in results):
        return Look(Sight.UNREAD, f"probe {ctx.probe}: {', '.join(item.result_type for item in results)}")
    if isinstance(health, Unheard):
        return Look(Sight.UNREAD, f"probe {ctx.probe}: Succeeded, but {health.detail}", health.outcome)
    return _with_rows(ctx, health.answer)


def _with_rows(ctx: Context, health: ServerHealth) -> Look:
    monitor = ctx.incident.monitor
    rows = [
        row for row in health.rows if row.name.lower() == monitor.lower() and same_server(row.server, ctx.server.name)
    ]
    if not rows:
        return Look(Sight.UNREAD, f"Get-ServerHealth shows no row of {monitor}")
    stale = [row for row in rows if row.is_stale]
    if stale:
        return Look(Sight.UNREAD, f"{_spell(stale[0])} is stale", "undecided")
    bad = [row for row in rows if row.alert_value.lower() != "healthy"]
    if bad:
        return Look(Sight.DISAGREES, f"probe {ctx.probe}: Succeeded, but {_spell(bad[0])}", "undecided")
    return Look(Sight.HEALTHY, f"probe {ctx.probe}: Succeeded, {_spell(rows[0])}")


def judge(memo: Json, seen: Look, now: datetime, timing: Timing) -> Done | Again:
    """What follows from this look and those before it."""
    if seen.sight is Sight.HEALTHY:
        return Done(outcome="healthy", detail=seen.detail, result={"probe": seen.detail})
    if seen.sight is Sight.UNREAD:
        return Again(after=backoff(memo), detail=seen.detail, memo=polled(memo), if_late=seen.if_late)
    if seen.sight is Sight.FAILS:
        return _failing(memo, seen, now, timing)
    since = moment(memo["passing_since"]) if "passing_since" in memo else now
    if now - since >= timedelta(seconds=timing.monitor_wait):
        return Done(outcome="undecided", detail=f"{seen.detail} for {_minutes(now - since)}")
    fresh = polled({}, passing_since=timestamp(since))
    return Again(after=30.0, detail=seen.detail, memo=fresh, if_late="undecided")


def _failing(memo: Json, seen: Look, now: datetime, timing: Timing) -> Done | Again:
    count = int(memo.get("failures", 0)) + 1
    since = moment(memo["failing_since"]) if "failing_since" in memo else now
    enough = count >= timing.probe_failures and now - since >= timedelta(seconds=timing.probe_span)
    detail = f"{seen.detail}, {count} times in {_minutes(now - since)}"
    if enough:
        return Done(outcome="unhealthy", detail=detail, result={"probe": seen.detail})
    apart = timing.probe_span / max(1, timing.probe_failures - 1)
    return Again(after=apart, detail=detail, memo=polled({}, failures=count, failing_since=timestamp(since)))


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} minutes"


def _spell(row: HealthRow) -> str:
    target = f"/{row.target_resource}" if row.target_resource else ""
    return f"{row.name}{target} is {row.alert_value}"
