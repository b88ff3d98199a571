"""Windows: maintenance, freezes and business hours. Which hold now, until when, and what they forbid.

A weekly window goes by the local clock. Where the clock is changed within it, it is never shorter than it was
written: a time that is skipped counts as the earlier moment for its begin and the later one for its end; of a time
that comes twice, the first is its begin and the second its end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from daemon.config.guardrails import Timing
from daemon.domain.verdicts import Hold, Refuse
from daemon.domain.windows import Span, Window, WindowKind, holding, merged, spans
from daemon.gates.modes import asks
from statemachines.actions import ActionSpec, Disruption, Effect

_NOT = {
    WindowKind.MAINTENANCE: "nothing is done",
    WindowKind.FREEZE: "nothing but a restart is done",
    WindowKind.BUSINESS_HOURS: "no moves and reboots without approval",
}


def forbids(kind: WindowKind, action: ActionSpec) -> bool:
    """Whether an action must not begin in such a window. Reading and putting back always may."""
    if action.effect is Effect.READ or action.name == "undo":
        return False
    if kind is WindowKind.BUSINESS_HOURS:
        return action.disrupts in (Disruption.MOVE, Disruption.REBOOT)
    return kind is WindowKind.MAINTENANCE or action.disrupts is not Disruption.RESTART


def closed(windows: Iterable[Window], action: ActionSpec, since: datetime, now: datetime) -> tuple[Span, ...]:
    """When windows kept an action from being done since a moment, up to the end of the present one."""
    return merged(
        span
        for window in windows
        if forbids(window.kind, action)
        for span in spans(window, since, now + timedelta.resolution)
    )


def in_window(
    windows: Sequence[Window],
    action: ActionSpec,
    now: datetime,
    verified: datetime,
    timing: Timing,
    *,
    changed: bool,
    beside: Sequence[tuple[str, Window]] = (),
) -> Hold | Refuse | None:
    """Holds what a window forbids. `windows`: those for the server; `verified`: when it was last looked at.

    `beside`: maintenances of servers that must not go away together with this one, with their names.

    With something `changed` that waits to be put back, a window that is longer than any hold refuses instead: the
    server is not left like that for days. After a maintenance the problem is verified afresh.
    """
    own = holding((window for window in windows if forbids(window.kind, action)), now)
    all_found = [(found, _NOT[found.window.kind]) for found in own]
    for name, window in beside:
        why = f"somebody works on {name}, of the same DAG or site"
        all_found += [(found, why) for found in holding([window], now)]
    deadline = timedelta(seconds=timing.hold_deadline)
    for found, why in sorted(all_found, key=lambda each: each[0].until, reverse=True):
        reason = f"{found}: {why}"
        if changed and found.until - now > deadline:
            reason += f", and what was changed does not wait longer than {timing.hold_deadline / 3600:g} hours"
            return Refuse(reason=reason, figures={"until": found.until.isoformat()})
        after = min(found.until - now, timedelta(seconds=timing.hold_recheck))
        return Hold(reason=reason, after=after, deadline=deadline, verify_afresh=False, lets_go=True)
    for window in windows:
        if window.kind is WindowKind.MAINTENANCE and spans(window, verified, now):
            return Hold(reason=f"{window.title} is over: verified afresh", after=timedelta(0), deadline=deadline)
    return None


def wants_approval(
    windows: Iterable[Window], action: ActionSpec, now: datetime, what: str, timing: Timing
) -> Hold | None:
    """Holds what a window forbids until an operator approves it, or the window ends. `what`: in plain words."""
    for found in holding((window for window in windows if forbids(window.kind, action)), now):
        hold = asks(what, str(found), timing)
        return replace(hold, after=min(hold.after, found.until - now))
    return None
