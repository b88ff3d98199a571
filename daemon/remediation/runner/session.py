"""One incident in one turn: what is known of it, what servers said, and how what is decided is committed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from daemon.domain.commits import Commit
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, Step, UndoItem
from daemon.domain.inventory import Server
from daemon.domain.ports import Call, Reply
from daemon.domain.values import Json
from daemon.domain.windows import Span
from daemon.exchange.client import Asker
from daemon.remediation.actions.contract import Context, Done, last_of
from daemon.remediation.actions.undo import follows
from daemon.remediation.guardrails import windows
from daemon.remediation.incidents.ending import FLAPPING_WITHIN, outage_of
from daemon.remediation.incidents.snapshot import Case
from daemon.remediation.runner.services import Services


class Session:
    """What the reading and the acting part of a turn share."""

    def __init__(self, services: Services, incident: Incident) -> None:
        self.guards = services.guards  #: what guardrails work with; they see no more than this
        self.engine, self.family = services.engine, services.family
        self.store, self.clock = self.guards.store, self.guards.clock
        self.settings = self.guards.settings
        self._shell, self._outside = services.shell, services.outside
        self.incident = incident  #: as it was last committed
        self.server = self.guards.inventory.find(incident.server)
        self.transcript: list[Json] = []  #: the raw answers heard in this turn

    async def case(self) -> Case:
        """The incident with all that decisions about it need."""
        incident = self.incident
        store = self.store
        now, ladder = self.clock.now(), await self.guards.ladders.of(incident)
        closed: tuple[Span, ...] = ()
        lasts = timedelta(seconds=self.settings.timing.hold_deadline)
        there = [each for each in await store.on_server(incident.server) if each.id != incident.id]
        if incident.status is IncidentStatus.OPEN and self.server is not None:
            action = ladder.states[incident.state].action
            closed = await windows.closed(self.guards, incident, action, self.server, now)
        return Case(
            incident=incident,
            ladder=ladder,
            steps=tuple(await store.steps(incident.id)),
            undo=tuple(await store.undo_items(incident.id)),
            now=now,
            closed=closed,
            open_there=tuple(each for each in there if each.status is IncidentStatus.OPEN),
            outage=outage_of(there, now, lasts),
            transients=tuple(await store.transients(incident.key, now - FLAPPING_WITHIN)),
        )

    def here(self) -> Server:
        """The incident's server.

        Raises:
            ValueError: the inventory does not have it any more.
        """
        if self.server is None:
            raise ValueError(f"{self.incident.server} is not in the inventory")
        return self.server

    async def context(self, case: Case, step_id: str, params: Json) -> Context:
        """What an action works with."""
        item = case.item(params)
        setting = "" if item is None else follows(item.setting)
        handled = case.ladder.definition.handled(case.incident.health_set, case.incident.monitor)
        return Context(
            incident=case.incident,
            server=self.here(),
            probe=None if handled is None else handled.probe,
            step_id=step_id,
            params=params,
            now=case.now,
            timing=self.settings.timing,
            ask=await self.asker(self.transcript),
            family=self.family,
            item=item,
            left=await self._left(),
            senders=case.senders(setting) if setting else (),
            put_back_at=case.put_back_at(setting) if setting else None,
            outside=self._outside,
            front_end=handled is not None and handled.probe is not None and handled.role != "mailbox",
            probe_reason=case.probe_reason,
        )

    async def _left(self) -> tuple[UndoItem, ...]:
        """What other incidents changed on the server and did not put back."""
        changed = await self.store.changed_on(self.incident.server)
        return tuple(item for item in changed if item.incident_id != self.incident.id)

    async def asker(self, transcript: list[Json]) -> Asker:
        """What asks for the incident. Who may go away any moment, or is away, is asked about others last."""
        claimed = await self.store.claims() - {self.incident.server}
        busy = claimed | {quarantine.server for quarantine in await self.store.quarantines()}
        return Asker(
            shell=self._shell,
            clock=self.clock,
            inventory=self.guards.inventory,
            timeout=self.settings.winrm.call_timeout,
            probe_timeout=self.settings.winrm.probe_timeout,
            avoid=busy,
            silent=self._shell.silent,
            transcript=transcript,
        )

    async def send(self, call: Call) -> Reply:
        """The reply to the call of an effect; the kill switch is asked last, when it begins."""
        return await self._shell.run(call, partial(self.guards.pause.permit, self.here().name))

    async def commit(self, build: Callable[[Case], Commit]) -> Incident | None:
        """Commit what `build` decides; if an alert joined meanwhile, decide again on the incident as it is now.

        It ends: each round follows a commit of somebody else's, an alert or an order, and those are finitely many. An
        outcome that was heard must not be given up for their number.
        """
        while True:
            case = await self.case()
            try:
                return await self.store.commit(build(case))
            except Conflict:
                fresh = await self.store.incident(self.incident.id)
                if fresh is None or fresh.version == self.incident.version:
                    raise
                self.incident = fresh

    async def over(self, step: Step | None, done: Done) -> None:
        """A step is over; None: one that needed no sending."""
        heard = None if step is None else self.with_raw(step)
        await self.commit(lambda case: self.engine.conclude(case, heard, done))

    def with_raw(self, step: Step) -> Step:
        """The step with the raw answers that decided it."""
        return replace(step, memo={**step.memo, "raw": last_of(self.transcript)})
