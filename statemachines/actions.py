"""Every action a runbook may name: parameters, effect, outcomes, fields it produces, deadline and evidence.

This is the one table of deadlines. What carries an action out is in `daemon/remediation/actions/`; a test holds the
two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType


class Effect(StrEnum):
    """What an action does to the world."""

    READ = "read"
    IDEMPOTENT = "idempotent"  # sets a value that can be read back
    DISRUPTIVE = "disruptive"  # restart, move, reboot


class Disruption(StrEnum):
    """What of a server a disruptive effect disturbs."""

    RESTART = "restart"
    MOVE = "move"
    REBOOT = "reboot"


class Proof(StrEnum):
    """What an outcome proves about the server; it can only come about where that may be true."""

    HEALTHY = "the monitor is healthy"
    SICK = "the problem is there"
    MAY_HOLD_COPIES = "the server may hold database copies"
    HOLDS_NO_COPIES = "the server holds no database copies"
    NOTHING_ACTIVE = "no active database is left on the server"
    BACK = "the server is back; nobody has verified it yet"
    ONLY_MAILBOX = "the server has the Mailbox role alone"
    ONLY_CLIENT_ACCESS = "the server has the Client Access role alone"
    BOTH_ROLES = "the server has both roles"


#: Outcomes that every action may have beside its own. A state that does not name one goes to `escalated`.
COMMON_OUTCOMES = ("failed", "refused", "unreachable", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """What a runbook and its checker must know of an action, without knowing how it is carried out."""

    name: str
    summary: str  #: plain English, `{parameter}` filled in
    effect: Effect
    outcomes: tuple[str, ...]
    params: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()  #: fields a later state may use as `$state.field`
    deadline: timedelta  #: for reads: the whole of the polling; for effects: from intent to a proven outcome
    evidence: str = ""  #: how a lost answer is settled
    dag_wide: bool = False  #: one at a time in the whole DAG: two at once could cost it its quorum
    changes: str = ""  #: the setting it leaves changed, which a runbook's `undo` must name
    restores: str = ""  #: the setting it puts back before the way out; what follows from that stays for the way out
    parks: bool = False  #: waits for other incidents: entered only with nothing changed, and gives all claims back
    produced_on: tuple[str, ...] = ()  #: the outcomes that bring the fields of `produces`
    proves: Mapping[str, Proof] = field(default_factory=dict, hash=False)  #: by outcome
    goes_on: tuple[str, ...] = ()  #: outcomes after which more may be done to the server; after any other, nothing
    of_monitor: bool = False  #: looks at the incident's own monitor, so an alert that names none cannot use it
    disrupts: Disruption | None = None  #: given for each disruptive action
    undo_disrupts: Disruption | None = None  #: what putting its change back disrupts
    undo_steps: int = 1  #: how many steps putting its change back takes
    puts_back: bool = False  #: puts back what other actions have changed: the way out, which must stay open

    @property
    def acts(self) -> bool:
        """Whether it has an effect, or lets other incidents have one."""
        return self.effect is not Effect.READ or self.parks

    @property
    def only_undoes(self) -> bool:
        """Whether all it does is to put something back: then it is exempt from budgets, windows and modes."""
        return self.puts_back or self.restores != ""


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


_SPECS = (
    ActionSpec(
        name="verify",
        summary="ask whether the monitor's problem still exists",
        effect=Effect.READ,
        outcomes=("healthy", "unhealthy", "undecided"),
        produces=("probe",),
        deadline=_minutes(30),
        produced_on=("healthy", "unhealthy"),
        proves={"healthy": Proof.HEALTHY, "unhealthy": Proof.SICK},
        goes_on=("healthy", "unhealthy"),
        of_monitor=True,
    ),
    ActionSpec(
        name="restart_service",
        summary="restart the Windows service {service}",
        effect=Effect.DISRUPTIVE,
        params=("service",),
        outcomes=("done",),
        produces=("pid", "started_at"),
        deadline=_minutes(10),
        evidence="the service's process id and start time, on the server's own clock",
        produced_on=("done",),
        goes_on=("done", "failed"),  # a service that hangs on stop is for a harsher step
        disrupts=Disruption.RESTART,
    ),
    ActionSpec(
        name="holds_copies",
        summary="ask whether the server may hold a database copy",
        effect=Effect.READ,
        outcomes=("yes", "no"),
        deadline=_minutes(10),
        proves={"yes": Proof.MAY_HOLD_COPIES, "no": Proof.HOLDS_NO_COPIES},
        goes_on=("yes", "no"),
    ),
    ActionSpec(
        name="stop_activation",
        summary="stop activation on the server and move its active databases away",
        effect=Effect.DISRUPTIVE,
        params=("service",),
        outcomes=("done",),
        produces=("databases",),
        deadline=_minutes(15),
        dag_wide=True,
        evidence="DatabaseCopyActivationDisabledAndMoveNow as read from Exchange",
        changes="activation",
        produced_on=("done",),
        goes_on=("done",),
        disrupts=Disruption.MOVE,
    ),
    ActionSpec(
        name="check_moved",
        summary="wait until no active database is left and each that was active is mounted elsewhere",
        effect=Effect.READ,
        params=("databases",),
        outcomes=("moved", "stuck"),
        deadline=_minutes(20),
        proves={"moved": Proof.NOTHING_ACTIVE},
        goes_on=("moved",),
    ),
    ActionSpec(
        name="reboot",
        summary="reboot the server",
        effect=Effect.DISRUPTIVE,
        params=("service",),
        outcomes=("done",),
        produces=("since",),
        deadline=_minutes(30),
        dag_wide=True,
        evidence="the server's boot time, and its own record of a requested restart",
        produced_on=("done",),
        goes_on=("done",),
        disrupts=Disruption.REBOOT,
    ),
    ActionSpec(
        name="wait_until_back",
        summary="wait until the server is really back: everything true twice, a minute apart",
        effect=Effect.READ,
        params=("since", "service"),
        outcomes=("back", "missing"),
        deadline=_minutes(30),
        proves={"back": Proof.BACK},
        goes_on=("back",),
    ),
    ActionSpec(
        name="server_roles",
        summary="ask which roles the server has",
        effect=Effect.READ,
        outcomes=("mailbox", "client_access", "both"),
        deadline=_minutes(10),
        proves={"mailbox": Proof.ONLY_MAILBOX, "client_access": Proof.ONLY_CLIENT_ACCESS, "both": Proof.BOTH_ROLES},
        goes_on=("mailbox", "client_access", "both"),
    ),
    ActionSpec(
        name="watch_monitor",
        summary="wait {minutes} minutes in which the monitor must remain healthy",
        effect=Effect.READ,
        params=("minutes",),
        outcomes=("healthy", "unhealthy"),
        deadline=_minutes(60),
        proves={"healthy": Proof.HEALTHY, "unhealthy": Proof.SICK},
        goes_on=("healthy", "unhealthy"),
        of_monitor=True,
    ),
    ActionSpec(
        name="protocol_log_on",
        summary="switch the POP protocol log on",
        effect=Effect.IDEMPOTENT,
        outcomes=("done",),
        deadline=_minutes(10),
        evidence="ProtocolLogEnabled as read from Exchange",
        changes="protocol_log",
        goes_on=("done",),
        undo_disrupts=Disruption.RESTART,  # the earlier value takes effect with the next start of each service
        undo_steps=3,
    ),
    ActionSpec(
        name="protocol_log_off",
        summary="switch the POP protocol log off again, if this ladder has switched it on",
        effect=Effect.IDEMPOTENT,
        outcomes=("done",),
        deadline=_minutes(10),
        evidence="ProtocolLogEnabled as read from Exchange",
        restores="protocol_log",
        goes_on=("done",),
    ),
    ActionSpec(
        name="find_backends",
        summary="find in the protocol log which Mailbox servers served the probe",
        effect=Effect.READ,
        outcomes=("found", "none"),
        produces=("servers",),
        deadline=_minutes(15),
        produced_on=("found",),
        goes_on=("found", "none"),
    ),
    ActionSpec(
        name="check_pop",
        summary="ask for the health of POP's back end on those Mailbox servers",
        effect=Effect.READ,
        params=("servers",),
        outcomes=("healthy", "unhealthy"),
        produces=("sick",),
        deadline=_minutes(10),
        produced_on=("healthy", "unhealthy"),
        goes_on=("healthy", "unhealthy"),
    ),
    ActionSpec(
        name="triage",
        summary="ask which POP* monitors of the server are unhealthy",
        effect=Effect.READ,
        outcomes=("healthy", "unhealthy"),
        produces=("sick",),
        deadline=_minutes(30),
        produced_on=("unhealthy",),
        proves={"healthy": Proof.HEALTHY, "unhealthy": Proof.SICK},
        goes_on=("healthy", "unhealthy"),
    ),
    ActionSpec(
        name="heal",
        summary="let each sick monitor's own incident run, and wait for it",
        effect=Effect.READ,
        params=("sick",),
        outcomes=("healed", "not_healed"),
        deadline=timedelta(hours=4),
        parks=True,
        goes_on=("healed",),
    ),
    ActionSpec(
        name="undo",
        summary="put back what this ladder changed",
        effect=Effect.IDEMPOTENT,
        outcomes=("done", "more", "left", "nothing"),
        deadline=_minutes(15),
        evidence="the setting's value as read back",
        goes_on=("done", "nothing"),
        puts_back=True,
    ),
)

#: Every action by its name.
ACTIONS: Mapping[str, ActionSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})


ACTIONS_OF = {
    disruption: tuple(spec.name for spec in ACTIONS.values() if spec.disrupts is disruption)
    for disruption in Disruption
}
