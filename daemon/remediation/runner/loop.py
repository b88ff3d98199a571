"""Takes the incidents whose timer is due and gives them turns: one task per incident, many incidents in parallel."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from daemon.domain.commits import Commit, Progress
from daemon.domain.errors import Conflict, StoreError
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.remediation.guardrails import causes
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.ending import abandoned
from daemon.remediation.runner.turn import Turn
from daemon.runtime.wakeup import POLL, Nudge

_log = structlog.get_logger("exmedic.runner")


class Runner:
    """The loop over due incidents. `committed` is called after each turn: there may be rows to send."""

    def __init__(
        self,
        guards: GuardContext,
        turn: Callable[[Incident], Turn],
        committed: Callable[[], None],
        poll: float = POLL,
    ) -> None:
        self._guards = guards
        self._store, self._clock, self._settings = guards.store, guards.clock, guards.settings
        self._turn, self._committed = turn, committed
        self._nudge = Nudge(guards.clock, poll)
        self._causes_looked_at = -poll
        self._running: dict[str, asyncio.Task[None]] = {}

    def nudge(self) -> None:
        """A timer may have become due."""
        self._nudge.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Advance due incidents until told to stop; then let what is running reach its next commit."""
        async with asyncio.TaskGroup() as tasks:
            while not stopping.is_set():
                beat()
                await self._start_due(tasks, stopping)
                await self._end_causes()
                await self._wait()
            _log.info("stopping", running=len(self._running))

    async def _end_causes(self) -> None:
        """Now and then: each turn that ends wakes this loop, and what is over may be so a little longer."""
        now = self._clock.monotonic()
        if now - self._causes_looked_at >= self._nudge.poll:
            self._causes_looked_at = now
            await causes.end_those_over(self._guards)

    async def _start_due(self, tasks: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        room = self._settings.winrm.threads - len(self._running)
        # Those that run now are still due in the store, hence the wider look.
        for incident in await self._store.due_incidents(self._clock.now(), room + len(self._running)):
            if incident.id in self._running or len(self._running) >= self._settings.winrm.threads:
                continue
            task = tasks.create_task(self._advance(incident.id, stopping), name=f"incident {incident.id}")
            self._running[incident.id] = task
            task.add_done_callback(partial(self._ended, incident.id))

    def _ended(self, incident_id: str, _task: asyncio.Task[None]) -> None:
        del self._running[incident_id]
        self._nudge.ring()

    async def _wait(self) -> None:
        due = await self._store.next_due()
        # What runs now is still due in the store; when it ends, it rings.
        soon = self._nudge.poll if due is None or self._running else (due - self._clock.now()).total_seconds()
        await self._nudge.wait(max(0.0, min(self._nudge.poll, soon)))

    async def _advance(self, incident_id: str, stopping: asyncio.Event) -> None:
        """Take turns with one incident while it is due."""
        while not stopping.is_set():
            incident = await self._store.incident(incident_id)
            if incident is None or incident.due_at is None or incident.due_at > self._clock.now():
                return
            turn = self._turn(incident)
            try:
                await turn.take()
            except Exception as error:
                if isinstance(error, StoreError) and not isinstance(error, Conflict):
                    raise  # without its store the daemon must stop
                # A defect in one ladder must not stop the others: it escalates.
                _log.exception("internal_error", incident=incident_id)
                await self._escalate_defect(turn, incident_id, error)
            self._committed()

    async def _escalate_defect(self, turn: Turn, incident_id: str, error: Exception) -> None:
        """By its way out if it still has one, else at once."""
        try:
            await turn.escalate_defect(error)
        except Exception as again:
            if isinstance(again, StoreError) and not isinstance(again, Conflict):
                raise
            _log.exception("way_out_failed", incident=incident_id, what="the incident is given up")
            while not await self._given_up(incident_id, f"{type(error).__name__}: {error}"):
                pass  # an alert joined or an operator came in between: on the incident as it is now

    async def _given_up(self, incident_id: str, error: str) -> bool:
        """Whether the incident is given up; False when it moved on meanwhile."""
        store, now = self._store, self._clock.now()
        incident = await store.incident(incident_id)
        if incident is None:
            raise StoreError(f"incident {incident_id} is gone from the store")
        if incident.status is IncidentStatus.OPEN:
            detail = f"internal error, please report it: {error}"
            steps, undo = await store.steps(incident_id), await store.undo_items(incident_id)
            prefix = self._settings.bus.prefix
            commit = abandoned(incident, steps, undo, now=now, detail=detail, prefix=prefix)
        else:
            # It only looked whether it is over; it looks again later, and nobody is paged twice.
            later = now + timedelta(seconds=self._settings.timing.latch_recheck)
            commit = Commit(at=now, progress=Progress(incident=replace(incident, due_at=later)))
        try:
            await store.commit(commit)
        except Conflict:
            moved = await store.incident(incident_id)
            if moved is None or moved.version == incident.version:
                raise
            return False
        return True
