"""Which Mailbox servers served the probe, from the POP protocol log; and whether POP is well there.

The page's PopCTPMonitor steps 3.3 to 3.6: "identify the mailbox that uses this command by comparing the time stamps
with the probe" means the Mailbox server to which the front end proxied the probe's session.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from daemon.domain.incidents import Key
from daemon.domain.inventory import Inventory
from daemon.domain.values import Json, moment, timestamp
from daemon.exchange.answers import (
    HealthRow,
    PopSettings,
    ProbeResult,
    ProbeRun,
    ProtocolLog,
    ServerHealth,
    ServerState,
    same_server,
)
from daemon.exchange.client import Heard, Unheard
from daemon.remediation.actions.contract import Again, Context, Done, Sick, backoff, polled
from daemon.remediation.actions.heal import POP, unhealthy
from daemon.remediation.actions.verify import FAILURES
from statemachines.catalogue import Tier, speaks_of

MONITORING_USERS = ["HealthMailbox*"]  #: the mailboxes that Managed Availability probes with
MARGIN = timedelta(seconds=2)  #: around the probe's own times: a session outlasts its probe a little
FLUSH = timedelta(minutes=2)  #: how long lines may take from the service to its file (unconfirmed)
FIRST_READ, NEXT_READ = 5.0, 30.0  #: seconds after the probe, and from one look into the log to the next

#: The server a session was proxied to, as the log tells it: `Msg="Proxy:mbx1.contoso.com:1995:SSL"`.
PROXIED = re.compile(r"\bproxy:\s*([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)", re.IGNORECASE)
#: What a full name can stand in. A pattern of the name itself would begin anew at every letter of a long run.
RUN = re.compile(r"[A-Za-z0-9.-]+")
TELLING = ("context", "parameters")  #: the columns that name servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the log's rows name: servers of the inventory, other servers, and rows of which that cannot be told."""

    servers: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    unclear: str = ""


class FindBackends:
    """The action `find_backends`.

    It runs the probe once more itself, between two readings of the server's own clock. Those bound the time in which
    the session is in the log, whatever clocks the peers have; where the probe's own times lie within, they narrow it.
    The window of the verification before would not do: it is known by our clock and by a peer's only.
    """

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """The servers that the probe was proxied to; Again until the probe has run and the log has its lines."""
        return await (self._read(ctx, memo) if "since" in memo else self._probe(ctx, memo))

    async def _probe(self, ctx: Context, memo: Json) -> Done | Again:
        settings = await ctx.peer("pop_settings", {}, PopSettings)
        if isinstance(settings, Unheard):
            return _unread(memo, settings)
        if not settings.answer.protocol_log_enabled:
            return _again(memo, f"the protocol log of {ctx.server.name} is off")
        before = await ctx.itself("server_state", {"services": []}, ServerState)
        if isinstance(before, Unheard):
            return _unread(memo, before)
        run = await ctx.peer("invoke_probe", {"health_set": ctx.incident.health_set, "probe": ctx.probe}, ProbeRun)
        if isinstance(run, Unheard):
            return _unread(memo, run)
        after = await ctx.itself("server_state", {"services": []}, ServerState)
        if isinstance(after, Unheard):
            return _unread(memo, after)
        results = [item for item in run.answer.objects if same_server(item.server, ctx.server.name)]
        failed = [item for item in results if item.result_type.lower() in FAILURES]
        if not failed:
            # A run that passes, or is none, leaves no trace of what ails the others.
            told = ", ".join(item.result_type for item in results) or "; ".join(run.answer.warnings) or "no object"
            return _again(memo, f"probe {ctx.probe} did not fail this time ({told}), so there is nothing to trace")
        since, until = _narrowed((before, after), failed)
        fresh = {"since": since, "until": until, "folder": settings.answer.log_location, "ran": timestamp(ctx.now)}
        return Again(after=FIRST_READ, detail=f"probe {ctx.probe} ran; reading the protocol log", memo=fresh)

    async def _read(self, ctx: Context, memo: Json) -> Done | Again:
        flushed = ctx.now - moment(memo["ran"]) >= FLUSH
        heard = await self._log(ctx, memo)
        if isinstance(heard, Unheard):
            return _unread(memo, heard)
        log, where = heard.answer, f"the protocol log of {ctx.server.name}"
        named = names(log, ctx.ask.inventory)
        if log.truncated or named.unclear:
            return _again(memo, f"{where} cannot be trusted: {named.unclear or 'more rows than were sent'}")
        if named.strangers:
            outside = ", ".join(named.strangers)
            return Done(outcome="unknown", detail=f"{where} names {outside}, which the inventory does not have")
        if named.servers:
            servers = list(named.servers)
            return Done(outcome="found", detail=f"{where} names {', '.join(servers)}", result={"servers": servers})
        if not flushed or not log.rows:
            # Without a row of the probe's own session nothing is known; those of others tell nothing about it.
            return _again(memo, f"{where} {'names no server' if log.rows else 'has no row of the probe'} yet")
        return Done(outcome="none", detail=f"{where} names no server in {len(log.rows)} rows of {log.files} files")

    async def _log(self, ctx: Context, memo: Json) -> Heard[ProtocolLog] | Unheard:
        args = {name: memo[name] for name in ("folder", "since", "until")}
        return await ctx.itself("protocol_log", {**args, "users": MONITORING_USERS}, ProtocolLog)


