"""Scenarios of what Exchange says, or refuses to say: a cmdlet not granted, a null, a copy that is sick."""

from daemon.lab.faults import Fault
from tests.acceptance.scenarios import ALLOWED, BACK, DEEP, ESCALATED, MOVED_AND_REBOOTED, NO_OPTIONS, Scenario

_CURABLE = {Fault.REBOOT_CURES: {"monitor": DEEP}}

EXCHANGE_SAYS = (
    Scenario(
        batch="ten",
        shows="a database may have any name",
        server="mbx1",
        monitor=DEEP,
        faults={**_CURABLE, Fault.DATABASE_NAME: NO_OPTIONS},
        effects=(BACK, *MOVED_AND_REBOOTED, ALLOWED),
        by=("reboot.moved: moved",),
    ),
    Scenario(
        batch="ten",
        shows="an account that may not block activation moves nothing",
        server="mbx4",
        monitor=DEEP,
        faults={**_CURABLE, Fault.CMDLET_DENIED: {"cmdlet": "Set-MailboxServer"}},
        ends=ESCALATED,
        effects=(BACK,),
        why="Set-MailboxServer",
    ),
    Scenario(
        batch="ten",
        shows="a property without a value is no answer: it is read again until the deadline",
        server="alone1",
        monitor=DEEP,
        faults={**_CURABLE, Fault.NULL_PROPERTY: {"missing": "ActiveCopy"}},
        ends=ESCALATED,
        why="restart: unknown: waited since",
    ),
    Scenario(
        batch="eleven",
        shows="a copy elsewhere is being seeded from the server",
        server="mbx2",
        monitor=DEEP,
        faults=_CURABLE,
        elsewhere={"mbx3": {Fault.COPY_STATUS: {"database": "MBX2-DB1", "status": "Seeding"}}},
        ends=ESCALATED,
        effects=(BACK,),
        why="reboot.move: refused: the copy of MBX2-DB1 on MBX3 is being seeded from mbx2.contoso.lab",
    ),
    Scenario(
        batch="eleven",
        shows="of two copies of a database the other one has failed",
        server="mbx5",
        monitor=DEEP,
        faults=_CURABLE,
        elsewhere={"mbx6": {Fault.COPY_STATUS: {"database": "MBX5-DB2", "status": "Failed"}}},
        ends=ESCALATED,
        effects=(BACK,),
        why="reboot.move: refused: Test-ReplicationHealth on mbx5.contoso.lab did not pass: DatabaseRedundancyCheck",
    ),
)
