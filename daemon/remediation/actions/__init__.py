"""What carries the actions of `statemachines.actions` out: one object each, over the Shell port only."""

from collections.abc import Mapping
from types import MappingProxyType

from daemon.remediation.actions.activation import CheckMoved, HoldsCopies, StopActivation
from daemon.remediation.actions.backends import CheckPop, FindBackends
from daemon.remediation.actions.contract import EffectAction, ReadAction
from daemon.remediation.actions.heal import Heal, Triage
from daemon.remediation.actions.protocol_log import ProtocolLogOn
from daemon.remediation.actions.reboot import Reboot, WaitUntilBack
from daemon.remediation.actions.restart import RestartService
from daemon.remediation.actions.server_roles import ServerRoles
from daemon.remediation.actions.undo import ProtocolLogOff, Undo
from daemon.remediation.actions.verify import Verify
from daemon.remediation.actions.watch import WatchMonitor

READS: Mapping[str, ReadAction] = MappingProxyType({
    "verify": Verify(),
    "triage": Triage(),
    "heal": Heal(),
    "holds_copies": HoldsCopies(),
    "check_moved": CheckMoved(),
    "wait_until_back": WaitUntilBack(),
    "server_roles": ServerRoles(),
    "watch_monitor": WatchMonitor(),
    "find_backends": FindBackends(),
    "check_pop": CheckPop(),
})  # fmt: skip

EFFECTS: Mapping[str, EffectAction] = MappingProxyType({
    "restart_service": RestartService(),
    "stop_activation": StopActivation(),
    "reboot": Reboot(),
    "protocol_log_on": ProtocolLogOn(),
    "protocol_log_off": ProtocolLogOff(),
    "undo": Undo(),
})  # fmt: skip
