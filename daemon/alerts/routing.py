"""Routes stored alerts: joined to the incident that holds their key, a new incident, or suppressed with a reason.

Alerts of one key are routed together, so that ten thousand of one server are one incident and a few audit rows.
`route` decides; the loop reads what is pending, commits what was decided and wakes the runner.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import takewhile

import structlog

from daemon.alerts.loop import OpeningLoop
from daemon.alerts.storms import asks_again, going_on, no_room, on_record, rooms
from daemon.domain.alerts import Alert, AlertStatus, StoredAlert
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import AlertChanges, Aside, Commit, Deferred, GuardChanges, Progress, Routing, Told
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.inventory import Server
from daemon.domain.windows import Holding
from daemon.outgoing.messages import storm_messages
from daemon.remediation.guardrails.windows import asked_again, maintenance
from daemon.remediation.incidents.opening import Opening, lets_go, opened
from daemon.remediation.incidents.snapshot import about
from statemachines.compiler import Ladder

BATCH = 200  #: alerts of one key among them are one commit
ROUNDS = 100  #: how often alerts are routed anew because something else was committed first


_log = structlog.get_logger("exmedic.dispatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """Nothing will be done about the alert; with `until`, its monitor is verified then, or later."""

    reason: str
    until: datetime | None = None
    why: Aside = Aside.MAINTENANCE  #: why only until then


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
        return Suppress(reason=str(in_maintenance), until=in_maintenance.until, why=Aside.MAINTENANCE)
    return Open(key=Key.of(server.name, alert.health_set, alert.monitor), ladder=ladder)


@dataclass(slots=True, kw_only=True)
class Dispatch(OpeningLoop):
    """The loop over pending alerts."""

    #: Alerts that stayed pending at the last look; they must not hide the others.
    _waiting: int = field(default=0, init=False)
    #: A human was told of the storm that goes on; False: ask the store.
    _storm: bool = field(default=False, init=False)

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Route pending alerts until told to stop."""
        while not stopping.is_set():
            beat()
            if await self.route_pending() == 0:
                await self._nudge.wait()

    async def route_pending(self) -> int:
        """Route one batch of what is pending; how many were routed."""
        pending = await self.store.pending_alerts(BATCH + self._waiting)
        groups: dict[Key, list[StoredAlert]] = {}
        for row in pending:
            groups.setdefault(self._key(row), []).append(row)
        self._waiting = sum([await self._route(rows) for rows in groups.values()])
        return len(pending) - self._waiting

    def _key(self, row: StoredAlert) -> Key:
        alert = _understood(row)
        server = self.inventory.find(alert.server)
        return Key.of(alert.server if server is None else server.name, alert.health_set, alert.monitor)

    async def _route(self, rows: Sequence[StoredAlert]) -> int:
        """Route alerts of one key; how many of them stay pending."""
        left = list(rows)
        while left:
            routed = await self._route_some(left)
            if not routed:
                break
            left = [row for row in left if row.id not in routed]
        return len(left)

    async def _route_some(self, rows: Sequence[StoredAlert]) -> frozenset[int]:
        """Route those of them that are decided alike, in one commit; which ones, none if all stay pending."""
        why = ""
        for _ in range(ROUNDS):
            commit = await self._decide(rows)
            if commit is None or commit.alerts.routing is None:
                return frozenset()
            try:
                await self.store.commit(commit)
            except Conflict as conflict:
                # The incident moved on between the look and the commit: look again.
                _log.debug("routing_conflict", alert=rows[0].id, why=str(conflict))
                why = str(conflict)
                continue
            if commit.guards.room:
                self._storm = False
            elif commit.alerts.defer:
                self._storm = commit.alerts.defer[0].why is Aside.STORM
            self.committed()
            return frozenset(commit.alerts.routing.alert_ids)
        _log.warning("alerts_not_routed", alert=rows[0].id, why=why, todo="they stay pending until the next look")
        return frozenset()

    async def _decide(self, rows: Sequence[StoredAlert]) -> Commit | None:
        """What becomes of the first of them that need not wait, and of those that are decided like it."""
        first, now = _understood(rows[0]), self.clock.now()
        server = self.inventory.find(first.server)
        current = ladder = in_maintenance = None
        if server is not None:
            current = await self.store.current_incident(self._key(rows[0]))
            ladder = self.ladders.handling(server, first.health_set, first.monitor)
            if current is None:
                in_maintenance = await maintenance(self.windows, self.store, server, now)
        decided = [(row, route(_understood(row), server, current, ladder, in_maintenance)) for row in rows]
        ready = [(row, each) for row, each in decided if not isinstance(each, Wait)]
        decision = ready[0][1] if ready else None
        if isinstance(decision, Suppress):
            alike = takewhile(lambda each: each[1] == decision, ready)
            return _suppress([row for row, _ in alike], server, decision, now)
        if isinstance(decision, Join):
            return _join([(row, each) for row, each in ready if isinstance(each, Join)], now)
        if isinstance(decision, Open) and server is not None:
            alike = takewhile(lambda each: isinstance(each[1], Open), ready)
            return await self._open([row for row, _ in alike], server, decision, now)
        return None

    async def _open(self, rows: Sequence[StoredAlert], server: Server, decision: Open, now: datetime) -> Commit:
        """A new incident for the first of them; where there is no room for one, all of them are set aside."""
        row, alert = rows[0], _understood(rows[0])
        room = rooms(server, self.inventory, self.storms, now)
        if reason := await no_room(self.store, room):
            until = asks_again(decision.key, now, now)
            aside = _suppress(rows, server, Suppress(reason=reason, until=until, why=Aside.STORM), now)
            told = self._storm or await going_on(self.store)
            if told:
                return aside
            return replace(aside, told=aside.told.then(outgoing=storm_messages(self.prefix, reason, now)))
        opening = Opening(
            incident_id=self.new_id(),
            key=decision.key,
            health_set=alert.health_set,
            monitor=alert.monitor,
            ladder=decision.ladder,
            because=f"alert {row.id}: {alert.summary}",
            facts={"alert": row.id},
        )
        routing = Routing(alert_ids=(row.id,), status=AlertStatus.JOINED, incident_id=opening.incident_id)
        # What was set aside before is verified by this incident.
        return replace(
            opened(opening, now, self.prefix),
            alerts=AlertChanges(routing=routing, undefer=(decision.key,)),
            guards=GuardChanges(room=room),
        )


