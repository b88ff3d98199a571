"""Routes stored alerts: joined to the incident that holds their key, a new incident, or suppressed with a reason.

`route` decides; the loop reads what is pending, commits what was decided and wakes the runner.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from daemon.commit import Commit, Deferred, Routing
from daemon.domain import Alert, AlertStatus, AuditEntry, AuditKind, Incident, IncidentStatus, Key, StoredAlert
from daemon.errors import Conflict
from daemon.family import Family
from daemon.gates.windows import Holding
from daemon.inventory import Server
from daemon.nudge import POLL, Nudge
from daemon.opening import Opening, about, lets_go, opened
from daemon.schedule import asked_again, maintenance
from statemachines.compiler import Ladder

BATCH = 100
ROUNDS = 100  #: how often one alert is routed anew because something else was committed first

_log = structlog.get_logger("exmedic.dispatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """Nothing will be done about the alert; with `until`, its monitor is verified then, or later."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The alert belongs to an incident that exists. `verify`: it says that the problem is over, so look again."""

    incident: Incident
    verify: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A new incident. Without a ladder it escalates at once."""

    key: Key
    ladder: Ladder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The alert stays pending until the incident that holds its key has ended: joined to it, it would be lost.

    That is over within the deadlines of the undo, and the alert then opens an incident of its own.
    """

    incident: Incident


def route(
    alert: Alert,
    server: Server | None,
    current: Incident | None,
    ladder: Ladder | None,
    in_maintenance: Holding | None = None,
) -> Suppress | Join | Open | Wait:
    """What becomes of an alert, given what holds its key, what handles its monitor, and its server's maintenance."""
    if alert.suppress:
        return Suppress(reason=alert.suppress)
    if server is None:
        return Suppress(reason=f"server {alert.server} is not in the inventory")
    if current is not None and not alert.closed and lets_go(current):
        return Wait(incident=current)
    if current is not None:
        return Join(incident=current, verify=alert.closed)
    if alert.closed:
        return Suppress(reason="closed at its source, and no incident is open")
    if in_maintenance is not None:
        return Suppress(reason=str(in_maintenance), until=in_maintenance.until)
    return Open(key=Key.of(server.name, alert.health_set, alert.monitor), ladder=ladder)


class Dispatch:
    """The loop. `committed` is called after each commit."""

    def __init__(self, family: Family, committed: Callable[[], None], poll: float = POLL) -> None:
        self._family = family
        self._committed = committed
        self._nudge = Nudge(family.clock, poll)
        self._waiting = 0  #: alerts that stayed pending at the last look; they must not hide the others

    def nudge(self) -> None:
        """There may be pending alerts."""
        self._nudge.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Route pending alerts until told to stop."""
        while not stopping.is_set():
            beat()
            if await self.route_pending() == 0:
                await self._nudge.wait()

    async def route_pending(self) -> int:
        """Route one batch of what is pending; how many were routed."""
        pending = await self._family.store.pending_alerts(BATCH + self._waiting)
        routed = [await self._route(row) for row in pending]
        self._waiting = routed.count(False)
        return routed.count(True)

    async def _route(self, row: StoredAlert) -> bool:
        """Whether it was routed; False: it stays pending."""
        why = ""
        for _ in range(ROUNDS):
            commit = await self._decide(row)
            if commit is None:
                return False
            try:
                await self._family.store.commit(commit)
            except Conflict as conflict:
                # The incident moved on between the look and the commit: look again.
                _log.debug("routing again", alert=row.id, why=str(conflict))
                why = str(conflict)
                continue
            self._committed()
            return True
        _log.warning("an alert stays pending, and is routed at the next look", alert=row.id, why=why)
        return False

    async def _decide(self, row: StoredAlert) -> Commit | None:
        alert, now = row.alert, self._family.clock.now()
        if alert is None:
            raise ValueError(f"alert {row.id} is pending but was never understood")
        server = self._family.inventory.find(alert.server)
        current = ladder = in_maintenance = None
        if server is not None:
            current = await self._family.store.current_incident(Key.of(server.name, alert.health_set, alert.monitor))
            ladder = self._family.ladders.handling(server, alert.health_set, alert.monitor)
            if current is None:
                in_maintenance = await maintenance(self._family.windows, self._family.store, server, now)
        decision = route(alert, server, current, ladder, in_maintenance)
        if isinstance(decision, Suppress):
            return _suppress(row, alert, server, decision, now)
        if isinstance(decision, Wait):
            return None
        if isinstance(decision, Join):
            return self._join(row, alert, decision, now)
        return self._open(row, alert, decision, now)

    def _join(self, row: StoredAlert, alert: Alert, decision: Join, now: datetime) -> Commit:
        incident = decision.incident
        if decision.verify:
            waits = incident.waiting_since is not None or incident.status is not IncidentStatus.OPEN
            incident = replace(incident, verify_requested=True, due_at=now if waits else incident.due_at)
        entry = about(
            AuditKind.ALERT_JOINED, incident, now, f"alert {row.id} joined: {alert.summary}", {"alert": row.id}
        )
        return Commit(
            at=now,
            # Committed even when unchanged: its version counts up, so a verification that began before this alert
            # cannot end the incident without looking again.
            incident=incident,
            routing=Routing(alert_id=row.id, status=AlertStatus.JOINED, incident_id=incident.id),
            audit=(entry,),
        )

    def _open(self, row: StoredAlert, alert: Alert, decision: Open, now: datetime) -> Commit:
        opening = Opening(
            incident_id=self._family.new_id(),
            key=decision.key,
            health_set=alert.health_set,
            monitor=alert.monitor,
            ladder=decision.ladder,
            because=f"alert {row.id}: {alert.summary}",
            facts={"alert": row.id},
        )
        commit = opened(opening, now, self._family.prefix)
        routing = Routing(alert_id=row.id, status=AlertStatus.JOINED, incident_id=opening.incident_id)
        return replace(commit, routing=routing)


def _suppress(row: StoredAlert, alert: Alert, server: Server | None, decision: Suppress, now: datetime) -> Commit:
    """Set aside, for good or until its monitor is verified; both in one commit, so that it cannot be forgotten."""
    later: tuple[Deferred, ...] = ()
    if server is not None and decision.until is not None:
        deferred = Deferred(
            key=Key.of(server.name, alert.health_set, alert.monitor),
            health_set=alert.health_set,
            monitor=alert.monitor,
            reason=decision.reason,
            since=now,
            not_before=asked_again(decision.until, now),
        )
        later = (deferred,)
    routing = Routing(alert_id=row.id, status=AlertStatus.SUPPRESSED, reason=decision.reason)
    return Commit(at=now, routing=routing, defer=later, audit=(_suppressed(row, alert, decision.reason, now),))


def _suppressed(row: StoredAlert, alert: Alert, reason: str, now: datetime) -> AuditEntry:
    return AuditEntry(
        kind=AuditKind.ALERT_SUPPRESSED,
        at=now,
        message=f"alert {row.id} suppressed: {reason}",
        server=alert.server,
        health_set=alert.health_set,
        monitor=alert.monitor,
        fields={"alert": row.id, "reason": reason},
    )
