"""Verifies what was set aside: opens an incident for each deferred monitor once its time has come.

A healthy one is resolved by its first look, and nobody is disturbed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from daemon.alerts.loop import OpeningLoop
from daemon.alerts.notes import unhandled
from daemon.alerts.storms import asks_again, no_room, rooms
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import AlertChanges, Commit, Deferred, GuardChanges, Progress, Told
from daemon.domain.errors import Conflict
from daemon.remediation.guardrails.windows import asked_again, maintenance
from daemon.remediation.incidents.opening import Opening, lets_go, opened, taken_over
from daemon.remediation.incidents.snapshot import about

BATCH = 20
ROUNDS = 100  #: how often one is decided anew because something else was committed first
LATER = timedelta(minutes=1)  #: when to ask again about one whose time has not come after all

_log = structlog.get_logger("exmedic.deferral")


@dataclass(slots=True, kw_only=True)
class Deferral(OpeningLoop):
    """The loop over what was set aside."""

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Take up what is due until told to stop."""
        while not stopping.is_set():
            beat()
            if await self.take_up() == 0:
                await self._nudge.wait()

    async def take_up(self) -> int:
        """Take up one batch of what is due; how many were."""
        due = await self.store.deferred(self.clock.now(), BATCH)
        return [await self._take(deferred) for deferred in due].count(True)

    async def _take(self, deferred: Deferred) -> bool:
        why = ""
        for _ in range(ROUNDS):
            try:
                await self.store.commit(await self._decide(deferred))
            except Conflict as conflict:
                why = str(conflict)  # an alert opened or moved the incident of this key first: look again
                continue
            self.committed()
            return True
        _log.warning("deferred_not_taken_up", key=str(deferred.key), why=why, todo="the next look takes it up")
        return False

    async def _decide(self, deferred: Deferred) -> Commit:
        now = self.clock.now()
        server = self.inventory.find(deferred.key.server)
        if server is None:
            return _dropped(deferred, now)
        current = await self.store.current_incident(deferred.key)
        if current is not None and lets_go(current):
            # Joined to one that only puts things back, it would be lost.
            return _postponed(deferred, now, now + LATER)
        found = None if current is not None else await maintenance(self.windows, self.store, server, now)
        if found is not None:
            return _postponed(deferred, now, asked_again(found.until, now))
        since = f"since {deferred.since:%Y-%m-%d %H:%M} UTC: {deferred.reason}"
        if current is not None:
            incident = taken_over(current, deferred.taken, now)
            message = f"alerts that were set aside {since}, belong to this incident"
            entry = about(AuditKind.ALERT_JOINED, current, now, message, {"reason": deferred.reason})
            # Committed though unchanged: a verification that began before the alerts cannot end it now.
            return Commit(
                at=now,
                progress=Progress(incident=incident),
                alerts=AlertChanges(undefer=(deferred.key,)),
                told=Told(audit=(entry,)),
            )
        ladder = self.ladders.handling(server, deferred.health_set, deferred.monitor)
        if ladder is None:
            note = unhandled(server, deferred.health_set, deferred.monitor, None, now)
            return Commit(at=now, alerts=AlertChanges(undefer=(deferred.key,), notes=(note,)))
        room = rooms(server, self.inventory, self.storms, now)
        if await no_room(self.store, room):
            return _postponed(deferred, now, asks_again(deferred.key, deferred.since, now))
        opening = Opening(
            incident_id=self.new_id(),
            key=deferred.key,
            health_set=deferred.health_set,
            monitor=deferred.monitor,
            ladder=ladder,
            because=f"alerts that were set aside {since}",
            facts={"reason": deferred.reason},
            taken=deferred.taken,
        )
        return replace(
            opened(opening, now, self.prefix),
            alerts=AlertChanges(undefer=(deferred.key,)),
            guards=GuardChanges(room=room),
        )


def _postponed(deferred: Deferred, now: datetime, until: datetime) -> Commit:
    return Commit(at=now, alerts=AlertChanges(undefer=(deferred.key,), defer=(replace(deferred, not_before=until),)))


def _dropped(deferred: Deferred, now: datetime) -> Commit:
    entry = AuditEntry(
        kind=AuditKind.DECISION,
        at=now,
        message=f"not verified after all: {deferred.key.server} is no longer in the inventory",
        server=deferred.key.server,
        health_set=deferred.health_set,
        monitor=deferred.monitor,
        fields={"reason": deferred.reason},
    )
    return Commit(at=now, alerts=AlertChanges(undefer=(deferred.key,)), told=Told(audit=(entry,)))
