"""What Managed Availability, Exchange's own healer, is doing and has done; all times on the server's own clock."""

from datetime import timedelta

from daemon.domain.verdicts import Allow, Hold, Refuse, Verdict
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
    """No recovery action of Managed Availability is under way; recent service restarts are noted."""
    for action in facts.recovery.actions:
        # A boot ends whatever ran before it, and then nobody is left to record the end.
        if action.ended is None and action.started > facts.state.boot_time:
            reason = f"Managed Availability is acting on {facts.server.name}: {_spell(action)}, not ended yet"
            return Hold(reason=reason, after=RECHECK, deadline=PATIENCE)
    restarts = [action for action in facts.recovery.actions if action.action.lower() == "restartservice"]
    return Allow(figures={"service_restarts": [_spell(action) for action in restarts], "hours": HOURS_READ})


def recovery_rested(facts: Facts) -> Verdict:
    """Managed Availability has not rebooted the server within 12 hours, nor failed over from it within one."""
    for action in facts.recovery.actions:
        rest = RESTS.get(action.action.lower())
        # The end counts where there is one: a failover may take a while.
        if rest is not None and facts.clock - (action.ended or action.started) < rest:
            hours = rest.total_seconds() / 3600
            reason = (
                f"Managed Availability acted on {facts.server.name} already: {_spell(action)}; "
                f"again only after {hours:.0f} hours"
            )
            return Refuse(reason=reason, figures={"action": action.action, "started": action.started.isoformat()})
    return Allow(figures={"actions": len(facts.recovery.actions), "hours": HOURS_READ})


def _spell(action: RecoveryAction) -> str:
    return f"{action.action} of {action.resource} at {action.started:%Y-%m-%d %H:%M}"
