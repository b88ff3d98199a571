"""Scenarios of what Windows refuses: a right on a service, a service that does not answer, one that another needs."""

from daemon.lab.faults import Fault
from tests.acceptance.scenarios import ALLOWED, BACK, DEEP, ESCALATED, MOVED_AND_REBOOTED, Scenario

_CURABLE = {Fault.REBOOT_CURES: {"monitor": DEEP}}

WINDOWS_SAYS = (
    Scenario(
        batch="twelve",
        shows="an account that may not stop the service does nothing, and climbs nowhere",
        server="mbx1",
        monitor=DEEP,
        faults={**_CURABLE, Fault.WINDOWS_DENIES: {"right": "service"}},
        ends=ESCALATED,
        why="restart: refused",
    ),
    Scenario(
        batch="twelve",
        shows="a service that does not answer the order to stop is left to the reboot",
        server="mbx4",
        monitor=DEEP,
        faults={**_CURABLE, Fault.SERVICE_HANGS: {"how": "no_answer"}},
        effects=(BACK, *MOVED_AND_REBOOTED, ALLOWED),
        by=("restart: failed", "reboot.moved: moved"),
    ),
    Scenario(
        batch="twelve",
        shows="who depends on the service could not be started again",
        server="alone1",
        monitor=DEEP,
        faults={**_CURABLE, Fault.HAS_DEPENDENT: {"start_type": "Disabled"}},
        ends=ESCALATED,
        why="restart: refused",
    ),
)
