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
