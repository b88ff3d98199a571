"""What becomes of an alert that was understood, by what it says itself: routing and `exmedic alert try` ask here.

What is open already, a maintenance window and a storm come afterwards, and only routing knows of them.
"""

from dataclasses import dataclass
from enum import StrEnum

from daemon.alerts.servers import About
from daemon.config.alerts import AlertSettings
from daemon.domain.alerts import Alert


class Outcome(StrEnum):
    """What becomes of an alert."""

    OPEN = "open"  #: an incident
    LOOK = "look"  #: an incident that only looks, since somebody has it already
    SUPPRESSED = "suppressed"  #: nothing, and nobody is told
    HUMAN = "human"  #: no incident, and somebody is told


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of an alert, and why; no reason is needed to open an incident."""

    outcome: Outcome
    reason: str = ""


def fate(alert: Alert, about: About, settings: AlertSettings, *, handled: bool) -> Fate:
    """Decide about an alert. `about` is its server; `handled`: a runbook handles its monitor there."""
    if alert.suppress:
        return Fate(Outcome.SUPPRESSED, alert.suppress)
    if about.server is None and not about.candidates and (alert.names or not alert.hints):
        return Fate(Outcome.SUPPRESSED, f"server {alert.server} is not in the inventory")
    if alert.closed:
        return Fate(Outcome.SUPPRESSED, "closed at its source, and no incident is open")
    if about.server is None:
        return Fate(Outcome.HUMAN, about.reason or "none of its fields names a server, and nothing else one of ours")
    if not handled:
        return Fate(Outcome.HUMAN, _unhandled(alert))
    if reason := taken(alert, settings):
        return Fate(Outcome.LOOK, reason)
    return Fate(Outcome.OPEN)


def taken(alert: Alert, settings: AlertSettings) -> str:
    """Why somebody has an alert already, by what its source says; empty when nobody does."""
    if alert.in_maintenance:
        return "its object is in maintenance mode at its source"
    if alert.resolution_state in settings.taken_states:
        return f"its resolution state is {alert.state}: somebody has it"
    if alert.state and alert.resolution_state is None:
        return f"its resolution state {alert.state} is not known: somebody may have it"
    if alert.owner and alert.owner.lower() not in {owner.lower() for owner in settings.no_owners}:
        return f"{alert.owner} is its owner"
    return ""


def _unhandled(alert: Alert) -> str:
    if alert.monitor:
        return f"no runbook handles {alert.monitor} ({alert.health_set})"
    if alert.health_set:
        return f"no runbook handles an alert of the health set {alert.health_set} that names no monitor"
    return "it names no health set, so no runbook handles it"
