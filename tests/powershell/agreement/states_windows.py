"""States of one server by itself: Windows, its services, Managed Availability and its logs."""

from tests.powershell.agreement.state import Asked, State, about
from tests.powershell.organisation import ago

POP = "MSExchangePOP3BE"
_LATE = ago(-600)

AS_BUILT = State(
    "as built",
    (
        about("server_health", "mbx1", health_sets=["POP*"]),
        about("invoke_probe", "mbx1", health_set="POP.Protocol", probe="PopDeepTestProbe"),
        Asked("server_state", "mbx1", {"services": [POP, "MSExchangeIS"]}),
        Asked("recovery_log", "mbx1", {"hours": 6}),
        Asked("step_running", "mbx1", {"step": "i7.2"}),
        Asked("restart_service", "mbx1", {"service": POP, "stop_timeout": 60, "not_after": _LATE}),
        about("reboot", "cas1", mailbox=False, not_after=_LATE),
    ),
    quick=True,
)

STATES = (AS_BUILT,)
