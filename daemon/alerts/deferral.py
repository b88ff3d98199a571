"""Verifies what was set aside: opens an incident for each deferred monitor once its time has come.

What a runbook handles comes first, in turn from server to server, as far as there is room for new incidents; what none
handles takes no room, and a human hears of it. A healthy one is resolved by its first look, and nobody is disturbed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from daemon.alerts.loop import OpeningLoop
from daemon.alerts.notes import unhandled
from daemon.alerts.storms import MOST, in_turn, no_room, reached, rooms, turns
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import AlertChanges, Commit, Deferred, GuardChanges, Progress, Told
from daemon.domain.errors import Conflict
from daemon.domain.inventory import Server
from daemon.remediation.guardrails.windows import asked_again, maintenance
from daemon.remediation.incidents.opening import Opening, lets_go, opened, taken_over
from daemon.remediation.incidents.snapshot import about
from statemachines.compiler import Ladder

BATCH = 20
AT_ONCE = 500  #: of one server's that no runbook handles are one commit
ROUNDS = 100  #: how often one is decided anew because something else was committed first
LATER = timedelta(minutes=1)  #: when to ask again about one whose time has not come after all
REST = 1.0  #: seconds between looks while something waits for room, however often the bell is rung

_log = structlog.get_logger("exmedic.deferral")


@dataclass(slots=True, kw_only=True)
class Deferral(OpeningLoop):
    """The loop over what was set aside."""

    #: Something was left at the last look, for want of room.
    _full: bool = field(default=False, init=False)

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Take up what is due until told to stop."""
        while not stopping.is_set():
            beat()
            if await self.take_up() == 0:
                await self._nudge.wait()
                if self._full:
                    await self.clock.sleep(REST)

    async def take_up(self) -> int:
        """Take up what is due: one batch of what is handled, and all else; how many were."""
        now = self.clock.now()
        handled: list[Deferred] = []
        others: defaultdict[str, list[Deferred]] = defaultdict(list)
        for each in await self.store.deferred(now, MOST):
            (handled if self._ladder(each) else others[each.key.server]).append(each)
        taken = await self._as_there_is_room(handled, now)
        for name, of_server in others.items():
            taken += await self._tell(name, of_server[:AT_ONCE], now)
        return taken

    def _ladder(self, deferred: Deferred) -> Ladder | None:
        server = self.inventory.find(deferred.key.server)
        return None if server is None else self.ladders.handling(server, deferred.health_set, deferred.monitor)

    async def _as_there_is_room(self, waiting: Sequence[Deferred], now: datetime) -> int:
        """Take up those whose turn it is; how many were."""
        names = dict.fromkeys(each.key.server for each in waiting)  # thousands may wait, on a few servers
        ceilings = {name: rooms(self._here(name), self.inventory, self.storms, now) for name in names}
        had = await turns(self.store, ceilings, now)
        full: set[str] = set()
        taken = 0
        for each in in_turn(waiting, had):
            room = ceilings[each.key.server]
            if not full.isdisjoint(one.what for one in room):
                continue
            closed = {one.what for one in room if reached(one, await self.store.opened(one))}
            full |= closed
            taken += not closed and await self._take(each)
            if taken == BATCH:
                break
        self._full = bool(full)
        return taken

    async def _tell(self, name: str, of_server: Sequence[Deferred], now: datetime) -> int:
        """What no runbook handles reaches a human, and takes no room; how many were told or dropped."""
        server = self.inventory.find(name)
        keys = tuple(each.key for each in of_server)
        found = None if server is None else await maintenance(self.windows, self.store, server, now)
        if server is None:
            told = Told(audit=tuple(_not_verified(each, now) for each in of_server))
            commit = Commit(at=now, alerts=AlertChanges(undefer=keys), told=told)
        elif found is not None:
            until = asked_again(found.until, now)
            later = tuple(replace(each, not_before=until) for each in of_server)
            commit = Commit(at=now, alerts=AlertChanges(undefer=keys, defer=later))
        else:
            notes = tuple(unhandled(server, each.health_set, each.monitor, None, now) for each in of_server)
            commit = Commit(at=now, alerts=AlertChanges(undefer=keys, notes=notes))
        await self.store.commit(commit)
        self.committed()
        return len(keys)

    def _here(self, name: str) -> Server:
        server = self.inventory.find(name)
        if server is None:
            raise ValueError(f"{name} is not in the inventory")
        return server

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
        now, server = self.clock.now(), self._here(deferred.key.server)
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
        ladder, room = self._ladder(deferred), rooms(server, self.inventory, self.storms, now)
        if ladder is None:
            raise ValueError(f"no runbook handles {deferred.key}")
        if await no_room(self.store, room):
            return _postponed(deferred, now, now + LATER)  # an alert has taken the last of it meanwhile
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


def _not_verified(deferred: Deferred, now: datetime) -> AuditEntry:
    return AuditEntry(
        kind=AuditKind.DECISION,
        at=now,
        message=f"not verified after all: {deferred.key.server} is no longer in the inventory",
        server=deferred.key.server,
        health_set=deferred.health_set,
        monitor=deferred.monitor,
        fields={"reason": deferred.reason},
    )
