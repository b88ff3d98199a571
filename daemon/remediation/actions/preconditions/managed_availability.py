"""What Managed Availability, Exchange's own healer, is doing and has done; all times on the server's own clock."""

from datetime import datetime, timedelta

from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse, Verdict
from daemon.exchange.answers import RecoveryAction
from daemon.remediation.actions.preconditions.facts import Facts
from daemon.remediation.actions.preconditions.server import PATIENCE, RECHECK

HOURS_READ = 24  #: how far back its log is read: the longest span of a budget
#: How long a server rests after what Managed Availability did there, as after what we do ourselves.
RESTS = {
    "forcereboot": timedelta(hours=12),
    "serverfailover": timedelta(hours=1),
    "databasefailover": timedelta(hours=1),
}


def recovery_over(facts: Facts) -> Verdict:
    """No recovery action of Managed Availability is under way; recent service restarts are noted.

    One without an end whose expected end has passed is over with an unknown end: whoever carried it out died, and
    nobody is left to record it. A log that is not complete shows the newest, so also what is under way.
    """
    unknown = []
    for action in facts.recovery.actions:
        # A boot ends whatever ran before it, and then nobody is left to record the end.
        if action.ended is None and action.started > facts.state.boot_time:
            if action.expected_end is None or facts.clock <= action.expected_end:
                reason = f"Managed Availability is acting on {facts.server.name}: {_spell(action)}, not ended yet"
                return Hold(reason=reason, after=RECHECK, deadline=PATIENCE)
            unknown.append(f"{_spell(action)}, expected to end at {action.expected_end:%H:%M}, and no end on record")
    restarts = [action for action in facts.recovery.actions if action.action.lower() == "restartservice"]
    figures = {"service_restarts": [_spell(action) for action in restarts], **_shown(facts)}
    return Allow(figures={**figures, "ended_unknown": unknown} if unknown else figures)


def recovery_rested(facts: Facts) -> Verdict:
    """Managed Availability has not rebooted the server within 12 hours, nor failed over from it within one."""
    for action in facts.recovery.actions:
        rest = RESTS.get(action.action.lower())
        if rest is not None and facts.clock - _over_at(facts, action) < rest:
            hours = rest.total_seconds() / 3600
            reason = (
                f"Managed Availability acted on {facts.server.name} already: {_spell(action)}; "
                f"again only after {hours:.0f} hours"
            )
            return Refuse(reason=reason, figures={"action": action.action, "started": action.started.isoformat()})
    if unshown := _unshown(facts):
        return CannotTell(reason=unshown)
    return Allow(figures={"actions": len(facts.recovery.actions), **_shown(facts)})


def _over_at(facts: Facts, action: RecoveryAction) -> datetime:
    """When an action ended, or by when it was expected to; its beginning where neither is known, or a boot ended it."""
    if action.ended is not None:
        return action.ended
    booted_since = action.started <= facts.state.boot_time
    return action.started if booted_since else action.expected_end or action.started


def _unshown(facts: Facts) -> str:
    """Why a log of which only the newest is shown may hide what a server must rest from; empty if it cannot.

    A reboot shows in the boot time as well, so only that of a server which has booted lately may be hidden.
    """
    if not facts.recovery.truncated:
        return ""
    reaches = min((action.started for action in facts.recovery.actions), default=facts.clock)
    failover, reboot = facts.clock - RESTS["serverfailover"], facts.clock - RESTS["forcereboot"]
    if reaches > failover or (reaches > reboot and facts.state.boot_time > reboot):
        return (
            f"the log of Managed Availability on {facts.server.name} has too many recovery actions to be read: those "
            f"shown reach back to {reaches:%Y-%m-%d %H:%M} only"
        )
    return ""


def _shown(facts: Facts) -> dict[str, object]:
    return {"hours": HOURS_READ, **({"at_least": True} if facts.recovery.truncated else {})}


def _spell(action: RecoveryAction) -> str:
    return f"{action.action} of {action.resource} at {action.started:%Y-%m-%d %H:%M}"
