"""Opens an incident: by an alert, or because another incident found a sick monitor, which it lets run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from daemon.domain.audit import AuditKind
from daemon.domain.commits import Commit, Progress, Told
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.inventory import Inventory
from daemon.domain.kept import Taken
from daemon.domain.ports import Clock
from daemon.domain.store import RemediationStore
from daemon.domain.values import Json
from daemon.outgoing.messages import event_message, state_message
from daemon.remediation.actions.contract import Sick
from daemon.remediation.incidents.ladders import Ladders, stored
from daemon.remediation.incidents.snapshot import about
from statemachines.compiler import Ladder

TAKEN_FOR = timedelta(days=1)  #: so long a problem is somebody's if its source says nothing new
UNHANDLED_LATCH = timedelta(days=1)  #: so long one keeps its key of which no ladder can look whether it is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a new incident is about."""

    incident_id: str
    key: Key
    health_set: str
    monitor: str
    ladder: Ladder
    because: str  #: who opened it and why, in words
    facts: Json  #: for the audit row
    parent: str = ""
    taken: Taken | None = None  #: who has it already: then it only looks


def opened(opening: Opening, now: datetime, prefix: str) -> Commit:
    """The commit that opens it."""
    ladder = opening.ladder
    incident = Incident(
        id=opening.incident_id,
        key=opening.key,
        health_set=opening.health_set,
        monitor=opening.monitor,
        status=IncidentStatus.OPEN,
        state=ladder.start,
        runbook=ladder.definition.runbook,
        runbook_hash=ladder.definition.hash,
        opened_at=now,
        due_at=now,
        parent=opening.parent,
        taken=opening.taken,
    )
    facts = {**opening.facts, "runbook": incident.runbook, "runbook_hash": incident.runbook_hash}
    looks = f"; it only looks, somebody has it already: {opening.taken.why}" if opening.taken else ""
    audit = (about(AuditKind.INCIDENT_OPENED, incident, now, f"opened by {opening.because}{looks}", facts),)
    event = {"event": "opened", "to": incident.state, "detail": opening.because}
    return Commit(
        at=now,
        progress=Progress(incident=incident, runbook=stored(ladder)),
        told=Told(audit=audit, outgoing=(event_message(prefix, incident, now, event), state_message(prefix, incident))),
    )


def taken_over(incident: Incident, taken: Taken | None, now: datetime) -> Incident:
    """The incident once somebody has its problem: it only looks from now on. None: nobody is said to.

    One that waits comes at once, to end. One that has ended, or does what an operator ordered, stays as it is.
    """
    if taken is None or incident.taken or incident.undo_by or incident.status is not IncidentStatus.OPEN:
        return incident
    return replace(incident, taken=taken, due_at=now if incident.waiting_since is not None else incident.due_at)


def lets_go(incident: Incident) -> bool:
    """Whether nothing will be done about its monitor any more: it only puts things back, or only looks.

    An operator has closed it, or has ordered an undo of one that was closed before; or somebody else has the problem.
    """
    over = bool(incident.close_by) or incident.frees_key or incident.only_looks
    return incident.status is IncidentStatus.OPEN and over


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Opens and watches incidents on behalf of one that found their monitors sick."""

    store: RemediationStore
    clock: Clock
    inventory: Inventory
    ladders: Ladders
    new_id: Callable[[], str]
    prefix: str

    async def ensure(self, sick: Sick, opener: Incident, parent: str) -> str | None:
        """The incident of a sick monitor, opened if there is none; None when the server is not in the inventory.

        Empty when no runbook handles it: then none is opened. `parent`: the id of the incident that will wait for it,
        empty if none does.
        """
        server = self.inventory.find(sick.server)
        if server is None:
            return None
        key = Key.of(server.name, sick.health_set, sick.monitor)
        while True:  # it ends: each round follows another opening of this key, and the next look finds that one
            current = await self.store.current_incident(key) or await self._with_somebody(key)
            if current is not None:
                return current.id
            ladder = self.ladders.handling(server, sick.health_set, sick.monitor)
            if ladder is None:
                return ""
            opening = Opening(
                incident_id=self.new_id(),
                key=key,
                health_set=sick.health_set,
                monitor=sick.monitor,
                ladder=ladder,
                because=f"incident {opener.id}, which found this monitor unhealthy",
                facts={"opener": opener.id},
                parent=parent,
            )
            try:
                await self.store.commit(opened(opening, self.clock.now(), self.prefix))
            except Conflict:
                continue  # an alert opened it first: join that one
            return opening.incident_id

    async def _with_somebody(self, key: Key) -> Incident | None:
        """The incident that lately found this problem to be somebody's: it is not healed under his hands."""
        latest = await self.store.latest_incident(key)
        if latest is None or latest.taken is None or latest.ended_at is None:
            return None
        escalated = latest.status is IncidentStatus.ESCALATED
        return latest if escalated and self.clock.now() - latest.ended_at < TAKEN_FOR else None

    async def standing(self, incident_id: str) -> Incident | None:
        """How an incident stands."""
        return await self.store.incident(incident_id)

    async def waits_for(self, incident_id: str) -> tuple[str, ...]:
        """The incidents that the step of `heal` which it is in has on record."""
        step = await self.store.open_step(incident_id)
        return () if step is None else tuple(step.memo.get("children", {}).values())
