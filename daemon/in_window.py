"""What windows say to an effect, and what their time means for those that wait."""

from datetime import datetime

from daemon import asking
from daemon.approval import approved
from daemon.case import Case
from daemon.config.windows import LONGEST
from daemon.domain.incidents import Incident
from daemon.domain.inventory import Server, share
from daemon.domain.verdicts import Hold, Mode, Refuse
from daemon.domain.windows import Span, Window, WindowKind, covers
from daemon.gates import windows as gates
from daemon.gates.modes import class_of, mode_of
from daemon.parts import Parts
from daemon.schedule import windows_for
from statemachines.actions import ActionSpec, Effect


async def held(parts: Parts, case: Case, server: Server) -> Hold | Refuse | None:
    """A maintenance or a freeze is in the way, or a maintenance has just ended."""
    windows = [each for each in await _windows(parts, case.incident, server) if not _asks(each)]
    beside = await _beside(parts, case.incident, server, case.state.action)
    verified = case.verified or case.incident.opened_at
    timing, changed = parts.settings.timing, bool(case.pending)
    return gates.in_window(windows, case.state.action, case.now, verified, timing, changed=changed, beside=beside)


async def at_last(parts: Parts, case: Case, server: Server) -> Hold | Refuse | None:
    """Asked with the facts at hand: a window may have begun while they were read; and business hours want a human."""
    if case.state.action.name == "undo":
        return None
    found = await held(parts, case, server)
    # Mode approve has asked already.
    if found is not None or asking.mode_for(parts, case, server) is not Mode.AUTO or approved(case, case.now):
        return found
    windows = [each for each in await _windows(parts, case.incident, server) if _asks(each)]
    what = case.state.action.summary.format(**case.params())
    return gates.wants_approval(windows, case.state.action, case.now, what, parts.settings.timing)


async def closed(
    parts: Parts, incident: Incident, action: ActionSpec, server: Server, now: datetime
) -> tuple[Span, ...]:
    """The time that does not count for an incident that waits to act, since it was opened.

    Windows may follow one another for ever; no incident waits for them longer than the longest one may be.
    """
    if action.effect is Effect.READ or action.name == "undo":
        return ()
    asks = mode_of(server, class_of(action), parts.settings.safety) is Mode.AUTO
    windows = [each for each in await _windows(parts, incident, server) if asks or not _asks(each)]
    windows += [window for _, window in await _beside(parts, incident, server, action)]
    last = incident.opened_at + LONGEST
    found = gates.closed(windows, action, incident.opened_at, now)
    return tuple(Span(span.begins, min(span.ends, last)) for span in found if span.begins < last)


def _asks(window: Window) -> bool:
    """Whether an operator may approve an effect in spite of it."""
    return window.kind is WindowKind.BUSINESS_HOURS


async def _beside(
    parts: Parts, incident: Incident, server: Server, action: ActionSpec
) -> tuple[tuple[str, Window], ...]:
    """The maintenances of other servers that may go away any moment: two at once could cost the DAG its quorum."""
    if not action.dag_wide:
        return ()
    known = (*parts.family.windows, *await parts.store.windows(incident.opened_at))
    elsewhere = [each for each in known if each.kind is WindowKind.MAINTENANCE and not covers(each, server)]
    others = [other for other in parts.inventory if other != server and share(server, other)]
    return tuple((other.name, each) for other in others for each in elsewhere if covers(each, other))


async def _windows(parts: Parts, incident: Incident, server: Server) -> tuple[Window, ...]:
    return await windows_for(parts.family.windows, parts.store, server, incident.opened_at)
