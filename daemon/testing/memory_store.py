"""A store that forgets when the process ends, held to the same contract suite as the durable one."""

import asyncio
from collections.abc import Awaitable, Callable

from daemon.domain import store_rules
from daemon.domain.commits import Commit
from daemon.domain.incidents import Incident
from daemon.testing import memory_state
from daemon.testing.memory.alerts import Alerts
from daemon.testing.memory.guardrails import Guardrails
from daemon.testing.memory.incidents import Incidents
from daemon.testing.memory.outbox import Outbox
from daemon.testing.memory.trail import Trail


async def let_others_run() -> None:
    """Give every other task a turn."""
    await asyncio.sleep(0)


class MemoryStore(Alerts, Incidents, Guardrails, Outbox, Trail):
    """`Store` in memory. Rejected messages are sent to `deadletter_topic`; for `let_others_run` see `Held`."""

    def __init__(
        self,
        deadletter_topic: str = "exmedic/deadletter",
        let_others_run: Callable[[], Awaitable[None]] = let_others_run,
    ) -> None:
        super().__init__(let_others_run)
        self._deadletter_topic = deadletter_topic

    async def commit(self, commit: Commit) -> Incident | None:
        """See `Commits.commit`. An incident that ends gives its claims back in the same commit."""
        work = store_rules.storable(commit)
        return await self._change(lambda state: memory_state.commit(state, work))
