"""What would become of a payload, with neither a daemon nor a store: as if nothing were open."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.alerts.fate import Outcome, fate
from daemon.alerts.payloads import Part
from daemon.alerts.servers import NOBODY, About, about_server
from daemon.config.alerts import AlertSettings
from daemon.domain.alerts import Alert
from daemon.domain.incidents import Key
from daemon.domain.inventory import Inventory
from daemon.remediation.incidents.ladders import serves
from statemachines.model import Definition

JOIN, REJECTED = "join", "rejected"  #: beside the outcomes of an alert by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What would become of one alert of a payload."""

    outcome: str  #: one of `Outcome`, or `join`, or `rejected`
    reason: str
    alert: Alert | None = None
    about: About = NOBODY
    key: Key | None = None  #: of its incident, where it has one
    runbook: str = ""  #: that handles it; empty: none does

    def as_json(self) -> dict[str, str]:
        """One line for programs; what is not known is empty."""
        alert = self.alert
        unclear = "" if alert is None or self.about.candidates else alert.server
        server = self.about.server.name if self.about.server else unclear
        return {
            "outcome": self.outcome,
            "server": server,
            "health_set": alert.health_set if alert else "",
            "monitor": alert.monitor if alert else "",
            "key": f"{self.key.health_set}/{self.key.monitor}@{self.key.server}" if self.key else "",
            "reason": self.reason,
        }


def tried(
    parts: Sequence[Part], inventory: Inventory, definitions: Sequence[Definition], settings: AlertSettings
) -> list[Tried]:
    """What would become of the alerts of one payload, in order."""
    found: list[Tried] = []
    for part in parts:
        each = _tried(part, inventory, definitions, settings)
        opened = {other.key for other in found if other.outcome in (Outcome.OPEN, Outcome.LOOK)}
        if each.key in opened and each.outcome in (Outcome.OPEN, Outcome.LOOK):
            reason = "an earlier alert of this payload opens the incident of the same key"
            each = Tried(
                outcome=JOIN, reason=reason, alert=each.alert, about=each.about, key=each.key, runbook=each.runbook
            )
        found.append(each)
    return found


def _tried(part: Part, inventory: Inventory, definitions: Sequence[Definition], settings: AlertSettings) -> Tried:
    alert = part.alert
    if alert is None:
        return Tried(outcome=REJECTED, reason=part.rejection)
    about = about_server(alert, inventory)
    server, runbook = about.server, ""
    if server is not None:
        handles = (each.runbook for each in definitions if serves(each, server, alert.health_set, alert.monitor))
        runbook = next(handles, "")
    decided = fate(alert, about, settings, handled=bool(runbook))
    key = None if server is None else Key.of(server.name, alert.health_set, alert.monitor)
    return Tried(
        outcome=decided.outcome.value, reason=decided.reason, alert=alert, about=about, key=key, runbook=runbook
    )
