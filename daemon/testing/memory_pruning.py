"""Forgetting what is old, in the store in memory."""

from collections.abc import Iterable
from itertools import islice

from daemon.domain.alerts import AlertStatus, StoredAlert
from daemon.domain.incidents import IncidentStatus, UndoStatus
from daemon.domain.retention import AuditCut, Prune, Pruned, beginning, forgotten_topic, pruned_entry
from daemon.domain.values import timestamp
from daemon.testing import memory_state
from daemon.testing.memory_state import State


def prune(state: State, order: Prune) -> Pruned:
    """See `TrailStore.prune`."""
    rejected = _drop(state, islice(_rejected(state, order), order.limit))
    suppressed = [each for each in state.alerts.values() if each.status is AlertStatus.SUPPRESSED][: order.limit]
    alerts = _drop(state, (each for each in suppressed if each.received_at < order.before))
    joined, incidents = _incidents(state, order)
    audit = _audit(state, order)
    full = order.limit in {rejected, alerts, joined, incidents, audit}
    pruned = Pruned(rejected=rejected, alerts=alerts + joined, incidents=incidents, audit=audit, more=full)
    if pruned.anything:
        memory_state.append_audit(state, [pruned_entry(order, pruned, state.cut[0])])
    return pruned


def _drop(state: State, alerts: Iterable[StoredAlert]) -> int:
    gone = list(alerts)
    for alert in gone:
        del state.alerts[alert.id], state.payloads[alert.id]
        state.counted[f"alerts {alert.status.value}"] -= 1
        state.dropped += alert.seen
    ids = {alert.id for alert in gone}
    for key in [key for key, number in state.alert_ids.items() if number in ids]:
        del state.alert_ids[key]
    return len(gone)


def _rejected(state: State, order: Prune) -> list[StoredAlert]:
    found = [each for each in state.alerts.values() if each.status is AlertStatus.REJECTED]
    cut = size = 0
    for number, each in enumerate(reversed(found), 1):
        size += len(state.payloads[each.id].kept)
        if each.received_at < order.rejected_before or number > order.rejected_most or size > order.rejected_bytes:
            cut = max(cut, each.id)
    return [each for each in found if each.id <= cut]


def _incidents(state: State, order: Prune) -> tuple[int, int]:
    held = {each.incident_id for each in state.undo.values() if each.status is not UndoStatus.DONE}
    held |= {each.incident_id for each in state.quarantines.values()}
    past = [
        each
        for each in state.incidents.values()
        if each.ended_at and each.ended_at < order.before and each.status is not IncidentStatus.OPEN
        if not each.latched and each.id not in held
    ]
    past.sort(key=lambda each: timestamp(each.ended_at or each.opened_at))  # among equals as they were opened
    alerts = incidents = 0
    for incident in past[: order.limit]:
        its = [each for each in state.alerts.values() if each.incident_id == incident.id]
        alerts += _drop(state, its[: order.limit - alerts])
        if alerts >= order.limit:
            break
        for step in state.step_ids.pop(incident.id, ()):
            del state.steps[step]
        state.undo = {name: each for name, each in state.undo.items() if each.incident_id != incident.id}
        del state.incidents[incident.id]
        state.counted[f"incidents {incident.status.value}"] -= 1
        memory_state.send(state, [forgotten_topic(order, incident.id)], order.at)
        incidents += 1
    state.forgotten += incidents
    return alerts, incidents


def _audit(state: State, order: Prune) -> int:
    followed = state.cursors.get(order.follower, 0)
    old = beginning([row for row in state.audit[:-1] if row.seq <= followed][: order.limit], order.before)
    if old:
        state.cut = (AuditCut(old[-1].seq, old[-1].hash),)
        state.audit = state.audit[len(old) :]
    return len(old)
