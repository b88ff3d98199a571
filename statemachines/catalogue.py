"""What there is at an Exchange organisation: services, monitors with their probes, and the kinds of servers.

A runbook may name nothing else, so that a misspelt name is found before a server is asked for it. Sources: Microsoft,
"Troubleshooting POP Health Set" and "Troubleshooting IMAP Health Set". The names are (unconfirmed) on a live server,
which is why a runbook may say `confirmed: true` beside names that an administrator has seen there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from statemachines.actions import Proof


class Tier(StrEnum):
    """Which half of a protocol: the front end takes connections, the back end is at the databases."""

    FRONT = "front end"
    BACK = "back end"


#: Windows services that a runbook may restart or wait for, and the tier to which each belongs.
SERVICES: Mapping[str, Tier] = MappingProxyType({
    "MSExchangePOP3": Tier.FRONT,
    "MSExchangePOP3BE": Tier.BACK,
    "MSExchangeIMAP4": Tier.FRONT,
    "MSExchangeIMAP4BE": Tier.BACK,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Monitor:
    """A monitor of Managed Availability. `tier` None: it is on servers of either."""

    health_set: str
    name: str
    probe: str | None
    tier: Tier | None


def _protocol(name: str, word: str) -> tuple[Monitor, ...]:
    """The monitors of a protocol; IMAP's are POP's twins."""
    return (
        Monitor(name, f"{word}CTPMonitor", f"{word}CTPProbe", Tier.FRONT),
        Monitor(name, "AverageCommandProcessingTimeGt60sMonitor", None, None),
        Monitor(f"{name}.Proxy", f"{word}ProxyTestMonitor", f"{word}ProxyTestProbe", Tier.FRONT),
        Monitor(f"{name}.Protocol", f"{word}DeepTestMonitor", f"{word}DeepTestProbe", Tier.BACK),
        Monitor(f"{name}.Protocol", f"{word}SelfTestMonitor", f"{word}SelfTestProbe", Tier.BACK),
    )


MONITORS = (*_protocol("POP", "Pop"), *_protocol("IMAP", "Imap"))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server that a ladder may find itself on."""

    told: str
    roles: frozenset[str]
    tiers: frozenset[Tier]
    says: Proof  #: what `server_roles` proves there
    copies: bool  #: whether it may hold database copies
    dag: bool  #: whether it is in a DAG; a server that stands alone is never moved or rebooted


_MAILBOX, _CLIENT_ACCESS = frozenset({"mailbox"}), frozenset({"client_access"})
_BOTH, _TIERS = _MAILBOX | _CLIENT_ACCESS, frozenset(Tier)

#: From 2016 on every server has both roles and both tiers, so it is one of the third kind.
KINDS = (
    Kind("a Client Access server", _CLIENT_ACCESS, frozenset({Tier.FRONT}), Proof.ONLY_CLIENT_ACCESS, False, False),
    Kind("a Mailbox server in a DAG", _MAILBOX, frozenset({Tier.BACK}), Proof.ONLY_MAILBOX, True, True),
    Kind("a server with both roles in a DAG", _BOTH, _TIERS, Proof.BOTH_ROLES, True, True),
    Kind("a Mailbox server in no DAG", _MAILBOX, frozenset({Tier.BACK}), Proof.ONLY_MAILBOX, True, False),
    Kind("a server with both roles in no DAG", _BOTH, _TIERS, Proof.BOTH_ROLES, True, False),
)


def monitor(health_set: str, name: str) -> Monitor | None:
    """A monitor by its health set and name, compared without regard to case as Exchange does."""
    wanted = (health_set.lower(), name.lower())
    return next((known for known in MONITORS if (known.health_set.lower(), known.name.lower()) == wanted), None)


def speaks_of(health_set: str, name: str) -> Tier | None:
    """The tier that a monitor's row speaks of; one not known here goes by its health set. None: it may be either."""
    known = monitor(health_set, name)
    if known is not None:
        return known.tier
    tiers = {each.tier for each in MONITORS if each.health_set.lower() == health_set.lower()}
    return tiers.pop() if len(tiers) == 1 else None


def tier_of(service: object) -> Tier | None:
    """The tier of a service, without regard to case; None for one that is not known."""
    return next((tier for name, tier in SERVICES.items() if name.lower() == str(service).lower()), None)