def _narrowed(clocks: tuple[Heard[ServerState], Heard[ServerState]], results: list[ProbeResult]) -> tuple[str, str]:
    """The beginning and the end of the time in which the probe ran, on the server's own clock."""
    first, last = clocks[0].clock, clocks[1].clock
    since, until = first, last
    for result in results:
        if result.started and result.ended and first <= result.started <= result.ended <= last:
            since, until = max(first, result.started - MARGIN), min(last, result.ended + MARGIN)
    return timestamp(since), timestamp(until)


def names(log: ProtocolLog, inventory: Inventory) -> Named:
    """The servers that the log's rows name, all empty if none. Fields are found by the names in its own header."""
    columns = [name.strip().lower() for name in log.columns]
    telling = [columns.index(name) for name in TELLING if name in columns]
    if not log.files:
        return Named(unclear="there is no log file")
    if not telling:
        return Named(unclear=f"its header has no column {' or '.join(TELLING)}")
    servers: dict[str, None] = {}
    strangers: dict[str, None] = {}
    for row in log.rows:
        if len(row) != len(columns):
            return Named(unclear=f"a row has {len(row)} fields, the header {len(columns)}")
        for place in telling:
            proxied = PROXIED.findall(row[place])
            if "proxy" in row[place].lower() and not proxied:
                return Named(unclear=f"a row speaks of a proxy but names none: {row[place][:100]}")
            for name in [*proxied, *_qualified(row[place], inventory)]:
                server = inventory.find(name)
                if server is None:
                    strangers[name] = None
                else:
                    servers[server.name] = None
    return Named(servers=tuple(servers), strangers=tuple(strangers))


def _qualified(text: str, inventory: Inventory) -> Iterator[str]:
    """Servers of the inventory that are named in full anywhere; no others: domains of users look like servers."""
    names = (name.strip(".-") for run in RUN.findall(text) for name in run.split(".."))
    return (name for name in names if "." in name and inventory.find(name) is not None)


class CheckPop:
    """The action `check_pop`: what Get-ServerHealth POP* says of the back end of each of the servers.

    What a server's own front end says is left out: it is red because of the same back end, or of another fault, and
    two servers would each find the other's.
    """

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """Unhealthy if one back-end monitor is, healthy if each server has answered that all of its are; else Again."""
        sick: list[Sick] = []
        doubts: list[Again] = []
        for name in ctx.params["servers"]:
            server = ctx.ask.inventory.find(str(name))
            if server is None:
                return Done(outcome="unknown", detail=f"{name} is no longer in the inventory")
            heard = await ctx.ask.about(
                server, "server_health", {"server": server.name, "health_sets": [POP]}, ServerHealth, ctx.step_id
            )
            if isinstance(heard, Unheard):
                doubts.append(_unread(memo, heard))
                continue
            rows = _of_back_end([row for row in heard.answer.rows if same_server(row.server, server.name)])
            sick += [one for one in unhealthy(rows, server.name) if not _own(ctx, one)]
            doubt = _doubtful(ctx, rows, server.name)
            doubts += [_again(memo, doubt)] if doubt else []
        if sick:
            told = [one.told for one in sick]
            return Done(outcome="unhealthy", detail=f"unhealthy: {', '.join(map(str, sick))}", result={"sick": told})
        if doubts:
            return doubts[0]
        servers = ", ".join(str(name) for name in ctx.params["servers"])
        detail = f"all monitors of POP's back end are Healthy on {servers}"
        return Done(outcome="healthy", detail=detail, result={"sick": []})


def _of_back_end(rows: list[HealthRow]) -> list[HealthRow]:
    """The rows that speak of the back end. One that may speak of either does, where the server has no front end."""
    tiers = [(row, speaks_of(row.health_set, row.name)) for row in rows]
    spoken_of = {Tier.BACK} if any(tier is Tier.FRONT for _, tier in tiers) else {Tier.BACK, None}
    return [row for row, tier in tiers if tier in spoken_of]


def _own(ctx: Context, sick: Sick) -> bool:
    """Whether it is this incident's own monitor, where the server proxied to itself: it must not wait for itself."""
    return Key.of(sick.server, sick.health_set, sick.monitor) == ctx.incident.key


def _doubtful(ctx: Context, rows: list[HealthRow], server: str) -> str:
    """Why the rows do not show that POP is well; empty when they do. A disabled monitor says nothing either way."""
    telling = [row for row in rows if row.alert_value.lower() != "disabled"]
    if not telling:
        return f"Get-ServerHealth shows no row of POP's back end for {server}"
    for row in telling:
        own = _own(ctx, Sick(server=server, health_set=row.health_set, monitor=row.name))
        if not own and (row.is_stale or row.alert_value.lower() != "healthy"):
            return f"{row.name} on {server} is {'stale' if row.is_stale else row.alert_value}"
    return ""


def _unread(memo: Json, heard: Unheard) -> Again:
    return Again(after=backoff(memo), detail=heard.detail, memo=polled(memo), if_late=heard.outcome)


def _again(memo: Json, detail: str) -> Again:
    return Again(after=NEXT_READ, detail=detail, memo=polled(memo))
