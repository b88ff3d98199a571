"""Does the monitor's problem still exist? Steps 2a to 2d of the page's "Verifying the issue still exists".

Unhealthy: the probe failed three times over three minutes, and the monitor's row is Unhealthy (step 2b). Healthy: the
probe succeeded and the monitor's rows are Healthy and not stale. The two do not agree yet: wait up to 15 minutes. A
manual run tests one monitoring mailbox only, so a passing probe alone does not clear a failing monitor, and a failing
one alone is no licence to act. Nor is it where somebody has said hands off: the row is Repairing or Disabled.

A monitor without a probe watches a counter: its rows decide, sampled over the same three minutes. Unhealthy in three
looks is unhealthy; healthy is Healthy and not stale in every look of the three minutes; anything else decides nothing.

Where a server has a look from outside, what a POP3 client sees goes on record with the verdict. A client that is turned
away keeps a verdict from being healthy. One that is served keeps it from being unhealthy for a front end only, and only
where its mailbox is active on this server: no client reaches a back end, and another server's may have served it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from daemon.config.guardrails import Timing
from daemon.domain.values import Json, moment, timestamp
from daemon.exchange.answers import DatabaseCopies, HealthRow, ProbeResult, ProbeRun, ServerHealth, same_server
from daemon.exchange.client import Heard, Unheard
from daemon.remediation.actions.contract import Again, Context, Done, backoff, polled
from daemon.remediation.actions.preconditions.copies import active_here

#: ResultType values that say "it does not work". The others but Succeeded say that the probe did not really run.
FAILURES = frozenset({"failed", "timeout"})

#: AlertValue values by which somebody keeps others from a monitor, and what they mean.
HANDS_OFF = {
    "repairing": "an administrator has said that it is being repaired (Set-ServerMonitor), so nothing is done",
    "disabled": "an override has switched it off (Get-ServerMonitoringOverride), so nothing is done for it",
}


class Sight(StrEnum):
    """What one look showed."""

    HEALTHY = "healthy"
    DISAGREES = "disagrees"  # the probe passed, the monitor is not Healthy
    FAILS = "fails"  # the probe failed, and a row is Unhealthy; for a monitor without one, the row alone
    UNCONFIRMED = "unconfirmed"  # the probe failed, and the monitor does not say Unhealthy
    HANDS_OFF = "hands off"  # the monitor is Repairing or Disabled; with a probe, one that failed
    UNREAD = "unread"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a monitor, with its evidence."""

    sight: Sight
    detail: str
    if_late: str = "unknown"
    outside: str = ""  #: what a POP3 client saw
    reason: str = ""  #: why the probe failed, as it says itself

    @property
    def told(self) -> Json:
        """The evidence, as the state produces it."""
        more = {"outside": self.outside, "reason": self.reason}
        return {"probe": self.detail, **{name: value for name, value in more.items() if value}}


class Verify:
    """The action `verify`."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Run the probe, if there is one, and read the monitor's rows, once."""
        health_set = ctx.incident.health_set
        asked = {"health_sets": [health_set]}
        if ctx.probe is None:
            health = await ctx.peer("server_health", asked, ServerHealth)
            seen = await _from_outside(ctx, monitor_look(ctx, health))
            return judge_samples(memo, seen, ctx.now, ctx.timing)
        run = await ctx.peer("invoke_probe", {"health_set": health_set, "probe": ctx.probe}, ProbeRun)
        health = await ctx.peer("server_health", asked, ServerHealth)
        seen = await _from_outside(ctx, look(ctx, run, health))
        return judge(memo, seen, ctx.now, ctx.timing)


