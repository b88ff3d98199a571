"""Letting other incidents run: triage of an alert that names no monitor, and waiting for another server's ladder.

Nobody waits for another incident while holding a claim: `heal` is entered with nothing changed and no claims
(`ActionSpec.parks`). And nobody waits in a circle: an incident with a parent waits for none, and of those that joined
each other the one that would close the circle is refused.
"""

from daemon.domain.incidents import IncidentStatus
from daemon.domain.values import Json
from daemon.exchange.answers import HealthRow, ServerHealth, same_server
from daemon.exchange.client import Unheard
from daemon.remediation.actions.contract import Again, Context, Done, Sick, backoff, polled

POP = "POP*"


class Triage:
    """The action `triage`: step 2b of "Verifying the issue still exists" for an alert that names only a health set."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Unhealthy with the sick POP* monitors of the server if it has any, healthy if it has none; else Again."""
        heard = await ctx.peer("server_health", {"health_sets": [POP]}, ServerHealth)
        if isinstance(heard, Unheard):
            return Again(after=backoff(memo), detail=heard.detail, memo=polled(memo), if_late=heard.outcome)
        rows = [row for row in heard.answer.rows if same_server(row.server, ctx.server.name)]
        if not rows:
            return Again(after=backoff(memo), detail="Get-ServerHealth shows no row of POP*", memo=polled(memo))
        sick = unhealthy(rows, ctx.server.name)
        if sick:
            names = ", ".join(one.monitor for one in sick)
            return Done(outcome="unhealthy", detail=f"unhealthy: {names}", result={"sick": [one.told for one in sick]})
        doubtful = [row for row in rows if row.is_stale or row.alert_value.lower() != "healthy"]
        if doubtful:
            what = "stale" if doubtful[0].is_stale else doubtful[0].alert_value
            return Again(after=backoff(memo), detail=f"{doubtful[0].name} is {what}", memo=polled(memo))
        return Done(outcome="healthy", detail=f"all {len(rows)} rows of POP* are Healthy")


def unhealthy(rows: list[HealthRow], server: str) -> list[Sick]:
    """The monitors with an Unhealthy row that is not stale, each once; empty when there are none."""
    bad = [row for row in rows if row.alert_value.lower() == "unhealthy" and not row.is_stale]
    return list(dict.fromkeys(Sick(server=server, health_set=row.health_set, monitor=row.name) for row in bad))


async def others(ctx: Context) -> list[Sick]:
    """The other POP* monitors of the server that are unhealthy now; empty when there are none. One alert can hide more.

    An answer that is not understood hides them until their own alerts come.
    """
    heard = await ctx.peer("server_health", {"health_sets": [POP]}, ServerHealth)
    if isinstance(heard, Unheard):
        return []
    rows = [row for row in heard.answer.rows if same_server(row.server, ctx.server.name)]
    return [sick for sick in unhealthy(rows, ctx.server.name) if sick.monitor.lower() != ctx.incident.monitor.lower()]


class Heal:
    """The action `heal`."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Healed once each sick monitor's incident is resolved, not healed if one ended otherwise; else Again."""
        if ctx.incident.parent:
            return Done(
                outcome="refused", detail=f"incident {ctx.incident.parent} waits for this one, so it waits for none"
            )
        children = dict(memo.get("children", {}))
        for told in ctx.params["sick"]:
            sick = Sick(**told)
            if str(sick) not in children:
                # A triage only hands over, so those it opens may wait for others themselves.
                parent = ctx.incident.id if ctx.incident.monitor else ""
                child = await ctx.family.ensure(sick, ctx.incident, parent)
                if child is None:
                    return Done(
                        outcome="unknown", detail=f"{sick.server} is not in the inventory, so nobody may heal it"
                    )
                children[str(sick)] = child
        circle = await self._circle(ctx, list(children.values()))
        if circle and ("children" not in memo or ctx.incident.id > max(circle)):
            told = ", which waits for ".join([*circle, "this one"])
            return Done(outcome="refused", detail=f"would wait in a circle: incident {told}")
        return await self._look(ctx, children, memo)

    async def _circle(self, ctx: Context, children: list[str]) -> list[str]:
        """The incidents from one of these on by which this one would wait for itself; empty when there is no circle.

        Two that begin to wait at the same moment both see none. Their next look shows it to both, and one gives way.
        """
        paths, seen = [[child] for child in children], set(children)
        while paths:
            path = paths.pop()
            for following in await ctx.family.waits_for(path[-1]):
                if following == ctx.incident.id:
                    return path
                if following not in seen:
                    seen.add(following)
                    paths.append([*path, following])
        return []

    async def _look(self, ctx: Context, children: dict[str, str], memo: Json) -> Done | Again:
        standing = {name: await ctx.family.standing(child) for name, child in children.items()}
        told = ", ".join(
            f"{name}: incident {children[name]}" if children[name] else f"{name}: no runbook handles it"
            for name in standing
        )
        if any(child is not None and child.status is IncidentStatus.OPEN for child in standing.values()):
            fresh = polled(memo, children=children)
            return Again(after=30.0, detail=f"waits for {told}", memo=fresh, if_late="not_healed")
        failed = [
            name for name, child in standing.items() if child is None or child.status is not IncidentStatus.RESOLVED
        ]
        if failed:
            return Done(outcome="not_healed", detail=f"not healed: {', '.join(failed)} ({told})")
        return Done(outcome="healed", detail=f"healed: {told}")
