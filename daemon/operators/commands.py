"""What operators may ask of the running daemon: each command checked, attributed, on record."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, ClassVar

from daemon.audit.session_watch import forgotten
from daemon.config.roles import OperatorRole
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Channel, Commit, GuardChanges, Progress, Told
from daemon.domain.errors import Conflict, OperatorError
from daemon.domain.incidents import Incident, IncidentStatus, UndoItem, UndoStatus
from daemon.domain.inventory import Inventory
from daemon.domain.kept import OrderedUndo
from daemon.domain.pauses import EVERYTHING
from daemon.domain.ports import Bus, Clock, KillSwitch
from daemon.domain.store import Store
from daemon.domain.values import timestamp
from daemon.domain.windows import Window
from daemon.exchange.logons import Refusal
from daemon.operators import deferred
from daemon.operators.pauses import PauseOrders
from daemon.operators.rejections import LOOKED_AT, rejected_lately
from daemon.operators.requests import (
    AddWindow,
    Approve,
    Close,
    Decline,
    DropDeferred,
    EndWindow,
    Pause,
    Release,
    Resume,
    ResumeScope,
    Status,
    Undo,
    understood,
)
from daemon.operators.windows import WindowOrders
from daemon.remediation.guardrails import approvals, causes
from daemon.remediation.incidents.snapshot import about
from statemachines.table import End

ROUNDS = 100  #: how often an order is tried anew because the incident moved on between the look and the commit
MOST_WAITING = 1000  #: outgoing messages that are counted; there are that many, or more


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and who may give it. There is no default: a new command says it."""

    role: OperatorRole | None  #: the least one; None: whoever may open the control socket
    carry_out: Callable[[Any, str, Any], Awaitable[dict[str, Any]]]  #: by `Operators`, for a user, what is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Carries out operators' commands. `wake` tells the runner and the outbox that there is something to do."""

    store: Store
    bus: Bus
    clock: Clock
    inventory: Inventory
    pause_file: KillSwitch
    wake: Callable[[], None]
    windows: tuple[Window, ...] = ()  #: those of the configuration
    approval_lasts: timedelta = timedelta(hours=1)
    started_at: datetime | None = None
    notifies: bool = True  #: whether a notification channel is configured
    form_of: Callable[[str], str | None] = str  #: of a topic: what is judged together
    resting: Callable[[], Iterable[Refusal]] = tuple  #: passwords that are not offered now
    #: By scope: a pause and its resume take turns. A pause of everything waits for no other pause.
    _switching: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock), init=False)
    _scheduling: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)  #: two windows of one name would not do

    async def carry_out(self, user: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one command for a user, who may give it: the control socket has seen to that.

        Raises:
            OperatorError: it cannot be carried out.
        """
        command = self.COMMANDS.get(str(request.get("command")))
        if command is None:
            raise OperatorError(f"unknown command {request.get('command')!r}; known: {', '.join(self.COMMANDS)}")
        answer = await command.carry_out(self, user, understood(request))
        self.wake()
        return answer

    async def _status(self, _user: str, _order: Status) -> dict[str, Any]:
        ledger = await self.store.ledger(thorough=True)
        waiting = {each.value: len(await self.store.outbox(each, MOST_WAITING)) for each in Channel}
        outage, now = self.bus.outage, self.clock.now()
        return {
            "version": version("exmedic"),
            "up_since": timestamp(self.started_at) if self.started_at else None,
            "bus": "connected" if outage is None else "not connected",
            "outage": outage
            and {
                "since": timestamp(now - timedelta(seconds=outage.seconds)),
                "reason": outage.reason,
                "todo": outage.todo,
            },
            "takeovers": self.bus.takeovers,
            "sessions_forgotten": await forgotten(self.store),
            "paused": self.pause_file.reason(),
            "paused_scopes": self._pause_orders.parts(),
            "pauses": self._pause_orders.listed(),
            "quarantined": [quarantine.server for quarantine in await self.store.quarantines()],
            "resting": [str(refusal) for refusal in self.resting()],
            "waiting": waiting,
            **await self._window_orders.standing(),
            "causes": [
                {
                    "id": each.id,
                    "what": each.what,
                    "servers": await causes.servers_of(self.store, each),
                    "since": timestamp(each.since),
                }
                for each in await self.store.causes()
            ],
            "deferred": len(await self.store.deferred(datetime.max.replace(tzinfo=UTC), MOST_WAITING)),
            "notifications": self.notifies,
            "rejected": [
                each.as_json() for each in rejected_lately(await self.store.alerts(limit=LOOKED_AT), self.form_of)
            ],
            "untold": sum(each.count for each in await self.store.notices()),
            "ledger": ledger.as_json(),
        }

    @property
    def _window_orders(self) -> WindowOrders:
        return WindowOrders(store=self.store, clock=self.clock, inventory=self.inventory, configured=self.windows)

    async def _drop_deferred(self, user: str, order: DropDeferred) -> dict[str, Any]:
        return await deferred.drop(self.store, self.clock, user, order.reason)

    async def _add_window(self, user: str, order: AddWindow) -> dict[str, Any]:
        async with self._scheduling:
            return await self._window_orders.add(user, order)

    async def _end_window(self, user: str, order: EndWindow) -> dict[str, Any]:
        async with self._scheduling:
            return await self._window_orders.end(user, order)

    async def _pause(self, user: str, order: Pause) -> dict[str, Any]:
        orders = self._pause_orders
        async with self._switching[orders.scope(order) or EVERYTHING]:
            return await orders.pause(user, order)

    def may_end(self, uid: int, request: Mapping[str, Any]) -> bool:
        """Whether a request is to end pauses that are all of this user: whoever paused may resume, without any role."""
        if request.get("command") not in ("resume", "resume_scope"):
            return False
        order = understood(request)
        scope = self._pause_orders.scope(order) if isinstance(order, ResumeScope) else EVERYTHING
        return scope is not None and self._pause_orders.all_of(uid, scope)

    async def _resume(self, user: str, _order: Resume) -> dict[str, Any]:
        async with self._switching[EVERYTHING]:
            return await self._pause_orders.resume(user, EVERYTHING)

    async def _resume_scope(self, user: str, order: ResumeScope) -> dict[str, Any]:
        orders = self._pause_orders
        scope = orders.scope(order) or None  # nothing named is not everything: that is another command's
        async with self._switching[scope or EVERYTHING]:
            return await orders.resume(user, scope)

    @property
    def _pause_orders(self) -> PauseOrders:
        return PauseOrders(switch=self.pause_file, store=self.store, clock=self.clock, inventory=self.inventory)

    async def _release(self, user: str, order: Release) -> dict[str, Any]:
        name = order.server
        if (freed := await self._release_cause(user, name)) is not None:
            return {"released": name, "servers": freed}
        server = self.inventory.find(name)
        quarantine = await self.store.quarantine(server.name if server else name.lower())
        if quarantine is None:
            held = ", ".join(quarantine.server for quarantine in await self.store.quarantines()) or "none"
            shared = ", ".join(each.id for each in await self.store.causes()) or "none"
            raise OperatorError(
                f"{name} is not quarantined, nor a shared cause; quarantined servers: {held}; causes: {shared}"
            )
        now = self.clock.now()
        entry = AuditEntry(
            kind=AuditKind.QUARANTINE_LIFTED,
            at=now,
            message=f"{quarantine.server} released by {user}",
            incident_id=quarantine.incident_id,
            server=quarantine.server,
            fields={"user": user, "step": quarantine.step_id},
        )
        await self.store.commit(Commit(at=now, guards=GuardChanges(lift=quarantine.server), told=Told(audit=(entry,))))
        return {"released": quarantine.server}

    async def _release_cause(self, user: str, name: str) -> list[str] | None:
        """Let the incidents of a cause act again; their servers, None when there is no such cause."""
        for _ in range(ROUNDS):
            cause = next((each for each in await self.store.causes() if each.id == name), None)
            if cause is None:
                return None
            servers = await causes.servers_of(self.store, cause)
            held = [incident for server in servers for incident in await self.store.on_server(server)]
            try:
                await self.store.commit(causes.released(cause, held, self.clock.now(), user))
            except Conflict:
                continue  # another incident was found to share it; look again
            return servers
        raise OperatorError(f"cause {name} changes all the time, so nothing was ordered; try again")

    async def _close(self, user: str, order: Close) -> dict[str, Any]:
        incident_id = order.incident
        for _ in range(ROUNDS):
            incident = await self._known(incident_id)
            try:
                return await self._closed(incident, user)
            except Conflict:
                continue  # it moved on while we looked; look again
        raise _restless(incident_id)

    async def _answer(self, user: str, order: Approve | Decline) -> dict[str, Any]:
        """Approve or decline what an incident asks."""
        incident_id, answer = order.incident, {"by": user, "why": order.reason, "state": order.state}
        for _ in range(ROUNDS):
            incident, now = await self._known(incident_id), self.clock.now()
            if isinstance(order, Approve):
                commit = approvals.approve(incident, answer, now, self.approval_lasts)
            else:
                commit = approvals.decline(incident, answer, now)
            try:
                await self.store.commit(commit)
            except Conflict:
                continue  # it moved on while we looked; look again
            asked = approvals.question(incident, order.state)
            return {"incident": incident_id, "state": asked.state, "what": asked.what}
        raise _restless(incident_id)

    async def _closed(self, incident: Incident, user: str) -> dict[str, Any]:
        now = self.clock.now()
        if incident.status is IncidentStatus.OPEN:
            fresh = replace(incident, close_by=user, due_at=now)
            entry = about(AuditKind.DECISION, incident, now, f"{user} orders to close it", {"user": user})
            await self.store.commit(Commit(at=now, progress=Progress(incident=fresh), told=Told(audit=(entry,))))
            return {"closing": incident.id, "note": "what it changed is put back first"}
        if not incident.latched:
            raise OperatorError(f"incident {incident.id} is already {incident.status.value}")
        fresh = replace(incident, latched=False, due_at=None)
        message = f"closed by {user}; the next alert opens a new incident"
        entry = about(AuditKind.LATCH_LIFTED, incident, now, message, {"user": user})
        await self.store.commit(Commit(at=now, progress=Progress(incident=fresh), told=Told(audit=(entry,))))
        return {"closed": incident.id}

    async def _undo(self, user: str, order: Undo) -> dict[str, Any]:
        incident_id = order.incident
        for _ in range(ROUNDS):
            incident = await self._known(incident_id)
            left = [item for item in await self.store.undo_items(incident_id) if item.status is UndoStatus.LEFT]
            await self._may_undo(incident, left)
            now = self.clock.now()
            fresh = replace(
                incident,
                status=IncidentStatus.OPEN,
                state=End.ESCALATED.undo,
                latched=False,
                due_at=now,
                waiting_since=None,
                held_by=None,
                held_since=None,
                undo_by=user,
                ordered_undo=OrderedUndo(incident.latched),
            )
            what = ", ".join(item.setting for item in left)
            entry = about(AuditKind.DECISION, incident, now, f"{user} orders to put back: {what}", {"user": user})
            pending = tuple(replace(item, status=UndoStatus.PENDING) for item in left)
            try:
                await self.store.commit(
                    Commit(at=now, progress=Progress(incident=fresh, undo=pending), told=Told(audit=(entry,)))
                )
            except Conflict:
                continue  # it moved on while we looked; look again
            return {"undoing": what, "note": f"`exmedic show {incident_id}` tells when it is done"}
        raise _restless(incident_id)

    async def _may_undo(self, incident: Incident, left: list[UndoItem]) -> None:
        if incident.status is IncidentStatus.OPEN:
            raise OperatorError(f"incident {incident.id} is still open; it puts back what it changed by itself")
        if not left:
            raise OperatorError(f"incident {incident.id} left nothing changed")
        if await self.store.quarantine(incident.server) is not None:
            raise OperatorError(
                f"{incident.server} is quarantined; look at it, then `exmedic release {incident.server}`"
            )
        current = await self.store.current_incident(incident.key)
        if current is not None and current.id != incident.id:
            raise OperatorError(f"incident {current.id} is about the same monitor and still current; close it first")

    async def _known(self, incident_id: str) -> Incident:
        incident = await self.store.incident(incident_id)
        if incident is None:
            raise OperatorError(f"there is no incident {incident_id}; `exmedic incidents` lists them")
        return incident

    COMMANDS: ClassVar[Mapping[str, Command]] = {
        "status": Command(OperatorRole.VIEWER, _status),
        "pause": Command(None, _pause),  # the safe act: nobody who is here has to look for somebody else
        "resume": Command(OperatorRole.ADMIN, _resume),  # it gives everything back at once, and waiting is safe
        "resume_scope": Command(OperatorRole.OPERATOR, _resume_scope),
        "release": Command(OperatorRole.OPERATOR, _release),
        "close": Command(OperatorRole.OPERATOR, _close),
        "undo": Command(OperatorRole.OPERATOR, _undo),
        "approve": Command(OperatorRole.OPERATOR, _answer),
        "decline": Command(OperatorRole.OPERATOR, _answer),
        "drop_deferred": Command(OperatorRole.OPERATOR, _drop_deferred),
        "add_window": Command(OperatorRole.OPERATOR, _add_window),
        "end_window": Command(OperatorRole.OPERATOR, _end_window),
    }


def _restless(incident_id: str) -> OperatorError:
    return OperatorError(f"incident {incident_id} changes all the time, so nothing was ordered; try again")
