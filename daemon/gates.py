"""The guardrails: asked before every effect, on facts read afresh. Pure decisions.

Allow, hold (not now, ask again) or refuse (never; escalate), each with the sentence and the figures that decided.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from daemon.config import Timing
from daemon.domain import Json, Mode, Quarantine
from daemon.wire.answers import DatabaseCopies, DatabaseCopy, MailboxServer, same_server

#: Copy statuses of which nothing can be concluded. Microsoft, Get-MailboxDatabaseCopyStatus reference.
CANNOT_TELL = frozenset({"servicedown", "unknown", "misconfigured"})
COPY_QUEUE_LIMIT = 10  #: logs not yet copied; a copy with as many or more is no refuge
REPLAY_QUEUE_LIMIT = 50  #: logs not yet replayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """Go on; `figures` are the facts that allowed it."""

    figures: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Not now: ask again after `after`, escalate at `deadline` since the waiting began.

    `verify_afresh`: the world may have changed by then, so verify the problem again before acting. `lets_go`: gives
    its claims back meanwhile, if nothing waits to be undone (rule 6).
    """

    reason: str
    after: timedelta
    deadline: timedelta
    verify_afresh: bool = True
    lets_go: bool = False
    outcome: str = "refused"  #: at the deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Never: escalate with this reason."""

    reason: str
    figures: Json = field(default_factory=dict)


Verdict = Allow | Hold | Refuse


def may_act(
    *,
    what: str,
    mode: Mode,
    paused: str | None,
    quarantine: Quarantine | None,
    timing: Timing,
) -> Verdict:
    """The gates that need no server: mode, kill switch, quarantine. `what` is the effect in plain words."""
    if quarantine is not None:
        return Refuse(
            reason=f"{quarantine.server} is quarantined since {quarantine.since:%Y-%m-%d %H:%M} UTC: "
            f"{quarantine.reason}; check the server, then `exmedic release {quarantine.server}`"
        )
    if paused is not None:
        after, deadline = timedelta(seconds=timing.hold_recheck), timedelta(seconds=timing.hold_deadline)
        return Hold(reason=f"paused: {paused}", after=after, deadline=deadline)
    if mode is Mode.OBSERVE:
        after, deadline = timedelta(seconds=timing.latch_recheck), timedelta(seconds=timing.observe_deadline)
        return Hold(reason=f"mode observe: would {what}", after=after, deadline=deadline, lets_go=True)
    return Allow()


def incomplete(facts: DatabaseCopies) -> str:
    """Why the answer about a server's copies cannot be trusted; empty when it is complete.

    Exchange returns every object for an identity it does not know, and drops rows under load: so names and counts
    are compared.
    """
    if not facts.mailbox_role:
        return f"{facts.server} answers that it has no Mailbox role, and the inventory says it has"
    if member(facts, facts.server) is None:
        return f"the answer has no settings of {facts.server} itself"
    here = {copy.database for copy in copies_here(facts)}
    if len(here) != facts.databases:
        return f"{facts.server} has {facts.databases} databases, the answer shows copies of {len(here)}"
    for database in sorted({copy.database for copy in facts.copies}):
        actives = [copy for copy in facts.copies if copy.database == database and copy.active]
        if len(actives) != 1:
            return f"database {database} shows {len(actives)} active copies"
    unknown = sorted(copy.server for copy in facts.copies if member(facts, copy.server) is None)
    if unknown:
        return f"the answer has no settings of {unknown[0]}, which holds copies"
    dim = [copy for copy in facts.copies if copy.status.lower() in CANNOT_TELL]
    if dim:
        return f"copy {dim[0].database} on {dim[0].server} is {dim[0].status}: nothing can be concluded from it"
    return ""


def refuges(facts: DatabaseCopies, database: str) -> list[str]:
    """The other servers that could take over a database now.

    A copy there is Healthy, not lagged, not suspended, its queues short, on a server that is neither flagged nor
    Blocked.
    """
    return [
        copy.server
        for copy in facts.copies
        if copy.database == database
        and not same_server(copy.server, facts.server)
        and _open(member(facts, copy.server))
        if copy.status.lower() == "healthy" and not copy.lagged and not copy.activation_suspended
        if copy.copy_queue < COPY_QUEUE_LIMIT and copy.replay_queue < REPLAY_QUEUE_LIMIT
    ]


def active_here(facts: DatabaseCopies) -> list[str]:
    """The databases whose active copy is on the server asked about."""
    return sorted(copy.database for copy in copies_here(facts) if copy.active)


def copies_here(facts: DatabaseCopies) -> list[DatabaseCopy]:
    """The copies on the server asked about."""
    return [copy for copy in facts.copies if same_server(copy.server, facts.server)]


def member(facts: DatabaseCopies, server: str) -> MailboxServer | None:
    """The settings of a server in the answer."""
    return next((found for found in facts.members if same_server(found.server, server)), None)


def blocked_here(facts: DatabaseCopies) -> bool | None:
    """Whether activation is blocked on the server asked about; None when the answer does not say."""
    itself = member(facts, facts.server)
    return None if itself is None else itself.activation_blocked


def may_move(facts: DatabaseCopies) -> Verdict:
    """Before active databases are moved away from a server."""
    why = incomplete(facts)
    if why:
        return Refuse(reason=f"cannot tell whether a move is safe: {why}")
    if facts.dag is None:
        return Refuse(reason=f"{facts.server} is in no DAG: its databases have nowhere to go")
    if blocked_here(facts):
        return Refuse(reason=f"activation is already blocked on {facts.server}, not by us: somebody is working there")
    figures = {database: refuges(facts, database) for database in active_here(facts)}
    for database, servers in figures.items():
        if not servers:
            return Refuse(reason=f"database {database} has no other healthy copy to move to", figures=figures)
    return Allow(figures={"refuges": figures})


def may_reboot(facts: DatabaseCopies) -> Verdict:
    """Before a server that may hold database copies is rebooted: nothing active on it, nothing unknown."""
    why = incomplete(facts)
    if why:
        return Refuse(reason=f"cannot tell whether a reboot is safe: {why}")
    if facts.dag is None:
        return Refuse(reason=f"{facts.server} is in no DAG: rebooting it takes its databases down")
    active = active_here(facts)
    if active:
        return Refuse(reason=f"{facts.server} holds the active copy of {', '.join(active)}")
    unmounted = [copy for copy in facts.copies if copy.active and copy.status.lower() != "mounted"]
    if unmounted:
        copy = unmounted[0]
        return Refuse(reason=f"database {copy.database} is {copy.status} on {copy.server}, not Mounted")
    return Allow(figures={"active_here": [], "databases": facts.databases})


def _open(settings: MailboxServer | None) -> bool:
    """Whether a server may take databases over."""
    return settings is not None and not settings.activation_blocked and settings.activation_policy.lower() != "blocked"
