"""Problems in a simulation that somebody has already: from then on their incidents have no effect any more."""

import json
import random
from collections.abc import Iterator, Sequence

from daemon.domain.alerts import Alert, AlertStatus, StoredAlert
from daemon.domain.audit import AuditKind
from daemon.domain.values import Json
from daemon.simulation.rules import CANARY
from daemon.simulation.story import Event, Publish
from daemon.testing.memory_state import State

#: As SCOM has them: Awaiting Evidence, Assigned to Engineering, Acknowledged.
_TAKEN_STATES = (247, 248, 249)


def takers(chance: random.Random, events: Sequence[Event]) -> Iterator[Event]:
    """Somebody takes an alert in SCOM before or after it came, in the middle of a ladder; some give it back later."""
    alerts = [each for each in events if isinstance(each, Publish) and each.topic.startswith("alerts/exmedic/scom")]
    if not alerts or chance.random() > 0.2:  # noqa: PLR2004 - a chance
        return
    alert, number = chance.choice(alerts), chance.getrandbits(48)
    said = chance.choice((OWNED, {"ResolutionState": 248}))
    at = max(0.0, alert.at + chance.choice((-30.0, chance.uniform(0, 300), chance.uniform(0, 3000))))
    times = [(at, said)]
    times += [(at + chance.uniform(60, 3000), said)] if chance.random() < 0.5 else []  # noqa: PLR2004 - a chance
    times += [(at + chance.uniform(60, 9000), {"ResolutionState": 0})] if chance.random() < 0.4 else []  # noqa: PLR2004 - a chance
    for count, (when, state) in enumerate(times):
        yield in_scom(alert, when, {**state, "RepeatCount": count}, number, copies=chance.choice((1, 1, 2)))


OWNED = {"ResolutionState": 0, "Owner": "ada"}


def in_scom(alert: Publish, at: float, said: Json, number: int = 0, copies: int = 1) -> Publish:
    """What SCOM sends of the problem of an alert in exmedic's own form, with what else it says of it."""
    told = json.loads(alert.payload)
    health_set, monitor = told["health_set"], told["monitor"] or ""
    body = {
        "Id": f"0e000000-0000-4000-8000-{number:012x}",
        "Name": f"{health_set} Health Set unhealthy ({monitor}/{health_set}) - {CANARY}",
        "PrincipalName": told["server"],
        **said,
    }
    return Publish(at=at, topic="alerts/scom/1", payload=json.dumps(body).encode(), copies=copies)


class TakenJudge:
    """Notes with which commit an incident became somebody's, by its alerts, whatever the daemon makes of them."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}  # by incident: how many audit rows there were then

    def look(self, state: State) -> None:
        """Note what became somebody's by the latest commit."""
        latest: dict[str, StoredAlert] = {}
        for row in state.alerts.values():
            if row.status is AlertStatus.JOINED and row.incident_id and row.alert and not row.alert.closed:
                latest[row.incident_id] = row
        for incident_id, row in latest.items():
            if row.alert and _says_so(row.alert) and not state.incidents[incident_id].ended_at:
                self._since.setdefault(incident_id, len(state.audit))

    def objection(self, state: State, step_id: str) -> str:
        """Why what is sent for a step must not be; empty when nothing speaks against it, or an operator ordered it."""
        step = state.steps.get(step_id)
        since = None if step is None else self._since.get(step.incident_id)
        if step is None or since is None:
            return ""
        incident = state.incidents[step.incident_id]
        intents = (row.seq for row in state.audit[since:] if row.entry.kind is AuditKind.INTENT)
        begun = any(state.audit[seq - 1].entry.fields["step"] == step_id for seq in intents)
        if not begun or incident.close_by or incident.undo_by:
            return ""
        return (
            f"{step.action} of {step_id} was begun although somebody had the problem of incident {incident.id} already"
        )


def _says_so(alert: Alert) -> bool:
    return bool(alert.owner) or alert.in_maintenance or alert.resolution_state in _TAKEN_STATES
