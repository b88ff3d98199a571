"""Every action a runbook may name: parameters, effect, outcomes, fields it produces, deadline and evidence.

This is the one table of deadlines. What carries an action out is in `daemon/actions/`; a test holds the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType


class Effect(StrEnum):
    """What an action does to the world."""

    READ = "read"
    IDEMPOTENT = "idempotent"  # sets a value that can be read back
    DISRUPTIVE = "disruptive"  # restart, move, reboot


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
    parks: bool = False  #: waits for other incidents: entered only with nothing changed, and gives all claims back


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
    ),
    ActionSpec(
        name="holds_copies",
        summary="ask whether the server may hold a database copy",
        effect=Effect.READ,
        outcomes=("yes", "no"),
        deadline=_minutes(10),
    ),
    ActionSpec(
        name="stop_activation",
        summary="stop activation on the server and move its active databases away",
        effect=Effect.DISRUPTIVE,
        outcomes=("done",),
        produces=("databases",),
        deadline=_minutes(15),
        dag_wide=True,
        evidence="DatabaseCopyActivationDisabledAndMoveNow as read from Exchange",
        changes="activation",
    ),
    ActionSpec(
        name="check_moved",
        summary="wait until no active database is left and each that was active is mounted elsewhere",
        effect=Effect.READ,
        params=("databases",),
        outcomes=("moved", "stuck"),
        deadline=_minutes(20),
    ),
    ActionSpec(
        name="reboot",
        summary="reboot the server",
        effect=Effect.DISRUPTIVE,
        outcomes=("done",),
        produces=("since",),
        deadline=_minutes(30),
        dag_wide=True,
        evidence="the server's boot time, and its own record of a requested restart",
    ),
    ActionSpec(
        name="wait_until_back",
        summary="wait until the server is really back: everything true twice, a minute apart",
        effect=Effect.READ,
        params=("since", "service"),
        outcomes=("back", "missing"),
        deadline=_minutes(30),
    ),
    ActionSpec(
        name="server_roles",
        summary="ask which roles the server has",
        effect=Effect.READ,
        outcomes=("mailbox", "client_access", "both"),
        deadline=_minutes(10),
    ),
    ActionSpec(
        name="watch_monitor",
        summary="wait {minutes} minutes in which the monitor must remain healthy",
        effect=Effect.READ,
        params=("minutes",),
        outcomes=("healthy", "unhealthy"),
        deadline=_minutes(60),
    ),
    ActionSpec(
        name="protocol_log_on",
        summary="switch the POP protocol log on",
        effect=Effect.IDEMPOTENT,
        outcomes=("done",),
        deadline=_minutes(10),
        evidence="ProtocolLogEnabled as read from Exchange",
        changes="protocol_log",
    ),
    ActionSpec(
        name="find_backends",
        summary="find in the protocol log which Mailbox servers served the probe",
        effect=Effect.READ,
        outcomes=("found", "none"),
        produces=("servers",),
        deadline=_minutes(15),
    ),
    ActionSpec(
        name="check_pop",
        summary="ask for the health of POP* on those Mailbox servers",
        effect=Effect.READ,
        params=("servers",),
        outcomes=("healthy", "unhealthy"),
        produces=("sick",),
        deadline=_minutes(10),
    ),
    ActionSpec(
        name="triage",
        summary="ask which POP* monitors of the server are unhealthy",
        effect=Effect.READ,
        outcomes=("healthy", "unhealthy"),
        produces=("sick",),
        deadline=_minutes(30),
    ),
    ActionSpec(
        name="heal",
        summary="let each sick monitor's own incident run, and wait for it",
        effect=Effect.READ,
        params=("sick",),
        outcomes=("healed", "not_healed"),
        deadline=timedelta(hours=4),
        parks=True,
    ),
    ActionSpec(
        name="undo",
        summary="put back what this ladder changed",
        effect=Effect.IDEMPOTENT,
        outcomes=("done", "more", "left", "nothing"),
        deadline=_minutes(15),
        evidence="the setting's value as read back",
    ),
)

#: Every action by its name.
ACTIONS: Mapping[str, ActionSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
