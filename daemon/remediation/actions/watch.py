"""Waiting with an eye on the monitor: the ten minutes of AverageCommandProcessingTimeGt60sMonitor's ladder."""

from datetime import timedelta

from daemon.domain.values import Json, moment, timestamp
from daemon.exchange.answers import ServerHealth
from daemon.remediation.actions.contract import Again, Context, Done, backoff, polled
from daemon.remediation.actions.verify import Look, Sight, minutes, monitor_look

APART = 30.0  #: seconds between looks; a monitor that leaves Healthy stays so for minutes


class WatchMonitor:
    """The action `watch_monitor`: the monitor turns Healthy in time, and then remains so for `minutes`.

    The minutes begin when it turns Healthy, not with the restart before. The page waits ten minutes "to see whether
    the monitor remains healthy". It averages a counter and needs minutes itself to turn after a restart, so minutes
    counted from the restart would be spent on waiting for it, and judge a value that is partly from before.
    """

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """The outcome once the monitor was Healthy, Unhealthy or without a verdict for long enough; else Again."""
        health = await ctx.peer("server_health", {"health_sets": [ctx.incident.health_set]}, ServerHealth)
        seen = monitor_look(ctx, health)
        waiting = moment(memo["waiting_since"]) if "waiting_since" in memo else ctx.now
        begun: Json = {"waiting_since": timestamp(waiting)}
        if seen.sight is Sight.UNREAD:
            # Not seen is not remained: the minutes begin again with the next look that shows it Healthy.
            again = {**begun, "polls": memo.get("polls", 0), "was_healthy": memo.get("was_healthy", False)}
            return Again(after=backoff(memo), detail=seen.detail, memo=polled(again), if_late=_unread(seen))
        if seen.sight is Sight.HEALTHY:
            return _remaining(ctx, memo, seen, begun)
        return _not_healthy(ctx, memo, seen, ctx.now - waiting, begun)


def _remaining(ctx: Context, memo: Json, seen: Look, begun: Json) -> Done | Again:
    wanted = timedelta(minutes=float(ctx.params["minutes"]))
    since = moment(memo["healthy_since"]) if "healthy_since" in memo else ctx.now
    detail = f"{seen.detail} for {(ctx.now - since).total_seconds() / 60:.0f} minutes"
    if ctx.now - since >= wanted:
        return Done(outcome="healthy", detail=detail, result=seen.told)
    fresh = polled(begun, healthy_since=timestamp(since), was_healthy=True)
    rest = (wanted - (ctx.now - since)).total_seconds()
    return Again(after=min(APART, rest), detail=detail, memo=fresh, if_late="unknown")


def _not_healthy(ctx: Context, memo: Json, seen: Look, waited: timedelta, begun: Json) -> Done | Again:
    """Unhealthy if the monitor keeps saying so, as a reboot may follow; unknown if it says nothing; else Again.

    Disabled, Repairing, Unknown and the like are no verdict: they are looked at again, and escalate in the end.
    """
    late = waited >= timedelta(seconds=ctx.timing.monitor_wait)
    again = {**begun, "was_healthy": memo.get("was_healthy", False)}
    if seen.sight is not Sight.FAILS:
        if late:
            return Done(outcome="unknown", detail=f"{seen.detail}: no verdict within {minutes(waited)}")
        return Again(after=APART, detail=seen.detail, memo=polled(again), if_late="unknown")
    since = moment(memo["failing_since"]) if "failing_since" in memo else ctx.now
    if ctx.now - since >= timedelta(seconds=ctx.timing.probe_span) and (late or again["was_healthy"]):
        why = "it did not remain healthy" if again["was_healthy"] else f"not healthy within {minutes(waited)}"
        return Done(outcome="unhealthy", detail=f"{seen.detail}: {why}", result=seen.told)
    fresh = polled({**again, "failing_since": timestamp(since)})
    return Again(after=APART, detail=seen.detail, memo=fresh, if_late="unknown")


def _unread(seen: Look) -> str:
    return seen.if_late if seen.if_late == "unreachable" else "unknown"
