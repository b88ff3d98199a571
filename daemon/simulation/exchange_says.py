"""What Exchange says, or refuses to say, about a sick server in some stories."""

import random
from collections.abc import Iterator

from daemon.lab.faults import Fault
from daemon.simulation.story import Break, Cure, Event

_HOW_OFTEN = 0.15

_SAYS: tuple[tuple[Fault, tuple[tuple[str, object], ...]], ...] = (
    (Fault.SESSION_REFUSED, (("refusal", "denied"),)),
    (Fault.SESSION_REFUSED, (("refusal", "no_session"),)),
    (Fault.CMDLET_DENIED, (("cmdlet", "Get-MailboxDatabaseCopyStatus"),)),
    (Fault.CMDLET_DENIED, (("cmdlet", "Set-MailboxServer"),)),
    (Fault.NULL_PROPERTY, ()),
    (Fault.CHANGE_LOST, (("count", 1),)),
    (Fault.CHANGE_LOST, (("count", 3),)),
    (Fault.COPY_STATUS, (("status", "Failed"),)),
    (Fault.COPY_STATUS, (("status", "Seeding"),)),
    (Fault.COPY_STATUS, (("status", "SeedingSource"),)),
    (Fault.COPY_STATUS, (("status", "Misconfigured"),)),
    (Fault.WITNESS, ()),
    (Fault.DATABASE_NAME, ()),
)


def exchange_says(chance: random.Random, servers: list[str]) -> Iterator[Event]:
    """One such thing about one of the servers, for a while or for good."""
    if chance.random() < _HOW_OFTEN:
        fault, options = chance.choice(_SAYS)
        server, at = f"{chance.choice(servers)}.contoso.lab", chance.uniform(0, 2400)
        yield Break(at=at, server=server, fault=fault, options=options)
        if chance.random() < 0.5:  # noqa: PLR2004 - a chance
            yield Cure(at=at + chance.uniform(300, 7200), server=server, fault=fault)
