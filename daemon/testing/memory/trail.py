"""The trail's part of the store in memory."""

from collections import Counter
from collections.abc import Mapping

from daemon.domain.alerts import AlertStatus
from daemon.domain.audit import AuditRow
from daemon.domain.incidents import IncidentStatus
from daemon.domain.ledger import Ledger
from daemon.domain.retention import AuditCut, Prune, Pruned
from daemon.testing import memory_pruning
from daemon.testing.memory.held import Held
from daemon.testing.memory_state import State


class Trail(Held):
    """`TrailStore` in memory."""

    async def audit_after(self, seq: int, limit: int) -> list[AuditRow]:
        """See `TrailStore.audit_after`."""
        state = await self._read()
        first = max(0, seq - state.cut[0].seq)  # row n behind the cut is at index n - 1
        return state.audit[first : first + limit]

    async def audit_of(self, incident_id: str) -> list[AuditRow]:
        """See `TrailStore.audit_of`."""
        audit = (await self._read()).audit
        return [row for row in audit if row.entry.incident_id == incident_id] if incident_id else []

    async def cursor(self, name: str) -> int:
        """See `TrailStore.cursor`."""
        return (await self._read()).cursors.get(name, 0)

    async def set_cursor(self, name: str, seq: int) -> None:
        """See `TrailStore.set_cursor`."""

        def move(state: State) -> None:
            state.cursors[name] = seq

        await self._change(move)

    async def audit_cut(self) -> AuditCut:
        """See `TrailStore.audit_cut`."""
        return (await self._read()).cut[0]

    async def prune(self, order: Prune) -> Pruned:
        """See `TrailStore.prune`."""
        return await self._change(lambda state: memory_pruning.prune(state, order))

    async def ledger(self, *, thorough: bool = False) -> Ledger:
        """See `TrailStore.ledger`. Every status is named, also with none of it."""
        state = await self._read()
        alerts = Counter(alert.status for alert in state.alerts.values())
        incidents = Counter(incident.status for incident in state.incidents.values())
        return Ledger(
            accepted=state.accepted,
            stored=len(state.alerts),
            duplicates=sum(alert.seen - 1 for alert in state.alerts.values()),
            alerts={status.value: alerts[status] for status in AlertStatus},
            opened=state.opened,
            incidents={status.value: incidents[status] for status in IncidentStatus},
            counted=_every_status(state.counted),
            told=dict(state.told),
            dropped=state.dropped,
            forgotten=state.forgotten,
            strays={} if thorough else None,  # nothing but the verbs above can change what is here
        )


def _every_status(counted: Mapping[str, int]) -> dict[str, int]:
    names = [f"alerts {status.value}" for status in AlertStatus]
    names += [f"incidents {status.value}" for status in IncidentStatus]
    return {name: counted.get(name, 0) for name in names}
