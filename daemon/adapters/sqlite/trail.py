"""The trail's part of the durable store."""

from daemon.adapters.sqlite import pruning, rows
from daemon.adapters.sqlite.connection import Connection
from daemon.domain.audit import AuditRow
from daemon.domain.ledger import Ledger
from daemon.domain.retention import AuditCut, Prune, Pruned


class Trail(Connection):
    """`TrailStore` on SQLite."""

    async def audit_after(self, seq: int, limit: int) -> list[AuditRow]:
        """See `TrailStore.audit_after`."""
        return await self._all("audit_after", rows.audit_row, seq=seq, limit=limit)

    async def audit_of(self, incident_id: str) -> list[AuditRow]:
        """See `TrailStore.audit_of`."""
        return await self._all("audit_of", rows.audit_row, incident_id=incident_id)

    async def cursor(self, name: str) -> int:
        """See `TrailStore.cursor`."""
        return await self._one("cursor", lambda row: int(row["seq"]), name=name) or 0

    async def set_cursor(self, name: str, seq: int) -> None:
        """See `TrailStore.set_cursor`."""
        await self._write("set_cursor", [{"name": name, "seq": seq}])

    async def audit_cut(self) -> AuditCut:
        """See `TrailStore.audit_cut`."""
        return await self._one("audit_cut", lambda row: AuditCut(row["seq"], row["hash"])) or AuditCut()

    async def prune(self, order: Prune) -> Pruned:
        """See `TrailStore.prune`."""
        return await self._with(lambda connection: pruning.prune(connection, order))

    async def ledger(self, *, thorough: bool = False) -> Ledger:
        """See `TrailStore.ledger`. The counts are in indexes; a thorough look reads every row that refers to one."""
        wanted = ("ledger", "strays") if thorough else ("ledger",)
        found = [row for query in wanted for row in await self._all(query, lambda row: row)]
        return rows.ledger(found, thorough=thorough)
