"""The health of a DAG and its cluster: could it stand the loss of this server?"""

from daemon.domain.verdicts import Allow, CannotTell, Refuse, Verdict
from daemon.exchange.answers import DagHealth, DagMember, same_server
from daemon.remediation.actions.preconditions.copies import copies_known, nothing_active
from daemon.remediation.actions.preconditions.facts import Facts

NODE_STATES = frozenset({"up", "down", "paused", "joining"})  #: Microsoft, Get-ClusterNode reference
#: Wants two copies of each database on servers that may activate: of two, our own block leaves one. In both spellings.
OF_OUR_BLOCK = frozenset({"databaseavailabilitycheck", "databaseavailability"})


def node_not_paused(facts: Facts) -> Verdict:
    """The server's cluster node is not Paused, and the DAG does not list it as in maintenance."""
    if not facts.mailbox:
        return Allow()
    if facts.dag is None:
        return _unasked(facts)
    if facts.dag.dag is None:
        return Allow(figures={"dag": None})
    itself = _itself(facts, facts.dag)
    if itself is None:
        return CannotTell(reason=f"{facts.dag.dag} does not list {facts.server.name} as a member")
    figures = {"node_state": itself.node_state, "in_maintenance": itself.in_maintenance}
    if itself.in_maintenance:
        reason = f"{facts.dag.dag} lists {facts.server.name} as in maintenance: somebody is working there"
        return Refuse(reason=reason, figures=figures)
    if itself.node_state.lower() == "paused":
        reason = f"the cluster node of {facts.server.name} is Paused: somebody is working there"
        return Refuse(reason=reason, figures=figures)
    if itself.node_state.lower() not in NODE_STATES:
        return _no_state(itself)
    return Allow(figures=figures)


def members_operational(facts: Facts) -> Verdict:
    """All members operational, none in maintenance, all cluster nodes Up."""
    dag = _members(facts)
    if isinstance(dag, CannotTell):
        return dag
    figures = {member.server: member.node_state for member in dag.members}
    for member in dag.members:
        state = member.node_state.lower()
        if member.in_maintenance:
            return Refuse(reason=f"{member.server} of {dag.dag} is in maintenance", figures=figures)
        if not member.operational:
            return Refuse(reason=f"{member.server} of {dag.dag} is not operational", figures=figures)
        if state in ("down", "paused"):
            return Refuse(reason=f"the cluster node of {member.server} is {member.node_state}", figures=figures)
        if state != "up":
            return _no_state(member)
    return Allow(figures=figures)


def quorum_survives(facts: Facts) -> Verdict:
    """Without this server, more than half of the votes are still there.

    Each member has one vote, and the witness one more when it is in use and the members are even in number
    (Microsoft, Managing database availability groups, "DAG quorum modes"). A member's vote is there when it is
    operational and its node is Up. Votes that the cluster has taken away by dynamic quorum count as if they were
    still given: that can only refuse more often.
    """
    dag = _members(facts)
    if isinstance(dag, CannotTell):
        return dag
    witness = int(dag.witness_counts and len(dag.members) % 2 == 0)
    votes = len(dag.members) + witness
    left = witness + sum(
        member.operational and member.node_state.lower() == "up"
        for member in dag.members
        if not same_server(member.server, facts.server.name)
    )
    figures = {"votes": votes, "left": left, "witness": witness}
    if 2 * left <= votes:
        reason = f"without {facts.server.name}, {dag.dag} keeps {left} of {votes} votes: no quorum"
        return Refuse(reason=reason, figures=figures)
    return Allow(figures=figures)


def replication_clean(facts: Facts) -> Verdict:
    """Every check of Test-ReplicationHealth on the server passed, but for the one that our own block makes fail."""
    if facts.dag is None:
        return _unasked(facts)
    name = facts.server.name
    checks = [check for check in facts.dag.replication if same_server(check.server, name)]
    if not checks:
        return CannotTell(reason=f"Test-ReplicationHealth shows no check of {name}")
    failed = [check for check in checks if check.readable and not check.passed]
    ours = [check for check in failed if facts.blocked_by_us and check.check.lower() in OF_OUR_BLOCK]
    others = [check for check in failed if check not in ours]
    if others:
        names = ", ".join(check.check for check in others)
        why = next((f" ({check.error})" for check in others if check.error), "")
        return Refuse(reason=f"Test-ReplicationHealth on {name} did not pass: {names}{why}", figures={"failed": names})
    unread = next((check for check in checks if not check.readable), None)
    if unread is not None:
        said = f" ({unread.error})" if unread.error else ""
        reason = (
            f"Test-ReplicationHealth on {name} says of {unread.check} neither that it passed nor that it failed{said}"
        )
        return CannotTell(reason=reason)
    if ours and not _all_elsewhere(facts):
        reason = f"{ours[0].check} on {name} fails, and not every database is known to be Mounted elsewhere yet"
        return CannotTell(reason=reason)
    figures: dict[str, object] = {"passed": len(checks) - len(ours)}
    return Allow(figures={**figures, "failed_by_our_block": ours[0].check} if ours else figures)


def _all_elsewhere(facts: Facts) -> bool:
    """Whether every database with a copy on the server is proven to be Mounted on another one."""
    return all(isinstance(verdict, Allow) for verdict in (copies_known(facts), nothing_active(facts)))


def _members(facts: Facts) -> DagHealth | CannotTell:
    """The answer about the DAG, if it shows the members that the answer about the copies shows, this server too."""
    dag, copies = facts.dag, facts.copies
    if dag is None or copies is None:
        return _unasked(facts)
    if _itself(facts, dag) is None:
        return CannotTell(reason=f"{dag.dag or 'no DAG'} does not list {facts.server.name} as a member")
    shown, known = [{_short(member.server) for member in answer.members} for answer in (dag, copies)]
    if shown != known or len(dag.members) != len(shown):
        missing = ", ".join(sorted(shown ^ known)) or "one of them twice"
        return CannotTell(reason=f"two answers about the members of {dag.dag} differ: {missing}")
    return dag


def _itself(facts: Facts, dag: DagHealth) -> DagMember | None:
    return next((member for member in dag.members if same_server(member.server, facts.server.name)), None)


def _short(name: str) -> str:
    # Short names are unique within a DAG: its members are in one domain.
    return name.lower().partition(".")[0]


def _no_state(member: DagMember) -> CannotTell:
    return CannotTell(reason=f"the cluster node of {member.server} is {member.node_state or 'in no known state'}")


def _unasked(facts: Facts) -> CannotTell:
    return CannotTell(reason=f"no answer tells the DAG and the database copies of {facts.server.name}")
