"""One turn of one incident: ask servers, commit what the engine decides, send an effect.

`reading` looks, `effects` acts, and what both need of the incident is the `session`.
"""

from contextlib import suppress

from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, Step
from daemon.remediation.actions.contract import Done
from daemon.remediation.guardrails import recommendations
from daemon.remediation.runner import effects, reading
from daemon.remediation.runner.services import Services
from daemon.remediation.runner.session import Session
from statemachines.actions import Effect
from statemachines.table import leaves


class Turn:
    """At most one step further."""

    def __init__(self, services: Services, incident: Incident) -> None:
        self._session = Session(services, incident)

    async def take(self) -> None:
        """Do what the incident's state asks for."""
        before = self._session.incident
        await self._take()
        if before.recommended:
            await recommendations.look(self._session.guards, await self._session.asker([]), before)

    async def _take(self) -> None:
        session = self._session
        incident = session.incident
        if incident.status is not IncidentStatus.OPEN:
            await reading.watch(session)
            return
        step = await session.store.open_step(incident.id)
        only_reads = step is None or step.effect is Effect.READ
        if session.server is None:
            await self._without_server(step)
        elif incident.close_by and only_reads and not leaves(incident.state):
            await session.commit(lambda case: session.engine.close(case, step))
        elif only_reads and await self._stands_back(step):
            pass  # it has ended; or it moved on meanwhile, and its next turn decides
        elif step is None:
            await self._begin()
        elif step.effect is Effect.READ:
            await reading.poll(session, step)
        else:
            await effects.settle(session, step)

    async def _stands_back(self, step: Step | None) -> bool:
        """Whether a human has the problem or the server already, so that the incident ended before what comes next."""
        session = self._session
        ladder = await session.guards.ladders.of(session.incident)
        if not ladder.states[session.incident.state].action.acts:
            return False  # most turns only look: they need not read all that the decision does
        case = await session.case()
        if not session.engine.stands_back(case):
            return False
        with suppress(Conflict):
            await session.store.commit(session.engine.stand_back(case, step))
        return True

    async def _begin(self) -> None:
        case = await self._session.case()
        if case.state.action.effect is Effect.READ:
            await reading.begin(self._session)
        else:
            await effects.begin(self._session, case)

    async def _without_server(self, step: Step | None) -> None:
        """The server was taken out of the inventory: it is contacted no more, and somebody must know."""
        await self._give_up(step, f"{self._session.incident.server} is no longer in the inventory")

    async def escalate_defect(self, error: Exception) -> None:
        """Escalate because exmedic itself is at fault; an open effect stays unsettled, so it quarantines."""
        detail = f"internal error, please report it: {type(error).__name__}: {error}"
        step = await self._session.store.open_step(self._session.incident.id)
        await self._give_up(step, detail)

    async def _give_up(self, step: Step | None, detail: str) -> None:
        await self._session.over(step, Done(outcome="unknown", detail=detail))
