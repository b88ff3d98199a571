"""What Windows, a service or Managed Availability does or says that is rare, on a sick server in some stories."""

import random
from collections.abc import Iterator

from daemon.lab.faults import Fault
from daemon.simulation.story import Break, Cure, Event

_HOW_OFTEN = 0.15

_SAYS: tuple[tuple[Fault, tuple[tuple[str, object], ...]], ...] = (
    (Fault.WINDOWS_DENIES, (("right", "cim"),)),
    (Fault.WINDOWS_DENIES, (("right", "service"),)),
    (Fault.START_REFUSED, ()),
    (Fault.SERVICE_DIES, ()),
    (Fault.SERVICE_HANGS, (("how", "no_answer"),)),
    (Fault.SERVICE_HANGS, (("how", "starting"),)),
    (Fault.HAS_DEPENDENT, ()),
    (Fault.HAS_DEPENDENT, (("start_type", "Disabled"),)),
    (Fault.HANGING, ()),
    (Fault.PROBE_SAYS, (("value", "Timeout"),)),
    (Fault.PROBE_SAYS, (("value", "Quarantined"),)),
    (Fault.PROBE_SAYS, (("value", "Rejected"),)),
    (Fault.MONITOR_SAYS, (("value", "Degraded"), ("error", "Le serveur a refusé : İstanbul"))),
    (Fault.MONITOR_SAYS, (("value", "UnInitialized"),)),
    (Fault.NULLS, ()),
    (Fault.RECOVERY_DEAD, (("minutes", 10),)),
    (Fault.LOGGED_ON, (("account", "CONTOSO\\jdupont,CONTOSO\\anna"),)),
    (Fault.LOG_NAMES_NOBODY, ()),
    (Fault.LOG_NAMES_NOBODY, (("form", "timed_out"),)),
    (Fault.LOG_COLUMNS_DIFFER, (("form", "short_lines"),)),
)


def windows_says(chance: random.Random, servers: list[str]) -> Iterator[Event]:
    """One such thing on one of the servers, for a while or for good."""
    if chance.random() < _HOW_OFTEN:
        fault, options = chance.choice(_SAYS)
        # What monitors say is no licence, however the probe fares: a rule asks for it where it was said from the start.
        said = fault is Fault.MONITOR_SAYS
        server, at = f"{chance.choice(servers)}.contoso.lab", 0.0 if said else chance.uniform(0, 2400)
        yield Break(at=at, server=server, fault=fault, options=options)
        if not said and chance.random() < 0.5:  # noqa: PLR2004 - a chance
            yield Cure(at=at + chance.uniform(300, 7200), server=server, fault=fault)
