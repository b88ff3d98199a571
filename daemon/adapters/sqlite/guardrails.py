"""The guardrails' part of the durable store."""

import json
from collections.abc import Collection
from datetime import datetime

from daemon.adapters.sqlite import guard_rows, rows
from daemon.adapters.sqlite.connection import Connection
from daemon.domain.causes import Cause
from daemon.domain.commits import Limit
from daemon.domain.incidents import Quarantine
from daemon.domain.values import timestamp
from daemon.domain.windows import Window


class Guardrails(Connection):
    """`GuardrailStore` on SQLite."""

    async def spent(self, limit: Limit, incident_id: str) -> int:
        """See `GuardrailStore.spent`."""
        unit = "ladders" if limit.of_ladders else "steps"
        count = await self._one("spent", lambda row: int(row[unit]), **rows.limit_row(limit, incident_id))
        return count or 0

    async def claims(self) -> frozenset[str]:
        """See `GuardrailStore.claims`."""
        return frozenset(await self._all("claims", lambda row: str(row["scope"])))

    async def claim_holder(self, scope: str) -> str | None:
        """See `GuardrailStore.claim_holder`."""
        return await self._one("claim_holder", lambda row: str(row["incident_id"]), scope=scope)

    async def quarantine(self, server: str) -> Quarantine | None:
        """See `GuardrailStore.quarantine`."""
        return await self._one("quarantine", rows.quarantine, server=server)

    async def quarantines(self) -> list[Quarantine]:
        """See `GuardrailStore.quarantines`. By server name."""
        return await self._all("quarantines", rows.quarantine)

    async def causes(self) -> list[Cause]:
        """See `GuardrailStore.causes`."""
        return await self._all("causes", guard_rows.cause)

    async def causes_of(self, incident_ids: Collection[str]) -> list[Cause]:
        """See `GuardrailStore.causes_of`."""
        return await self._all("causes_of", guard_rows.cause, ids=json.dumps(list(incident_ids)))

    async def windows(self, since: datetime) -> list[Window]:
        """See `GuardrailStore.windows`."""
        return await self._all("windows", guard_rows.window, since=timestamp(since))
