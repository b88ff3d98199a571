"""Why a commit is refused, one sentence per broken invariant, the same from every store.

What the invariants are is in `daemon.domain.store.Commits.commit`; each store enforces them in its own way.
"""

from daemon.domain.causes import Cause
from daemon.domain.commits import Limit, Room
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, Key, Step


def already_stored(incident_id: str, version: int) -> Conflict:
    """A new incident's id is taken."""
    return Conflict(f"incident {incident_id} is already stored (version {version}); read it again and decide afresh")


def not_stored(what: str, name: str, wanted_by: str) -> Conflict:
    """Something refers to a record that is not there."""
    return Conflict(
        f"{wanted_by} refers to {what} {name}, which is not stored; put it in the same commit or an earlier"
    )


def moved_on(incident_id: str, stored: int, expected: int) -> Conflict:
    """Somebody else has committed to the incident since it was read."""
    return Conflict(
        f"incident {incident_id} has moved on: version {stored} is stored, the commit was made against {expected}; "
        "read it again and decide afresh"
    )


def latched_unless_escalated(incident: Incident) -> Conflict:
    """Only an escalated incident is latched."""
    return Conflict(f"incident {incident.id} is {incident.status}; only an escalated incident can be latched")


def key_taken(key: Key, holder: str) -> Conflict:
    """Another incident is current for the key."""
    return Conflict(f"{key} already has incident {holder}, open or latched; join that one")


def claim_without_incident(what: str) -> Conflict:
    """A claim is taken or given back by nobody."""
    return Conflict(f"cannot {what}: a claim belongs to an incident, and the commit carries none")


def claim_after_the_end(incident: Incident, scope: str) -> Conflict:
    """An incident that has ended takes a claim."""
    return Conflict(f"incident {incident.id} is {incident.status} and cannot claim {scope}; only an open one can")


def cause_moved_on(cause: Cause) -> Conflict:
    """Another commit noted or ended it first."""
    return Conflict(f"cause {cause.id} ({cause.what}) has moved on; read it again")


def claimed(scope: str, holder: str, incident_id: str) -> Conflict:
    """Another incident claims the server or DAG."""
    return Conflict(f"{scope} is claimed by incident {holder}; incident {incident_id} waits until it is released")


def unsettled(step: Step) -> Conflict:
    """A claim would be given back over an effect that may still happen."""
    return Conflict(
        f"incident {step.incident_id} cannot give its claims back: step {step.id} ({step.action}) is unsettled; "
        f"record its outcome, or quarantine {step.server}, in the same commit"
    )


def step_changed(step: Step) -> Conflict:
    """A stored step is another one."""
    return Conflict(
        f"step {step.id} is stored with another incident, number, state, action, effect or server; use a new id"
    )


def step_number_taken(step: Step, holder: str) -> Conflict:
    """Another step has the number."""
    return Conflict(f"incident {step.incident_id} already has a step number {step.number}: {holder}")


def step_open(step: Step, holder: str) -> Conflict:
    """Another step of the incident has no outcome yet."""
    return Conflict(f"incident {step.incident_id} cannot begin step {step.id}: step {holder} is still open")


def quarantined(step: Step, since_step: str) -> Conflict:
    """An effect on a quarantined server."""
    return Conflict(
        f"{step.server} is quarantined since step {since_step} is unsettled: {step.action} is not a read and cannot "
        "begin until evidence settles that step or an operator releases the server"
    )


def not_claimed(step: Step, holder: str | None) -> Conflict:
    """An effect on a server that the incident does not claim."""
    by_whom = f"claimed by incident {holder}" if holder else "claimed by nobody"
    return Conflict(
        f"{step.server} is {by_whom}: incident {step.incident_id} must claim it before {step.action} can begin"
    )


def spent(limit: Limit, count: int) -> Conflict:
    """A budget is used up."""
    return Conflict(f"{count} of {limit.most} {limit.what} are spent")


def notice_moved_on(about: str) -> Conflict:
    """There is more to tell than was read, or somebody was told meanwhile."""
    return Conflict(f"what is to be told of {about or 'the others'} has changed; read it again")


def no_room(room: Room, count: int) -> Conflict:
    """Too many incidents were opened within a minute."""
    return Conflict(f"{count} of {room.most} incidents a minute {room.what} are open already; defer this one")


def quarantined_already(server: str, step_id: str) -> Conflict:
    """A quarantine would hide an earlier one."""
    return Conflict(f"{server} is already quarantined because of step {step_id}; that one must be lifted first")


def routed_already(alert_id: int, status: str) -> Conflict:
    """An alert is routed twice."""
    return Conflict(f"alert {alert_id} is not pending: it is {status} already")


def routed_nowhere(alert_id: int, status: str) -> Conflict:
    """A routing decides nothing, or joins no incident."""
    return Conflict(f"alert {alert_id} cannot be routed to {status}: a routing ends the waiting, and joins an incident")
