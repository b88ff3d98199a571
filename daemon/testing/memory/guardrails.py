"""The guardrails' part of the store in memory."""

from collections.abc import Collection
from datetime import datetime

from daemon.domain.causes import Cause
from daemon.domain.commits import Limit
from daemon.domain.incidents import Quarantine
from daemon.domain.windows import Window
from daemon.testing.memory.held import Held


class Guardrails(Held):
    """`GuardrailStore` in memory."""

    async def spent(self, limit: Limit, incident_id: str) -> int:
        """See `GuardrailStore.spent`."""
        return (await self._read()).spent(limit, incident_id)

    async def claims(self) -> frozenset[str]:
        """See `GuardrailStore.claims`."""
        return frozenset((await self._read()).claims)

    async def claim_holder(self, scope: str) -> str | None:
        """See `GuardrailStore.claim_holder`."""
        return (await self._read()).claims.get(scope)

    async def quarantine(self, server: str) -> Quarantine | None:
        """See `GuardrailStore.quarantine`."""
        return (await self._read()).quarantines.get(server)

    async def quarantines(self) -> list[Quarantine]:
        """See `GuardrailStore.quarantines`. By server name."""
        return sorted((await self._read()).quarantines.values(), key=lambda each: each.server)

    async def causes(self) -> list[Cause]:
        """See `GuardrailStore.causes`."""
        return (await self._read()).causes_where(lambda each: each.ended is None)

    async def causes_of(self, incident_ids: Collection[str]) -> list[Cause]:
        """See `GuardrailStore.causes_of`."""
        state, wanted = await self._read(), frozenset(incident_ids)
        return state.causes_where(lambda each: not wanted.isdisjoint((*each.incidents, *each.covered)))

    async def windows(self, since: datetime) -> list[Window]:
        """See `GuardrailStore.windows`."""
        return (await self._read()).windows_since(since)
