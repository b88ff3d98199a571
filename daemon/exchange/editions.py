"""Which Exchange a server runs, by the version that AdminDisplayVersion says.

Facts: Microsoft, Exchange Server build numbers and release dates, and the products' lifecycle pages. Subscription
Edition goes on with the numbers of 2019: it is 15.2 from build 2562 on.
"""

import re
from enum import StrEnum

_VERSION = re.compile(r"(?:Version )?(\d{1,4})\.(\d{1,4})(?:(?: \(Build |\.)(\d{1,9}))?")
_SUBSCRIPTION_BUILD = 2562


class Edition(StrEnum):
    """An Exchange Server, by the name that Microsoft gives it."""

    E2013 = "Exchange Server 2013"
    E2016 = "Exchange Server 2016"
    E2019 = "Exchange Server 2019"
    SUBSCRIPTION = "Exchange Server Subscription Edition"


#: When Microsoft's support ended, the paid extension included.
SUPPORT_ENDED = {
    Edition.E2013: "in April 2023",
    Edition.E2016: "on 31 October 2026",
    Edition.E2019: "on 31 October 2026",
}


def edition(version: str) -> Edition | None:
    """The edition of a version such as `Version 15.2 (Build 2562.17)` or `15.2.2562.17`; None: it cannot be told."""
    found = _VERSION.match(version)
    if found is not None and found[3] is not None and _numbers(version) == (15, 2):
        return Edition.SUBSCRIPTION if int(found[3]) >= _SUBSCRIPTION_BUILD else Edition.E2019
    return {(15, 0): Edition.E2013, (15, 1): Edition.E2016}.get(_numbers(version))


def known(version: str) -> bool:
    """Whether it is one that exmedic is meant for: 2013 and later, up to 15.2."""
    return (15, 0) <= _numbers(version) <= (15, 2)


def has_every_role(version: str) -> bool:
    """Whether the Mailbox role contains client access there: since 2016, 15.1. An unknown version: no."""
    return _numbers(version) >= (15, 1)


def brings_databases_home(version: str) -> bool:
    """Whether a DAG moves databases to their preferred servers by itself: every hour by default since 2016 CU2.

    Microsoft, Set-DatabaseAvailabilityGroup reference, PreferenceMoveFrequency.
    """
    return _numbers(version) >= (15, 1)


def _numbers(version: str) -> tuple[int, int]:
    """The first two numbers; (0, 0) where there are none."""
    found = _VERSION.match(version)
    return (0, 0) if found is None else (int(found[1]), int(found[2]))
