"""What a turn works with."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.config.settings import Settings
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Clock, KillSwitch, Outside, Store
from daemon.domain.values import Json
from daemon.engine import Engine
from daemon.exchange.client import Asker
from daemon.exchange.silences import AttentiveShell
from daemon.family import Family
from daemon.ladders import Ladders


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the runner works with."""

    store: Store
    shell: AttentiveShell
    clock: Clock
    inventory: Inventory
    ladders: Ladders
    engine: Engine
    settings: Settings
    pause: KillSwitch
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
