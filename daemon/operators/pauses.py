"""What operators order about pauses: each checked, attributed, on record."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from secrets import token_hex
from typing import Any

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.errors import OperatorError, StoreError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import EVERYTHING, SYSTEM_TIME, Terms, scope_of
from daemon.domain.ports import Clock, KillSwitch
from daemon.domain.store import Commits
from daemon.domain.values import timestamp
from daemon.operators.requests import Pause, ResumeScope

_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseOrders:
    """Pauses and resumes. One order at a time: the caller sees to that."""

    switch: KillSwitch
    store: Commits
    clock: Clock
    inventory: Inventory

    async def pause(self, user: str, order: Pause) -> dict[str, Any]:
        """Pause everything, a `server` or a `dag`. When it returns, no effect starts there any more.

        Raises:
            OperatorError: there is no such server or DAG, and nothing is paused; or it is, and not for long.
            StoreError: it is paused, and not on record.
        """
        scope = self.scope(order)
        if scope is None:
            raise OperatorError(
                f"{_named(order)}, so by this name nothing was paused; `exmedic pause` pauses everything"
            )
        now = SYSTEM_TIME()
        if order.until is not None and order.until <= now:
            raise OperatorError(f"until must be in the future, so nothing was paused; here it is {now:%H:%M} UTC")
        why = f"by {user}: {order.reason or 'no reason given'}"
        end = f", until {order.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if order.until else ""
        message = f"paused {scope} {why}{end}".replace("  ", " ")
        try:
            # The file first: should the record fail, the pause stands.
            await self.switch.engage(why, scope, self._terms(order, scope))
        except OSError as error:
            with suppress(StoreError):  # a disk that is full may be the store's as well
                await self._record(AuditKind.PAUSED, f"{message}; only until exmedic ends", user, scope)
            raise OperatorError(
                f"paused, but only until exmedic ends: the pause file {error.filename or self.switch.path} cannot be "
                f"written: {error.strerror}; mend that, and pause again"
            ) from error
        await self._record(AuditKind.PAUSED, message, user, scope)
        return {"paused": why, "scope": scope}

    async def resume(self, user: str, scope: str | None) -> dict[str, Any]:
        """End the pause of everything, or that of a server or DAG alone.

        Raises:
            OperatorError: it is not paused, or the file cannot be removed.
            StoreError: it could not be put on record; nothing is resumed.
        """
        standing = self.switch.standing()
        if scope is None or scope not in standing:
            what = "exmedic is not paused" if scope == EVERYTHING else "that server or DAG is not paused by itself"
            others = ", ".join(each or "everything" for each in standing)
            raise OperatorError(f"{what}; paused: {others}" if others else what)
        # The record first: should it fail, nothing is resumed.
        await self._record(AuditKind.RESUMED, f"resumed {scope} by {user}".replace("  ", " "), user, scope)
        try:
            self.switch.resume(scope)
        except OSError as error:
            raise OperatorError(
                f"the pause file {error.filename or self.switch.path} cannot be removed: {error.strerror}"
            ) from error
        return {"paused": self.switch.reason(), "scope": scope, "paused_scopes": self.parts()}

    def _terms(self, order: Pause, scope: str) -> Terms:
        """The terms of an order. No id is taken that another's has: nobody changes the end of somebody else's pause."""
        theirs = {each.terms.id for each in self.switch.orders() if each.scope == scope and each.terms.uid != order.uid}
        taken = not _ID.fullmatch(order.order) or order.order in theirs
        own = "" if order.uid is None else token_hex(4)
        return Terms(id=own if taken else order.order, uid=order.uid, until=order.until)

    def all_of(self, uid: int, scope: str) -> bool:
        """Whether all pauses of a scope are one user's, and there are any."""
        owners = {each.terms.uid for each in self.switch.orders() if each.scope == scope}
        return owners == {uid}

    def listed(self) -> list[dict[str, Any]]:
        """Each pause by itself, for machines."""
        return [
            {
                "scope": each.scope or "everything",
                "why": each.why,
                "since": each.since and timestamp(each.since),
                "until": each.terms.until and timestamp(each.terms.until),
                "by_hand": each.by_hand,
            }
            for each in self.switch.orders()
            if not each.over
        ]

    def scope(self, order: Pause | ResumeScope) -> str | None:
        """What an order is about; None: nothing that the inventory has."""
        return scope_of(self.inventory, order.server, order.dag)

    def parts(self) -> dict[str, str]:
        """The servers and DAGs that are paused by themselves, with the reasons."""
        return {scope: why for scope, why in self.switch.standing().items() if scope != EVERYTHING}

    async def _record(self, kind: AuditKind, message: str, user: str, scope: str) -> None:
        now = self.clock.now()
        entry = AuditEntry(
            kind=kind,
            at=now,
            message=message,
            server=scope if self.inventory.find(scope) else "",
            fields={"user": user, "scope": scope or "everything"},
        )
        await self.store.commit(Commit(at=now, told=Told(audit=(entry,))))


def _named(order: Pause) -> str:
    if order.server and order.dag:
        return "name a server or a DAG, not both"
    return f"the inventory has no {'DAG' if order.dag else 'server'} {order.dag or order.server}"
