"""What guardrails work with."""

from dataclasses import dataclass

from daemon.config.settings import Settings
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Clock, KillSwitch
from daemon.domain.store import RemediationStore
from daemon.domain.windows import Window
from daemon.remediation.incidents.ladders import Ladders


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardContext:
    """What guardrails work with: the record, and the site's own rules. No server is asked through it."""

    store: RemediationStore
    clock: Clock
    inventory: Inventory
    ladders: Ladders
    settings: Settings
    pause: KillSwitch
    windows: tuple[Window, ...] = ()  #: those of the configuration
