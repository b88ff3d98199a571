"""Windows in a simulation: the order that adds one, and what must hold because of it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from daemon.domain.alerts import AlertStatus
from daemon.domain.incidents import Key, Step
from daemon.domain.inventory import Inventory, Server, share
from daemon.domain.windows import Window, WindowKind, covers, holding
from daemon.remediation.guardrails.windows import forbids
from daemon.simulation.story import Order
from daemon.testing.memory_state import State
from statemachines.actions import ACTIONS


def window_request(order: Order) -> dict[str, Any]:
    """The command that adds a window: kind and length follow from the order's number."""
    return {
        "command": order.command,
        "name": f"window at {order.at:.0f}",
        "kind": list(WindowKind)[order.about % len(WindowKind)].value,
        "hours": 0.25 + 0.5 * (order.about % 10),
        "servers": [order.server] if order.server else [],
        "reason": "as the story wants it",
    }


def forbidden_by(state: State, inventory: Inventory, step: Step, server: Server) -> Window | None:
    """The window in which a step must not have begun, by the daemon's own clock. Business hours may be overruled."""
    action = ACTIONS[step.action]
    others = [each for each in inventory if share(server, each)] if action.dag_wide else []
    for window in state.windows.values():
        known = window.added_at is not None and window.added_at < step.started_at and not window.ended_by
        strict = window.kind is not WindowKind.BUSINESS_HOURS and forbids(window.kind, action)
        beside = window.kind is WindowKind.MAINTENANCE and any(covers(window, other) for other in others)
        if known and strict and (beside or covers(window, server)) and holding([window], step.started_at):
            return window
    return None


def never_verified(state: State, inventory: Inventory, wrong: timedelta) -> Iterator[int]:
    """The alerts set aside for a while that led to no incident. `wrong`: as much as the clock ever was."""
    for row in state.alerts.values():
        if row.status is not AlertStatus.SUPPRESSED or row.alert is None:
            continue
        server = inventory.find(row.alert.server)
        if server is None or row.alert.suppress or row.alert.closed:
            continue  # for good
        key = Key.of(server.name, row.alert.health_set, row.alert.monitor)
        since = row.received_at - wrong
        if not any(i.key == key and (i.ended_at or since) >= since for i in state.incidents.values()):
            yield row.id
