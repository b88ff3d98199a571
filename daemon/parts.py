"""What a turn works with."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.config import Settings
from daemon.engine import Engine
from daemon.family import Family
from daemon.inventory import Inventory
from daemon.ladders import Ladders
from daemon.ports import Clock, KillSwitch, Outside, Shell, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the runner works with."""

    store: Store
    shell: Shell
    clock: Clock
    inventory: Inventory
    ladders: Ladders
    engine: Engine
    settings: Settings
    pause: KillSwitch
    family: Family
    committed: Callable[[], None]  #: called after each turn: there may be rows to send
    outside: Outside | None = None
