"""What windows (maintenance, freezes, business hours) say to an effect, and what their time means for those that wait.

Those of the configuration and those added by command count alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from daemon.config.guardrails import Timing
from daemon.config.windows import LONGEST
from daemon.domain.incidents import Incident
from daemon.domain.inventory import Server, share
from daemon.domain.store import GuardrailStore
from daemon.domain.verdicts import Hold, Mode, Refuse
from daemon.domain.windows import Holding, Span, Window, WindowKind, covers, holding, merged, spans
from daemon.remediation.guardrails import modes
from daemon.remediation.guardrails.approvals import approved
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.guardrails.modes import asks, class_of, mode_of
from daemon.remediation.incidents.snapshot import Case
from statemachines.actions import ActionSpec, Disruption, Effect

_NOT = {
    WindowKind.MAINTENANCE: "nothing is done",
    WindowKind.FREEZE: "nothing but a restart is done",
    WindowKind.BUSINESS_HOURS: "no moves and reboots without approval",
}


def forbids(kind: WindowKind, action: ActionSpec) -> bool:
    """Whether an action must not begin in such a window. Reading and putting back always may."""
    if action.effect is Effect.READ or action.only_undoes:
        return False
    if kind is WindowKind.BUSINESS_HOURS:
        return action.disrupts in (Disruption.MOVE, Disruption.REBOOT)
    return kind is WindowKind.MAINTENANCE or action.disrupts is not Disruption.RESTART


def closed_spans(windows: Iterable[Window], action: ActionSpec, since: datetime, now: datetime) -> tuple[Span, ...]:
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


async def held(context: GuardContext, case: Case, server: Server) -> Hold | Refuse | None:
    """A hold or refusal where a maintenance or a freeze is in the way, or a maintenance has just ended; else None."""
    windows = [each for each in await _windows(context, case.incident, server) if not _asks(each)]
    beside = await _beside(context, case.incident, server, case.state.action)
    verified = case.verified or case.incident.opened_at
    timing, changed = context.settings.timing, bool(case.pending)
    return in_window(windows, case.state.action, case.now, verified, timing, changed=changed, beside=beside)


async def at_last(context: GuardContext, case: Case, server: Server) -> Hold | Refuse | None:
    """As `held`, once more with the facts at hand, and a hold where business hours want a human; None: neither."""
    if case.state.action.only_undoes:
        return None
    found = await held(context, case, server)
    # Mode approve has asked already.
    if found is not None or modes.mode_for(context, case, server) is not Mode.AUTO or approved(case, case.now):
        return found
    windows = [each for each in await _windows(context, case.incident, server) if _asks(each)]
    what = case.state.action.summary.format(**case.params())
    return wants_approval(windows, case.state.action, case.now, what, context.settings.timing)


async def closed(
    context: GuardContext, incident: Incident, action: ActionSpec, server: Server, now: datetime
) -> tuple[Span, ...]:
    """The spans of time since an incident was opened that do not count as waiting; none for what no window holds.

    Windows may follow one another for ever; no incident waits for them longer than the longest one may be.
    """
    if action.effect is Effect.READ or action.only_undoes:
        return ()
    asks = mode_of(server, class_of(action), context.settings.safety) is Mode.AUTO
    windows = [each for each in await _windows(context, incident, server) if asks or not _asks(each)]
    windows += [window for _, window in await _beside(context, incident, server, action)]
    last = incident.opened_at + LONGEST
    found = closed_spans(windows, action, incident.opened_at, now)
    return tuple(Span(span.begins, min(span.ends, last)) for span in found if span.begins < last)


def _asks(window: Window) -> bool:
    """Whether an operator may approve an effect in spite of it."""
    return window.kind is WindowKind.BUSINESS_HOURS


async def _beside(
    context: GuardContext, incident: Incident, server: Server, action: ActionSpec
) -> tuple[tuple[str, Window], ...]:
    """The maintenances of other servers that may go away any moment: two at once could cost the DAG its quorum."""
    if not action.dag_wide:
        return ()
    known = (*context.windows, *await context.store.windows(incident.opened_at))
    elsewhere = [each for each in known if each.kind is WindowKind.MAINTENANCE and not covers(each, server)]
    others = [other for other in context.inventory if other != server and share(server, other)]
    return tuple((other.name, each) for other in others for each in elsewhere if covers(each, other))


async def _windows(context: GuardContext, incident: Incident, server: Server) -> tuple[Window, ...]:
    return await windows_for(context.windows, context.store, server, incident.opened_at)


ASK_AGAIN = timedelta(minutes=5)  #: an operator may end a window before its time


async def windows_for(
    configured: Iterable[Window], store: GuardrailStore, server: Server, since: datetime
) -> tuple[Window, ...]:
    """The windows for a server, among them those that ended after `since`."""
    return tuple(window for window in (*configured, *await store.windows(since)) if covers(window, server))


async def maintenance(
    configured: Iterable[Window], store: GuardrailStore, server: Server, now: datetime
) -> Holding | None:
    """The maintenance that a server is in, of several the one that ends last."""
    windows = await windows_for(configured, store, server, now)
    return next(iter(holding((each for each in windows if each.kind is WindowKind.MAINTENANCE), now)), None)


def asked_again(until: datetime, now: datetime) -> datetime:
    """When to ask whether a window still holds that is meant to end at `until`."""
    return min(until, now + ASK_AGAIN)
