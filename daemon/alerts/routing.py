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

from daemon.alerts.fate import Outcome, fate, taken
from daemon.alerts.loop import OpeningLoop
from daemon.alerts.notes import unclear, unhandled
from daemon.alerts.servers import About, about_server
from daemon.alerts.storms import FIRST, MINUTE, going_on, no_room, on_record, rooms, turns
from daemon.config.alerts import AlertSettings
from daemon.domain.alerts import Alert, AlertStatus, StoredAlert
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import AlertChanges, Aside, Commit, Deferred, GuardChanges, Progress, Routing, Told
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, IncidentStatus, Key
from daemon.domain.inventory import Server
from daemon.domain.kept import Taken
from daemon.domain.notices import Note, NoticeKind
from daemon.domain.windows import Holding
from daemon.outgoing.messages import storm_messages
from daemon.remediation.guardrails.windows import asked_again, maintenance
from daemon.remediation.incidents.opening import Opening, lets_go, opened, taken_over
from daemon.remediation.incidents.snapshot import about
from statemachines.compiler import Ladder

BATCH = 1000  #: alerts of one key among them are one commit
ROUNDS = 100  #: how often alerts are routed anew because something else was committed first


_log = structlog.get_logger("exmedic.dispatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """Nothing will be done about the alert; with `until`, its monitor is verified then, or later."""

    reason: str
    until: datetime | None = None
    why: Aside = Aside.MAINTENANCE  #: why only until then
    taken: Taken | None = None  #: who has the problem already, for then
    told: NoticeKind | None = None  #: a human hears of it, as one of these


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The alert belongs to an incident that exists. `verify`: it says that the problem is over, so look again."""

    incident: Incident
    verify: bool
    taken: Taken | None = None  #: who has the problem already


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A new incident; with `taken` it only looks."""

    key: Key
    ladder: Ladder
    taken: Taken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The alert stays pending until the incident that holds its key has ended: joined to it, it would be lost.

    That is over within the deadlines of a look and the undo, and the alert then opens an incident of its own.
    """

    incident: Incident


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an alert is decided by beside itself."""

    about: About  #: its server
    settings: AlertSettings
    current: Incident | None = None  #: what holds its key
    latest: Incident | None = None  #: the last incident of its key, however it stands
    ladder: Ladder | None = None  #: what handles its monitor
    in_maintenance: Holding | None = None  #: its server is


def route(alert: Alert, found: Surroundings) -> Suppress | Join | Open | Wait:
    """What becomes of an alert: what it says itself decides, with what is open already and maintenance around it."""
    decided = fate(alert, found.about, found.settings, handled=found.ladder is not None)
    server, current = found.about.server, found.current
    if alert.suppress or (server is None and not alert.closed):
        return Suppress(reason=decided.reason, told=NoticeKind.UNCLEAR if decided.outcome is Outcome.HUMAN else None)
    who = taken(alert, found.settings)
    somebody = Taken(who, alert.source_id) if who else None
    if current is not None and not alert.closed and lets_go(current) and not (somebody and current.only_looks):
        return Wait(incident=current)
    if current is not None:
        return Join(incident=current, verify=alert.closed, taken=somebody)
    if server is None or alert.closed:
        return Suppress(reason=decided.reason)
    if found.in_maintenance is not None:
        return Suppress(reason=str(found.in_maintenance), until=found.in_maintenance.until, taken=somebody)
    if found.ladder is None:
        return Suppress(reason=decided.reason, told=NoticeKind.UNHANDLED)
    if somebody and (before := _told_of(found.latest, alert)):
        return Suppress(reason=f"{who}; incident {before} has told of it")
    return Open(key=Key.of(server.name, alert.health_set, alert.monitor), ladder=found.ladder, taken=somebody)


def _told_of(latest: Incident | None, alert: Alert) -> str:
    """The incident that told of this very alert of the source that somebody has it; empty when none did."""
    if latest is None or latest.taken is None or latest.status is not IncidentStatus.ESCALATED:
        return ""
    return latest.id if latest.taken.alert == alert.source_id else ""


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
        # What is handled first: invented names must not hold up the others.
        in_order = sorted(groups.values(), key=lambda rows: not self._handled(rows[0]))
        self._waiting = sum([await self._route(rows) for rows in in_order])
        return len(pending) - self._waiting

    def _key(self, row: StoredAlert) -> Key:
        alert = _understood(row)
        server = about_server(alert, self.inventory).server
        # A name that is not clear is no server's, so such alerts are never decided together with a server's own.
        return Key.of(f"? {alert.server}" if server is None else server.name, alert.health_set, alert.monitor)

    def _handled(self, row: StoredAlert) -> bool:
        """Whether a runbook handles what an alert names."""
        alert = _understood(row)
        server = about_server(alert, self.inventory).server
        return server is not None and self.ladders.handling(server, alert.health_set, alert.monitor) is not None

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
        now, found = self.clock.now(), await self._surroundings(rows[0])
        decided = [(row, route(_understood(row), self._of(row, found))) for row in rows]
        ready = [(row, each) for row, each in decided if not isinstance(each, Wait)]
        decision = ready[0][1] if ready else None
        if isinstance(decision, Suppress):
            alike = takewhile(lambda each: each[1] == decision, ready)
            return _suppress([row for row, _ in alike], found.about, decision, now)
        if isinstance(decision, Join):
            return _join([(row, each) for row, each in ready if isinstance(each, Join)], now)
        if isinstance(decision, Open):
            alike = takewhile(lambda each: each[1] == decision, ready)
            return await self._open([row for row, _ in alike], found.about, decision, now)
        return None

    def _of(self, row: StoredAlert, found: Surroundings) -> Surroundings:
        """The same for another alert of the key, but for the servers that it names itself."""
        return replace(found, about=about_server(_understood(row), self.inventory))

    async def _surroundings(self, row: StoredAlert) -> Surroundings:
        """What alerts of one key are decided by, by one of them."""
        alert, key = _understood(row), self._key(row)
        found = Surroundings(about=about_server(alert, self.inventory), settings=self.alerts)
        if found.about.server is None:
            return found
        server, current = found.about.server, await self.store.current_incident(key)
        return replace(
            found,
            current=current,
            latest=current or await self.store.latest_incident(key),
            ladder=self.ladders.handling(server, alert.health_set, alert.monitor),
            in_maintenance=None
            if current is not None
            else await maintenance(self.windows, self.store, server, self.clock.now()),
        )

    async def _open(self, rows: Sequence[StoredAlert], about: About, decision: Open, now: datetime) -> Commit:
        """A new incident for the first of them; where there is no room for one, all of them are set aside."""
        row, alert, server = rows[0], _understood(rows[0]), about.server
        if server is None:
            raise ValueError(f"alert {row.id} opens an incident on no server")
        room = rooms(server, self.inventory, self.storms, now)
        if reason := await no_room(self.store, room) or await self._others_first(server, now):
            decided = Suppress(reason=reason, until=now, why=Aside.STORM, taken=decision.taken)
            aside = _suppress(rows, about, decided, now)
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
            taken=decision.taken,
        )
        routing = Routing(alert_ids=(row.id,), status=AlertStatus.JOINED, incident_id=opening.incident_id)
        # What was set aside before is verified by this incident.
        return replace(
            opened(opening, now, self.prefix),
            alerts=AlertChanges(routing=routing, undefer=(decision.key,)),
            guards=GuardChanges(room=room),
        )

    async def _others_first(self, server: Server, now: datetime) -> str:
        """Why an incident waits although there is room: others wait for it, and its server has just had a turn."""
        had = await turns(self.store, (server.name,), now, MINUTE)
        if not had[server.name] or not await going_on(self.store, now, FIRST):
            return ""
        return f"others wait for room, and {server.name} has had an incident within the minute"


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
    # The latest says whether somebody has it; one that says that it is over says nothing of that.
    incident = taken_over(incident, next((join.taken for _, join in reversed(joining) if not join.verify), None), now)
    ids = tuple(row.id for row, _ in joining)
    return Commit(
        at=now,
        # Whatever else changes, its version counts up, so a verification that began before these alerts cannot end the
        # incident without looking again.
        progress=Progress(incident=incident),
        alerts=AlertChanges(routing=Routing(alert_ids=ids, status=AlertStatus.JOINED, incident_id=incident.id)),
        told=Told(audit=(*_noted(joining, before, now), *_stands_back(before, incident, now))),
    )


def _stands_back(before: Incident, incident: Incident, now: datetime) -> Iterator[AuditEntry]:
    """That an incident only looks from now on."""
    if incident.taken is not None and before.taken is None:
        message = f"it only looks from now on, somebody has it already: {incident.taken.why}"
        yield about(AuditKind.DECISION, incident, now, message, {"taken": incident.taken.why})


def _noted(joining: Sequence[tuple[StoredAlert, Join]], incident: Incident, now: datetime) -> Iterator[AuditEntry]:
    """The joins worth an audit row: the first ones, every tenfold, and the one that lets the incident look again."""
    looks_again = incident.verify_requested
    for number, (row, join) in enumerate(joining, start=incident.joined + 1):
        if on_record(number) or (join.verify and not looks_again):
            message = f"alert {row.id} joined: {_understood(row).summary}"
            fields = {"alert": row.id, "joined": number}
            yield about(AuditKind.ALERT_JOINED, incident, now, f"{message} (number {number})", fields)
        looks_again = looks_again or join.verify


def _suppress(rows: Sequence[StoredAlert], where: About, decision: Suppress, now: datetime) -> Commit:
    """Set aside, for good or until their monitor is verified; both in one commit, so that it cannot be forgotten.

    So is what humans are to hear of them.
    """
    alert, server = _understood(rows[0]), where.server
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
            taken=decision.taken,
        )
        later = (deferred,)
    ids = tuple(row.id for row in rows)
    routing = Routing(alert_ids=ids, status=AlertStatus.SUPPRESSED, reason=decision.reason)
    return Commit(
        at=now,
        alerts=AlertChanges(routing=routing, defer=later, notes=tuple(_notes(rows, where, decision, now))),
        told=Told(audit=(_suppressed(ids, alert, decision.reason, now),)),
    )


def _notes(rows: Sequence[StoredAlert], where: About, decision: Suppress, now: datetime) -> Iterator[Note]:
    """What humans are to hear of suppressed alerts."""
    for row in rows if decision.told else ():
        alert = _understood(row)
        if where.server is not None:
            yield unhandled(where.server, alert.health_set, alert.monitor, row.id, now)
        else:
            yield unclear(where.candidates, alert, decision.reason, row.id, now)


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
