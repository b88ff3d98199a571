"""What operators order about windows: each checked, attributed, on record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.config.windows import ill_timed
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, GuardChanges, Told
from daemon.domain.errors import OperatorError
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Clock
from daemon.domain.store import RemediationStore
from daemon.domain.values import timestamp
from daemon.domain.windows import Holding, Span, Window, holding, next_change
from daemon.operators.requests import AddWindow, EndWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOrders:
    """Adds and ends windows. One order at a time: the caller sees to that."""

    store: RemediationStore
    clock: Clock
    inventory: Inventory
    configured: tuple[Window, ...]

    async def add(self, user: str, order: AddWindow) -> dict[str, Any]:
        """Add a one-off window.

        Raises:
            OperatorError: it makes no sense, or there is one of that name.
        """
        now = self.clock.now()
        window = self._window(user, order, now)
        for known in (*self.configured, *await self.store.windows(now)):
            if known.name == window.name:
                by = f"added by {known.added_by}" if known.added_at else "of exmedic.toml"
                raise OperatorError(f"there is a window {window.name} already, {by}; end it first, or name another")
        fields = {"user": user, "window": window.name, "window_kind": window.kind.value, "scope": window.scope}
        when = _span(window)
        fields |= {"begins": timestamp(when.begins), "ends": timestamp(when.ends), "reason": window.reason}
        told = f"{window.title} for {window.scope}, {_shown(when.begins)} to {_shown(when.ends)} UTC"
        message = f"{user} adds {told}: {window.reason or 'no reason given'}"
        entry = AuditEntry(kind=AuditKind.WINDOW_ADDED, at=now, message=message, fields=fields)
        await self.store.commit(Commit(at=now, guards=GuardChanges(window=window), told=Told(audit=(entry,))))
        return {"window": told}

    async def end(self, user: str, order: EndWindow) -> dict[str, Any]:
        """End a window before its time.

        Raises:
            OperatorError: no window of that name was added by command, or it is over.
        """
        now, name = self.clock.now(), order.name
        if any(window.name == name for window in self.configured):
            raise OperatorError(f"the window {name} is of exmedic.toml: take it out there, then restart the daemon")
        added = await self.store.windows(now)
        window = next((each for each in added if each.name == name), None)
        if window is None:
            names = ", ".join(each.name for each in added) or "none"
            raise OperatorError(f"there is no window {name} that could be ended; added by command: {names}")
        ended = replace(window, when=Span(min(_span(window).begins, now), now), ended_by=user)
        message = f"{user} ends {window.title} for {window.scope}"
        entry = AuditEntry(
            kind=AuditKind.WINDOW_ENDED, at=now, message=message, fields={"user": user, "window": window.name}
        )
        await self.store.commit(Commit(at=now, guards=GuardChanges(window=ended), told=Told(audit=(entry,))))
        return {"ended": window.title}

    async def standing(self) -> dict[str, Any]:
        """Which windows hold now, and when that changes next."""
        now = self.clock.now()
        windows = (*self.configured, *await self.store.windows(now))
        change = next_change(windows, now)
        return {
            "windows": [_told(found) for found in holding(windows, now)],
            "next_change": None if change is None else timestamp(change),
        }

    def _window(self, user: str, order: AddWindow, now: datetime) -> Window:
        begins = order.begins or now
        ends = order.until or begins + timedelta(hours=order.hours)
        if ends <= now:
            raise OperatorError(f"until must be in the future; here it is {_shown(now)} UTC")
        if wrong := ill_timed(begins, ends):
            raise OperatorError(f"until {wrong}")
        return Window(
            kind=order.kind,
            name=order.name,
            when=Span(begins, ends),
            servers=tuple(self._server(server) for server in order.servers),
            dags=_among(order.dags, "DAG", [each.dag for each in self.inventory if each.dag]),
            sites=_among(order.sites, "site", [each.site for each in self.inventory]),
            added_at=now,
            added_by=user,
            reason=order.reason,
        )

    def _server(self, name: str) -> str:
        server = self.inventory.find(name)
        if server is None:
            raise OperatorError(f"{name} is not in the inventory, or its short name fits several servers there")
        return server.name


def _span(window: Window) -> Span:
    if not isinstance(window.when, Span):
        raise TypeError(f"{window.title} is weekly; only one-off windows are added by command")
    return window.when


def _told(found: Holding) -> str:
    return f"{found} ({found.window.scope})"


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _among(names: Sequence[str], what: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names as the inventory spells them."""
    spelt = {name.lower(): name for name in known}
    for name in names:
        if name.lower() not in spelt:
            raise OperatorError(
                f"the inventory has no {what} {name}; it has {', '.join(sorted(spelt.values())) or 'none'}"
            )
    return tuple(spelt[name.lower()] for name in names)
