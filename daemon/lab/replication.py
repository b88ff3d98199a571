"""Test-ReplicationHealth in the lab: the checks of one member of a DAG, and which of them fail."""

from collections.abc import Callable, Iterator, Mapping

from daemon.lab.databases import shown_copy
from daemon.lab.fault_words import CHECKS
from daemon.lab.faults import Fault
from daemon.lab.model import Simulation
from daemon.lab.organisation import REPLICATION, Database, Machine

#: Copies that hold what the active one holds, or soon will: one that catches up after a move is not lost.
_REDUNDANT = frozenset(
    {
        "Mounted",
        "Mounting",
        "Dismounting",
        "Dismounted",
        "Healthy",
        "Initializing",
        "Resynchronizing",
        "SeedingSource",
        "DisconnectedAndHealthy",
        "DisconnectedAndResynchronizing",
    }
)
#: Checks of what runs in MSExchangeRepl.
_OF_THE_SERVICE = ("ReplayService", "ActiveManager", "TasksRpcListener", "TcpListener", "ServerLocatorService")
#: By check, the statuses of passive copies that it fails for.
_OF_COPIES = {
    "DBCopySuspended": {"Suspended", "FailedAndSuspended"},
    "DBCopyFailed": {"Failed", "FailedAndSuspended"},
    "DBInitializing": {"Initializing"},
    "DBDisconnected": {"DisconnectedAndHealthy", "DisconnectedAndResynchronizing"},
}


def replication_checks(simulation: Simulation, machine: Machine) -> Iterator[tuple[str, bool]]:
    """The checks by name, and whether they fail; none where there is no DAG."""
    if machine.dag is None:
        return
    injected = machine.faults.get(Fault.REPLICATION_FAILED)
    states = [member.node_state for member in simulation.organisation.members(machine.dag)]
    conditions: Mapping[str, Callable[[], bool]] = {
        "DagMembersUp": lambda: any(state not in ("Up", "Paused") for state in states),
        "DatabaseRedundancyCheck": lambda: _any_alone(simulation, machine, may_activate=False),
        "DatabaseAvailabilityCheck": lambda: _any_alone(simulation, machine, may_activate=True),
    }
    for check in CHECKS:
        fails = check in conditions and conditions[check]()
        fails = fails or (check in _OF_THE_SERVICE and not machine.runs(REPLICATION))
        fails = fails or _lasting(simulation, machine, _OF_COPIES.get(check, set()))
        yield check, fails or (injected is not None and injected.check == check)


def _any_alone(simulation: Simulation, machine: Machine, *, may_activate: bool) -> bool:
    """Whether a database with a copy here has fewer than two that are good, on servers that may activate them."""
    machines = simulation.organisation.machines

    def good(database: Database, holder: Machine) -> bool:
        free = not holder.activation_blocked and holder.activation_policy != "Blocked"
        return (free or not may_activate) and simulation.databases.status(holder, database) in _REDUNDANT

    return any(
        sum(good(database, machines[name]) for name in database.copies) < 2  # noqa: PLR2004 - what the checks want
        for database in simulation.organisation.copies_on(machine)
    )


def _lasting(simulation: Simulation, machine: Machine, statuses: set[str]) -> bool:
    """Whether a fault gives a passive copy here such a status. What passes by itself after a move is not counted."""
    return any(
        shown_copy(machine, database).status in statuses and database.copies[machine.name].status not in statuses
        for database in simulation.organisation.copies_on(machine)
    )
