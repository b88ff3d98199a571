"""States of the organisation: databases, DAGs, roles, components, POP settings."""

from tests.powershell.agreement.state import Asked, State, about
from tests.powershell.organisation import ago

_LATE = ago(-600)

AS_BUILT = State(
    "as built",
    (
        about("database_copies", "mbx1"),
        about("exchange_server", "mbx1"),
        about("dag_health", "mbx1"),
        about("pop_settings", "cas1"),
        about("set_activation", "mbx1", expected=False, value=True, not_after=_LATE),
        about("set_protocol_log", "cas1", expected=False, value=True, not_after=_LATE),
        Asked("organisation", "mbx3"),
    ),
    quick=True,
)

STATES = (AS_BUILT,)
