"""What a turn works with."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.domain.ports import Outside
from daemon.domain.values import Json
from daemon.exchange.client import Asker
from daemon.exchange.silences import AttentiveShell
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.engine import Engine
from daemon.remediation.incidents.opening import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Services(GuardContext):
    """What the runner works with: what its guardrails do, and what decides and acts."""

    shell: AttentiveShell
    engine: Engine
    family: Family
    committed: Callable[[], None]  #: called after each turn: there may be rows to send
    outside: Outside | None = None

    async def asker(self, server: str, transcript: list[Json]) -> Asker:
        """Asks for an incident of `server`. Who may go away any moment, or is away, is asked about others last."""
        claimed = await self.store.claims() - {server}
        busy = claimed | {quarantine.server for quarantine in await self.store.quarantines()}
        return Asker(
            shell=self.shell,
            clock=self.clock,
            inventory=self.inventory,
            timeout=self.settings.winrm.call_timeout,
            avoid=busy,
            silent=self.shell.silent,
            transcript=transcript,
        )