async def _from_outside(ctx: Context, seen: Look) -> Look:
    """The look with what a POP3 client sees, where it could decide something."""
    if ctx.outside is None or ctx.server.outside is None or seen.sight not in {Sight.HEALTHY, Sight.FAILS}:
        return seen
    view = await ctx.outside.look(ctx.server.name)
    detail = f"{seen.detail}; from outside: {view.detail}"
    if seen.sight is Sight.HEALTHY and not view.good:
        return Look(Sight.DISAGREES, detail, "undecided", view.detail)
    seen = replace(seen, detail=detail, outside=view.detail)
    if seen.sight is Sight.FAILS and view.good and await _served_by_itself(ctx):
        against = f"{detail}, in a mailbox of {ctx.server.outside_database}, which is active on {ctx.server.name}"
        return replace(seen, sight=Sight.UNCONFIRMED, detail=against)
    return seen


async def _served_by_itself(ctx: Context) -> bool:
    """Whether a client that was served shows that the front end works: its mailbox is on this very server."""
    database = ctx.server.outside_database
    if not ctx.front_end or database is None or ctx.server.outside_login is None:
        return False
    heard = await ctx.peer("database_copies", {}, DatabaseCopies)
    if isinstance(heard, Unheard) or not same_server(heard.answer.server, ctx.server.name):
        return False
    return database.lower() in {name.lower() for name in active_here(heard.answer)}


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
        return _failed(ctx, failed[0], monitor_look(ctx, health))
    if any(item.result_type.lower() != "succeeded" for item in results):
        return Look(Sight.UNREAD, f"probe {ctx.probe}: {', '.join(item.result_type for item in results)}")
    seen = monitor_look(ctx, health)
    if seen.sight is Sight.HEALTHY:
        return replace(seen, detail=f"probe {ctx.probe}: Succeeded, {seen.detail}")
    sight = Sight.DISAGREES if seen.sight in {Sight.FAILS, Sight.HANDS_OFF} else seen.sight
    return replace(seen, sight=sight, detail=f"probe {ctx.probe}: Succeeded, but {seen.detail}")


def _failed(ctx: Context, result: ProbeResult, row: Look) -> Look:
    """What a failing probe shows beside the monitor's rows. Only Unhealthy is a licence to act.

    Degraded is what Unhealthy begins as, Healthy what it was before: the monitor turns after several failed probes of
    its own only, so both are waited for. So are values that say nothing, such as Unavailable.
    """
    why = result.error or result.exception or "no error text"
    because = f" because of {result.reason}" if result.reason else ""
    probe = f"probe {ctx.probe}: {result.result_type}{because} ({why})"
    if row.sight is Sight.FAILS:
        return Look(Sight.FAILS, f"{probe}, {row.detail}", reason=result.reason)
    waits = row.sight in {Sight.HEALTHY, Sight.DISAGREES}
    return replace(row, sight=Sight.UNCONFIRMED if waits else row.sight, detail=f"{probe}, but {row.detail}")


def monitor_look(ctx: Context, health: Heard[ServerHealth] | Unheard) -> Look:
    """What the rows of the incident's monitor show: one bad row is bad, no row or a stale one shows nothing."""
    if isinstance(health, Unheard):
        return Look(Sight.UNREAD, health.detail, health.outcome)
    monitor = ctx.incident.monitor.lower()
    here = [row for row in health.answer.rows if same_server(row.server, ctx.server.name)]
    rows = [row for row in here if row.name.lower() == monitor]
    if not rows:
        return Look(Sight.UNREAD, f"Get-ServerHealth shows no row of {ctx.incident.monitor}")
    kept_off = [row for row in rows if row.alert_value.lower() in HANDS_OFF and not row.is_stale]
    if kept_off:
        reason = HANDS_OFF[kept_off[0].alert_value.lower()]
        return Look(Sight.HANDS_OFF, f"{_spell(kept_off[0])}: {reason}", "undecided")
    unhealthy = [row for row in rows if row.alert_value.lower() == "unhealthy" and not row.is_stale]
    if unhealthy:
        return Look(Sight.FAILS, _spell(unhealthy[0]), "undecided")
    stale = [row for row in rows if row.is_stale]
    if stale:
        return Look(Sight.UNREAD, f"{_spell(stale[0])} and is stale", "undecided")
    bad = [row for row in rows if row.alert_value.lower() != "healthy"]
    if bad:
        return Look(Sight.DISAGREES, _spell(bad[0]), "undecided")
    return Look(Sight.HEALTHY, _spell(rows[0]))


