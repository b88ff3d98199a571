"""Alerts in a simulation that vanish unseen: set aside and never verified, or rejected, and nobody is told."""

from collections.abc import Iterator
from datetime import timedelta

from daemon.domain.alerts import AlertStatus, StoredAlert
from daemon.domain.incidents import Incident, Key
from daemon.simulation.world import World


def unseen(world: World, wrong: timedelta) -> Iterator[str]:
    """Each alert that led to no incident and that no page tells of, in words. `wrong`: as the clock ever was."""
    unhandled = "\n".join(text for title, text in world.pages if "no runbook handles" in title)
    rejected = any("alerts are rejected" in title for title, _ in world.pages)
    for row in world.store.contents.alerts.values():
        if row.status is AlertStatus.REJECTED and not rejected:
            yield f"message {row.id} was rejected, and nobody was told"
        if row.status is not AlertStatus.SUPPRESSED or row.alert is None or row.alert.suppress or row.alert.closed:
            continue
        server = world.inventory.find(row.alert.server)
        if server is None:
            continue  # for good
        key = Key.of(server.name, row.alert.health_set, row.alert.monitor)
        of_key = [incident for incident in world.store.contents.incidents.values() if incident.key == key]
        told = server.name in unhandled if "no runbook handles" in row.reason else _told_before(row, of_key)
        since = row.received_at - wrong
        if not told and not any((each.ended_at or since) >= since for each in of_key):
            yield f"alert {row.id} was set aside, nobody verified it afterwards, and nobody was told"


def _told_before(row: StoredAlert, of_key: list[Incident]) -> bool:
    """Whether an incident has told that somebody has this very alert."""
    return any(
        each.id in row.reason and each.taken and row.alert and each.taken.alert == row.alert.source_id
        for each in of_key
    )
