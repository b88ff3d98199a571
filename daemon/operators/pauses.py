"""What operators order about pauses: each checked, attributed, on record."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.errors import OperatorError, StoreError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import scope_of
from daemon.domain.ports import EVERYTHING, Clock, KillSwitch
from daemon.domain.store import Commits
from daemon.operators.requests import Pause, ResumeScope


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
        why = f"by {user}: {order.reason or 'no reason given'}"
        message = f"paused {scope} {why}".replace("  ", " ")
        try:
            # The file first: should the record fail, the pause stands.
            await self.switch.engage(why, scope)
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