def judge(memo: Json, seen: Look, now: datetime, timing: Timing) -> Done | Again:
    """What follows from this look and those before it."""
    if seen.sight is Sight.HEALTHY:
        return Done(outcome="healthy", detail=seen.detail, result=seen.told)
    if seen.sight is Sight.UNREAD:
        return Again(after=backoff(memo), detail=seen.detail, memo=polled(memo), if_late=seen.if_late)
    if seen.sight is not Sight.DISAGREES:
        return _failing(memo, seen, now, timing)
    since = moment(memo["passing_since"]) if "passing_since" in memo else now
    if now - since >= timedelta(seconds=timing.monitor_wait):
        detail = f"{seen.detail} for {minutes(now - since)}"
        return Done(outcome="undecided", detail=detail, result=seen.told)
    fresh = polled({}, passing_since=timestamp(since))
    return Again(after=30.0, detail=seen.detail, memo=fresh, if_late="undecided")


def _failing(memo: Json, seen: Look, now: datetime, timing: Timing) -> Done | Again:
    """What follows from a failure and those before it, whatever the monitor said beside them."""
    count = int(memo.get("failures", 0)) + 1
    since = moment(memo["failing_since"]) if "failing_since" in memo else now
    detail = f"{seen.detail}, {count} times in {minutes(now - since)}"
    outcome = {Sight.FAILS: "unhealthy", Sight.HANDS_OFF: "undecided", Sight.UNCONFIRMED: "undecided"}[seen.sight]
    span = timing.monitor_wait if seen.sight is Sight.UNCONFIRMED else timing.probe_span
    if count >= timing.probe_failures and now - since >= timedelta(seconds=span):
        return Done(outcome=outcome, detail=detail, result=seen.told)
    fresh = polled({}, failures=count, failing_since=timestamp(since))
    late = "undecided" if seen.sight is Sight.UNCONFIRMED else seen.if_late
    return Again(after=_apart(timing), detail=detail, memo=fresh, if_late=late)


def judge_samples(memo: Json, seen: Look, now: datetime, timing: Timing) -> Done | Again:
    """The same for a monitor without a probe. Until the samples agree for long enough there is no verdict."""
    if seen.sight is Sight.FAILS:
        return _failing(memo, seen, now, timing)
    if seen.sight is Sight.UNREAD:
        # What could not be read is no gap in being unhealthy, but it is one in having remained healthy.
        kept = {name: value for name, value in memo.items() if name != "healthy_since"}
        return Again(after=backoff(memo), detail=seen.detail, memo=polled(kept), if_late=seen.if_late)
    if seen.sight is not Sight.HEALTHY:
        return Again(after=30.0, detail=seen.detail, memo=polled({}), if_late="undecided")
    since = moment(memo["healthy_since"]) if "healthy_since" in memo else now
    rest = timing.probe_span - (now - since).total_seconds()
    detail = f"{seen.detail} for {minutes(now - since)}"
    if rest <= 0:
        return Done(outcome="healthy", detail=detail, result=seen.told)
    fresh = polled({}, healthy_since=timestamp(since))
    return Again(after=min(rest, _apart(timing)), detail=detail, memo=fresh, if_late="undecided")


def _apart(timing: Timing) -> float:
    """Seconds between looks, so that as many as the probe must fail span the time over which it must."""
    return timing.probe_span / max(1, timing.probe_failures - 1)


def minutes(span: timedelta) -> str:
    """A span in words."""
    return f"{span.total_seconds() / 60:.0f} minutes"


def _spell(row: HealthRow) -> str:
    target = f"/{row.target_resource}" if row.target_resource else ""
    return f"{row.name}{target} is {row.alert_value}"
