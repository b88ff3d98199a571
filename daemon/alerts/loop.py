"""What the loops that open incidents have in common: routing of alerts, and what was deferred."""

from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.config.alerts import AlertSettings
from daemon.config.guardrails import Storms
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Clock
from daemon.domain.store import RoutingStore
from daemon.domain.windows import Window
from daemon.remediation.incidents.ladders import Ladders
from daemon.runtime.wakeup import POLL, Nudge


@dataclass(slots=True, kw_only=True)
class OpeningLoop:
    """A loop that opens incidents. `committed` is called after each commit."""

    store: RoutingStore
    clock: Clock
    inventory: Inventory
    ladders: Ladders
    new_id: Callable[[], str]  #: of incidents
    prefix: str  #: of topics on the bus
    windows: tuple[Window, ...]  #: those of the configuration
    storms: Storms
    alerts: AlertSettings = field(default_factory=AlertSettings)
    committed: Callable[[], None]
    poll: float = POLL
    _nudge: Nudge = field(init=False)

    def __post_init__(self) -> None:
        self._nudge = Nudge(self.clock, self.poll)

    def nudge(self) -> None:
        """There may be something to do."""
        self._nudge.ring()
