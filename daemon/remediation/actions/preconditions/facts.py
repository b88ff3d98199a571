"""What the gates judge: the answers of the servers, read seconds before an effect."""

from dataclasses import dataclass, field
from datetime import datetime

from daemon.config.guardrails import Timing
from daemon.domain.inventory import Role, Server
from daemon.exchange.answers import (
    DagHealth,
    DatabaseCopies,
    ExchangeServer,
    PopSettings,
    RecoveryLog,
    ServerHealth,
    ServerState,
)
from statemachines.model import Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another Client Access server of the site; `silence` says why an answer about it is missing."""

    server: Server
    busy: bool  #: claimed by an incident, or quarantined; then it is not asked
    exchange: ExchangeServer | None = None
    health: ServerHealth | None = None
    silence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What a server tells of itself about what was done there; `silence` says why an answer is missing."""

    server: Server
    clock: datetime | None = None  #: the server's own time, with the answers
    state: ServerState | None = None
    recovery: RecoveryLog | None = None
    silence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Something that a monitor of the server depends on. Without a health set it is only noted."""

    name: Need
    health_set: str = ""
    noted: str = ""  #: why it is not asked

    def __str__(self) -> str:
        return f"{self.name} (health set {self.health_set})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of a server before an effect.

    `copies` and `dag` are asked for servers that the inventory calls Mailbox, `copies` and `neighbours` before the
    reboot of a Client Access server; what was not asked is None or empty.
    """

    server: Server
    service: str  #: the Windows service that is to be healed; empty when the effect is about none
    blocked_by_us: bool  #: activation was stopped by this incident, and not put back yet
    left_blocked_by: str = ""  #: the earlier incident of ours that left activation blocked there
    clock: datetime  #: the server's own time, with `state` and `recovery`
    state: ServerState
    exchange: ExchangeServer
    recovery: RecoveryLog
    copies: DatabaseCopies | None = None
    dag: DagHealth | None = None
    neighbours: tuple[Neighbour, ...] = ()
    members: tuple[Member, ...] = ()  #: the others of its DAG, before a move or a reboot
    dependencies: tuple[Dependency, ...] = ()  #: what its monitors depend on
    health: ServerHealth | None = None  #: of their health sets
    probe_reason: str = ""  #: why the probe failed, as it told the last verification
    pop: PopSettings | None = None  #: before a move, and before the reboot of a Client Access server
    timing: Timing = field(default_factory=Timing)

    @property
    def mailbox(self) -> bool:
        """Whether the inventory calls it a Mailbox server."""
        return Role.MAILBOX in self.server.roles
