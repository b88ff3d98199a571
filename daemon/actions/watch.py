"""Waiting with an eye on the monitor: the ten minutes of AverageCommandProcessingTimeGt60sMonitor's ladder."""

from datetime import timedelta

from daemon.actions.action import Again, Context, Done, backoff, polled
from daemon.actions.verify import Look, Sight, monitor_look
from daemon.config import Timing
from daemon.domain import Json, moment, timestamp
from daemon.wire.answers import ServerHealth

APART = 30.0  #: seconds between looks; a monitor that leaves Healthy stays so for minutes


class WatchMonitor:
    """The action `watch_monitor`: the monitor turns Healthy in time, and then remains so for `minutes`.

    The minutes begin when it turns Healthy, not with the restart before. The page waits ten minutes "to see whether
    the monitor remains healthy". It averages a counter and needs minutes itself to turn after a restart, so minutes
    counted from the restart would be spent on waiting for it, and judge a value that is partly from before.
    """

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Look at the monitor's rows once."""
        health = await ctx.peer("server_health", {"health_set": ctx.incident.health_set}, ServerHealth)
        seen = monitor_look(ctx, health)
        waiting = moment(memo["waiting_since"]) if "waiting_since" in memo else ctx.now
        begun: Json = {"waiting_since": timestamp(waiting)}
        if seen.sight is Sight.UNREAD:
            # Not seen is not remained: the minutes begin again with the next look that shows it Healthy.
            again = {**begun, "polls": memo.get("polls", 0), "was_healthy": memo.get("was_healthy", False)}
            return Again(after=backoff(memo), detail=seen.detail, memo=polled(again), if_late=_unread(seen))
        if seen.sight is Sight.HEALTHY:
            return _remaining(ctx, memo, seen, begun)
        return _not_healthy(memo, seen, ctx.now - waiting, ctx.timing, begun)


def _remaining(ctx: Context, memo: Json, seen: Look, begun: Json) -> Done | Again:
    wanted = timedelta(minutes=float(ctx.params["minutes"]))
    since = moment(memo["healthy_since"]) if "healthy_since" in memo else ctx.now
    detail = f"{seen.detail} for {(ctx.now - since).total_seconds() / 60:.0f} minutes"
    if ctx.now - since >= wanted:
        return Done(outcome="healthy", detail=detail, result=seen.told)
    fresh = polled(begun, healthy_since=timestamp(since), was_healthy=True)
    rest = (wanted - (ctx.now - since)).total_seconds()
    return Again(after=min(APART, rest), detail=detail, memo=fresh, if_late="unknown")


def _not_healthy(memo: Json, seen: Look, waited: timedelta, timing: Timing, begun: Json) -> Done | Again:
    if memo.get("was_healthy"):
        return Done(outcome="unhealthy", detail=f"{seen.detail}: it did not remain healthy", result=seen.told)
    if waited >= timedelta(seconds=timing.monitor_wait):
        minutes = f"{waited.total_seconds() / 60:.0f} minutes"
        return Done(outcome="unhealthy", detail=f"{seen.detail}: not healthy within {minutes}", result=seen.told)
    return Again(after=APART, detail=seen.detail, memo=polled(begun), if_late="unhealthy")


def _unread(seen: Look) -> str:
    return seen.if_late if seen.if_late == "unreachable" else "unknown"
