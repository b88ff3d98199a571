"""Databases in the lab: moving away, failing over, coming back. Everything is asynchronous, as in Exchange.

Facts: Microsoft, Set-MailboxServer (DatabaseCopyActivationDisabledAndMoveNow moves only databases with a healthy copy
elsewhere, never to a server whose activation is blocked) and Get-MailboxDatabaseCopyStatus (statuses).
"""

from collections.abc import Callable
from dataclasses import replace

from daemon.lab.faults import Fault
from daemon.lab.organisation import (
    INFORMATION_STORE,
    REPLICATION,
    Copy,
    Database,
    Machine,
    Organisation,
)
from daemon.lab.record import Record
from daemon.lab.timeline import Timeline

_FIRST_MOVE = 15.0  #: seconds until Active Manager looks at a changed flag
_SWITCH = 10.0  #: seconds a database is dismounted, and again mounting, while it moves
_RETRY = 60.0  #: seconds until it looks again at databases that could not move
_FAILOVER = 30.0  #: seconds until a dropped database is mounted elsewhere
_LAG = 4200  #: logs that a lagged copy has not replayed
_SUSPENDED = ("Suspended", "FailedAndSuspended")
_RESYNC = 40.0  #: seconds a copy initialises, and again resynchronises, after its server is back


def shown_copy(machine: Machine, database: Database) -> Copy:
    """The copy of a database on a server, with what a fault makes of a passive one; the active one is up to date."""
    copy = database.copies[machine.name]
    if database.active == machine.name:
        return Copy()
    lagged, suspended = machine.faults.get(Fault.LAGGED_COPIES), machine.faults.get(Fault.SUSPENDED_COPIES)
    if lagged is not None and lagged.database in ("", database.name):
        copy = replace(copy, lagged=True, replay_queue=max(copy.replay_queue, _LAG))
    if suspended is not None and suspended.database in ("", database.name):
        copy = replace(copy, status="Suspended", activation_suspended=True)
    status = machine.faults.get(Fault.COPY_STATUS)
    if status is not None and status.database in ("", database.name):
        copy = replace(copy, status=status.status, activation_suspended=status.status in _SUSPENDED)
    return copy


class ActiveManager:
    """Moves databases. Call with the model's lock held."""

    def __init__(self, organisation: Organisation, timeline: Timeline, record: Record) -> None:
        self._organisation = organisation
        self._timeline = timeline
        self._record = record

    def set_blocked(self, machine: Machine, blocked: bool) -> None:
        """Set DatabaseCopyActivationDisabledAndMoveNow. True starts moving; False moves nothing back."""
        machine.activation_blocked = blocked
        if blocked:
            self._timeline.after(_FIRST_MOVE, lambda: self._move_next(machine))

    def status(self, machine: Machine, database: Database) -> str:
        """The status of a database's copy on a server, as Exchange would show it."""
        if not self._serves(machine):
            return "ServiceDown"
        return database.state if database.active == machine.name else shown_copy(machine, database).status

    def dropped(self, machine: Machine, *, rebooted: bool) -> None:
        """A server has gone down: what was active on it is dismounted, and fails over if it can.

        `rebooted`: somebody asked for it, who ought to have moved the databases away before.
        """
        for database in self._organisation.active_on(machine):
            database.turn += 1
            database.state = "Dismounted"
            if rebooted:
                self._record.effect(
                    "violation",
                    machine.name,
                    executor=machine.name,
                    step="",
                    detail=f"{machine.name} went down with the active copy of {database.name}",
                )
            self._after(_FAILOVER, database, self._fail_over)

    def came_back(self, machine: Machine) -> None:
        """Information Store and Replication run again: copies catch up, what is still active here is mounted."""
        for database in self._organisation.copies_on(machine):
            if database.active == machine.name:
                self._mount(database, machine.name)
            else:
                self._catch_up(database.copies[machine.name])

    def _move_next(self, machine: Machine) -> None:
        """Begin the next move, one at a time, until nothing active is left or the flag is taken back."""
        remaining = self._organisation.active_on(machine)
        if not machine.activation_blocked or not remaining or not machine.answering:
            return
        for database in remaining:
            stuck = machine.faults.get(Fault.DATABASE_STUCK)
            if (stuck and stuck.database == database.name) or self._target(database) is None:
                continue
            database.state = "Dismounting"
            self._after(_SWITCH, database, self._fail_over)
            self._timeline.after(2 * _SWITCH, lambda: self._move_next(machine))
            return
        self._timeline.after(_RETRY, lambda: self._move_next(machine))

    def _fail_over(self, database: Database) -> None:
        """Mount a dismounted database on the best other copy; where it was, if there is none."""
        target = self._target(database)
        if target is not None:
            self._catch_up(database.copies[database.active])
            database.active = target
            self._mount(database, target)
        elif self._serves(self._organisation.machines[database.active]):
            self._mount(database, database.active)
        else:
            database.state = "Dismounted"
            self._after(_FAILOVER, database, self._fail_over)

    def _mount(self, database: Database, server: str) -> None:
        database.state = "Mounting"

        def mounted(database: Database) -> None:
            if self._serves(self._organisation.machines[server]):
                database.state = "Mounted"

        self._after(_SWITCH, database, mounted)

    def _catch_up(self, copy: Copy) -> None:
        copy.status = "Initializing"
        copy.copy_queue = 20

        def step(status: str, queue: int) -> None:
            copy.status, copy.copy_queue = status, queue

        self._timeline.after(_RESYNC, lambda: step("Resynchronizing", 8))
        self._timeline.after(2 * _RESYNC, lambda: step("Healthy", 0))

    def _target(self, database: Database) -> str | None:
        """The best healthy copy elsewhere: shortest queues, then the order of preference."""
        source = self._organisation.machines[database.active]
        usable = [
            (copy.copy_queue + copy.replay_queue, number, name)
            for number, name in enumerate(database.copies)
            if name != database.active
            and (copy := shown_copy(self._organisation.machines[name], database))
            and copy.status == "Healthy"
            and not copy.activation_suspended
            and not copy.lagged
            and self._accepts(self._organisation.machines[name], source)
        ]
        return min(usable)[2] if usable else None

    def _accepts(self, machine: Machine, source: Machine) -> bool:
        nearby = machine.activation_policy != "IntrasiteOnly" or machine.site == source.site
        free = not machine.activation_blocked and machine.activation_policy != "Blocked"
        return free and nearby and self._serves(machine)

    def _serves(self, machine: Machine) -> bool:
        return machine.runs(INFORMATION_STORE, REPLICATION)

    def _after(self, seconds: float, database: Database, event: Callable[[Database], None]) -> None:
        """Plan the next event of a database; a later plan replaces it."""
        database.turn += 1
        planned = database.turn
        self._timeline.after(seconds, lambda: event(database) if database.turn == planned else None)
