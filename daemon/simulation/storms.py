"""Storms in a simulation: no minute opens more incidents than its cap, and a join leaves a row only where it is due."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from daemon.config.guardrails import Storms
from daemon.domain.alerts import AlertStatus
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.inventory import Inventory, Server
from daemon.testing.memory_state import State

_MINUTE = timedelta(minutes=1)
_FIRST = frozenset(range(1, 11))
_ON_RECORD = _FIRST | {100, 1_000, 10_000}  #: the joins of an incident that are worth a row


class StormJudge:
    """Reads each audit row once, as it is written. What it finds is told in words."""

    def __init__(self, inventory: Inventory, storms: Storms) -> None:
        self._inventory = inventory
        self._storms = storms
        self._read = 0
        self._opened: list[tuple[datetime, Server]] = []
        self._joins: defaultdict[str, set[int]] = defaultdict(set)  # of each incident: the numbers on record
        self._by_alert: set[str] = set()  # incidents that an alert opened; that one is not a join

    def look(self, state: State) -> Iterator[str]:
        """What the new rows break."""
        rows, self._read = state.audit[self._read :], len(state.audit)
        for row in rows:
            if row.entry.kind is AuditKind.INCIDENT_OPENED:
                yield from self._within_its_cap(row.entry)
            elif row.entry.kind is AuditKind.ALERT_JOINED and "joined" in row.entry.fields:
                yield from self._worth_a_row(state, row.entry)

    def unrecorded(self, state: State) -> Iterator[str]:
        """At the end: joins that were due a row and have none."""
        joined: defaultdict[str, int] = defaultdict(int)
        for alert in state.alerts.values():
            if alert.status is AlertStatus.JOINED and alert.incident_id:
                joined[alert.incident_id] += 1
        for incident_id, count in joined.items():
            joins = count - (incident_id in self._by_alert)
            missing = {number for number in _ON_RECORD if number <= joins} - self._joins[incident_id]
            if missing:
                yield f"{joins} alerts joined incident {incident_id}; no row tells of number {min(missing)}"

    def _within_its_cap(self, entry: AuditEntry) -> Iterator[str]:
        """Counted in the order of the commits: a clock that is set back begins its minute anew.

        What another incident opens is counted, but not held: it waits for that one, and would be lost.
        """
        server = self._inventory.find(entry.server)
        if server is None:
            yield f"incident {entry.incident_id} was opened on {entry.server}, which is not in the inventory"
            return
        if "alert" in entry.fields:
            self._by_alert.add(entry.incident_id)
        self._opened.append((entry.at, server))
        if "opener" in entry.fields:
            return
        of_minute = [each for at, each in self._opened if entry.at - _MINUTE < at <= entry.at]
        counts = {
            "the fleet": (len(of_minute), self._storms.fleet),
            f"site {server.site}": (sum(each.site == server.site for each in of_minute), self._storms.site),
        }
        if server.dag:
            counts[server.dag] = (sum(each.dag == server.dag for each in of_minute), self._storms.dag)
        for scope, (count, most) in counts.items():
            if count > most:
                yield f"incident {entry.incident_id} is number {count} of a minute in {scope}, {most} are allowed"

    def _worth_a_row(self, state: State, entry: AuditEntry) -> Iterator[str]:
        number, alert = int(entry.fields["joined"]), state.alerts[int(entry.fields["alert"])].alert
        if number in self._joins[entry.incident_id]:
            yield f"number {number} that joined incident {entry.incident_id} is on record twice"
        self._joins[entry.incident_id].add(number)
        if number not in _ON_RECORD and not (alert is not None and alert.closed):
            yield f"a row of its own tells of number {number} that joined incident {entry.incident_id}"
