"""Windows in a simulation: the order that adds one, and what must hold because of it."""

from typing import Any

from daemon.domain.incidents import Step
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