def _understood(row: StoredAlert) -> Alert:
    if row.alert is None:
        raise ValueError(f"alert {row.id} is pending but was never understood")
    return row.alert


def _join(joining: Sequence[tuple[StoredAlert, Join]], now: datetime) -> Commit:
    """Alerts of one key join its incident."""
    incident, before = joining[0][1].incident, joining[0][1].incident
    if any(join.verify for _, join in joining):
        waits = incident.waiting_since is not None or incident.status is not IncidentStatus.OPEN
        incident = replace(incident, verify_requested=True, due_at=now if waits else incident.due_at)
    incident = replace(incident, joined=before.joined + len(joining))
    ids = tuple(row.id for row, _ in joining)
    return Commit(
        at=now,
        # Whatever else changes, its version counts up, so a verification that began before these alerts cannot end the
        # incident without looking again.
        progress=Progress(incident=incident),
        alerts=AlertChanges(routing=Routing(alert_ids=ids, status=AlertStatus.JOINED, incident_id=incident.id)),
        told=Told(audit=tuple(_noted(joining, before, now))),
    )


def _noted(joining: Sequence[tuple[StoredAlert, Join]], incident: Incident, now: datetime) -> Iterator[AuditEntry]:
    """The joins worth an audit row: the first ones, every tenfold, and the one that lets the incident look again."""
    looks_again = incident.verify_requested
    for number, (row, join) in enumerate(joining, start=incident.joined + 1):
        if on_record(number) or (join.verify and not looks_again):
            message = f"alert {row.id} joined: {_understood(row).summary}"
            fields = {"alert": row.id, "joined": number}
            yield about(AuditKind.ALERT_JOINED, incident, now, f"{message} (number {number})", fields)
        looks_again = looks_again or join.verify


def _suppress(rows: Sequence[StoredAlert], server: Server | None, decision: Suppress, now: datetime) -> Commit:
    """Set aside, for good or until their monitor is verified; both in one commit, so that it cannot be forgotten."""
    alert = _understood(rows[0])
    later: tuple[Deferred, ...] = ()
    if server is not None and decision.until is not None:
        deferred = Deferred(
            key=Key.of(server.name, alert.health_set, alert.monitor),
            health_set=alert.health_set,
            monitor=alert.monitor,
            why=decision.why,
            reason=decision.reason,
            since=now,
            not_before=asked_again(decision.until, now),
        )
        later = (deferred,)
    ids = tuple(row.id for row in rows)
    routing = Routing(alert_ids=ids, status=AlertStatus.SUPPRESSED, reason=decision.reason)
    return Commit(
        at=now,
        alerts=AlertChanges(routing=routing, defer=later),
        told=Told(audit=(_suppressed(ids, alert, decision.reason, now),)),
    )


def _suppressed(ids: Sequence[int], alert: Alert, reason: str, now: datetime) -> AuditEntry:
    which = f"alert {ids[0]}" if len(ids) == 1 else f"{len(ids)} alerts, {ids[0]} to {ids[-1]},"
    return AuditEntry(
        kind=AuditKind.ALERT_SUPPRESSED,
        at=now,
        message=f"{which} suppressed: {reason}",
        server=alert.server,
        health_set=alert.health_set,
        monitor=alert.monitor,
        fields={"alert": ids[0], "reason": reason, **({} if len(ids) == 1 else {"alerts": list(ids)})},
    )
