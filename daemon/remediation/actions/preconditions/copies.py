"""The database copies of a server: are they all known, could they go elsewhere, is nothing left?"""

from daemon.domain.verdicts import Allow, CannotTell, Refuse, Verdict
from daemon.exchange.answers import DatabaseCopies, DatabaseCopy, MailboxServer, same_server
from daemon.remediation.actions.preconditions.facts import Facts

#: Copy statuses of which nothing can be concluded. Microsoft, Get-MailboxDatabaseCopyStatus reference.
CANNOT_TELL = frozenset({"servicedown", "unknown", "misconfigured"})
COPY_QUEUE_LIMIT = 10  #: logs not yet copied; a copy with as many or more is no refuge
REPLAY_QUEUE_LIMIT = 50  #: logs not yet replayed


def activation_open(facts: Facts) -> Verdict:
    """Nobody but this incident has blocked activation on the server; a server without copies has no activation."""
    if not facts.mailbox:
        return Allow()
    name = facts.server.name
    itself = None if facts.copies is None else member(facts.copies, name)
    if itself is None:
        return CannotTell(reason=f"the answer has no settings of {name} itself")
    figures = {"activation_blocked": itself.activation_blocked, "activation_policy": itself.activation_policy}
    if itself.activation_blocked and facts.left_blocked_by:
        reason = (
            f"activation is blocked on {name}, as incident {facts.left_blocked_by} of ours left it, unless somebody "
            f"has blocked it since: `exmedic undo {facts.left_blocked_by}` puts it back"
        )
        return Refuse(reason=reason, figures=figures)
    if itself.activation_blocked and not facts.blocked_by_us:
        reason = f"activation is already blocked on {name}, not by this incident: somebody is working there"
        return Refuse(reason=reason, figures=figures)
    if itself.activation_policy.lower() == "blocked":
        reason = f"the activation policy of {name} is Blocked: somebody is working there"
        return Refuse(reason=reason, figures=figures)
    return Allow(figures=figures)


def activation_held(facts: Facts) -> Verdict:
    """Activation is still blocked by this incident: otherwise databases may have come back since the move."""
    itself = None if facts.copies is None else member(facts.copies, facts.server.name)
    if itself is None:
        return CannotTell(reason=f"the answer has no settings of {facts.server.name} itself")
    figures = {"activation_blocked": itself.activation_blocked, "by_this_incident": facts.blocked_by_us}
    if not (itself.activation_blocked and facts.blocked_by_us):
        reason = f"activation is not blocked by this incident on {facts.server.name} any more: databases may come back"
        return Refuse(reason=reason, figures=figures)
    return Allow(figures=figures)


def in_a_dag(facts: Facts) -> Verdict:
    """The server is in a DAG; otherwise a move or a reboot takes its databases down."""
    if facts.copies is None:
        return _unasked(facts)
    if facts.copies.dag is None:
        return Refuse(reason=f"{facts.server.name} is in no DAG: its databases have nowhere to go")
    return Allow(figures={"dag": facts.copies.dag})


def copies_known(facts: Facts) -> Verdict:
    """The answer about the copies is complete, and something can be concluded from every one of them."""
    if facts.copies is None:
        return _unasked(facts)
    why = incomplete(facts.copies)
    if why:
        return CannotTell(reason=f"cannot tell whether {facts.server.name} can be spared: {why}")
    return Allow(figures={"databases": facts.copies.databases, "copies": len(facts.copies.copies)})


def refuges_exist(facts: Facts) -> Verdict:
    """Every database active on the server has another copy that could take it over now."""
    if facts.copies is None:
        return _unasked(facts)
    found = {database: refuges(facts.copies, database) for database in active_here(facts.copies)}
    for database, servers in found.items():
        if not servers:
            reason = f"database {database} has no other healthy copy to move to"
            return Refuse(reason=reason, figures={"refuges": found})
    return Allow(figures={"refuges": found})


def nothing_active(facts: Facts) -> Verdict:
    """No active copy is on the server, and every database with a copy on it is Mounted elsewhere (rule 7)."""
    if facts.copies is None:
        return _unasked(facts)
    active = active_here(facts.copies)
    if active:
        reason = f"{facts.server.name} holds the active copy of {', '.join(active)}"
        return Refuse(reason=reason, figures={"active_here": active})
    for copy in facts.copies.copies:
        if copy.active and copy.status.lower() != "mounted":
            return Refuse(reason=f"database {copy.database} is {copy.status} on {copy.server}, not Mounted")
    return Allow(figures={"active_here": []})


def no_seeding(facts: Facts) -> Verdict:
    """No copy elsewhere is being seeded from this server.

    A passive copy that is a source says SeedingSource; an active one goes on saying Mounted, and is the source by
    default (Microsoft, Update-MailboxDatabaseCopy reference, SourceServer).
    """
    if facts.copies is None:
        return _unasked(facts)
    active = active_here(facts.copies)
    for copy in facts.copies.copies:
        here, status = same_server(copy.server, facts.server.name), copy.status.lower()
        if here and status == "seedingsource":
            return Refuse(reason=f"a copy of {copy.database} is being seeded from {facts.server.name}")
        if not here and status == "seeding" and copy.database in active:
            reason = f"the copy of {copy.database} on {copy.server} is being seeded from {facts.server.name}"
            return Refuse(reason=reason)
    return Allow(figures={"seeding": []})


def incomplete(facts: DatabaseCopies) -> str:
    """Why the answer about a server's copies cannot be trusted; empty when it is complete.

    Exchange returns every object for an identity it does not know, and drops rows under load: so names and counts
    are compared.
    """
    if not facts.mailbox_role:
        return f"{facts.server} answers that it has no Mailbox role"
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

    A copy there is Healthy, not lagged, not suspended, its queues known to be short, on a server that is neither
    flagged nor Blocked.
    """
    return [
        copy.server
        for copy in facts.copies
        if copy.database == database
        and not same_server(copy.server, facts.server)
        and _open(member(facts, copy.server))
        if copy.status.lower() == "healthy" and not copy.lagged and not copy.activation_suspended
        if not copy.copy_queue_stale and copy.copy_queue < COPY_QUEUE_LIMIT
        if copy.replay_queue < REPLAY_QUEUE_LIMIT
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


def _open(settings: MailboxServer | None) -> bool:
    """Whether a server may take databases over."""
    return settings is not None and not settings.activation_blocked and settings.activation_policy.lower() != "blocked"


def _unasked(facts: Facts) -> CannotTell:
    return CannotTell(reason=f"no answer tells the database copies of {facts.server.name}")
