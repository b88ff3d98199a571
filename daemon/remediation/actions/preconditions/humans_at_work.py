"""Who else is at work on a server: somebody logged on to it, or Windows Update, which waits for its next start."""

from datetime import timedelta

from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse, Verdict
from daemon.exchange.answers import LoggedOn, RebootPending
from daemon.remediation.actions.preconditions.facts import Facts


def nobody_logged_on(facts: Facts) -> Verdict:
    """Nobody is logged on at the console or by Remote Desktop: who is may be repairing what we would restart."""
    name, logons = facts.server.name, facts.state.logons
    if logons is None:
        return CannotTell(reason=f"the answer of {name} does not say who is logged on")
    if logons.count != len(logons.people):
        reason = f"{name} has {logons.count} logged on, and the answer shows {len(logons.people)} of them"
        return CannotTell(reason=reason)
    if not logons.people:
        return Allow(figures={"logged_on": 0})
    who = ", ".join(_spell(person) for person in logons.people)
    return Hold(
        reason=f"logged on to {name}: {who}; nothing is done under an administrator's hands",
        after=timedelta(seconds=facts.timing.hold_recheck),
        deadline=timedelta(seconds=facts.timing.hold_deadline),
        lets_go=True,
    )


def no_reboot_pending(facts: Facts) -> Verdict:
    """Windows does not wait for a restart to finish updates; files to be renamed at the next start are only noted."""
    name, pending = facts.server.name, facts.state.reboot_pending
    if pending is None:
        return CannotTell(reason=f"the answer of {name} does not say whether a reboot is pending")
    waits = _waits(pending)
    figures: dict[str, object] = {"pending": list(waits), "file_renames": pending.file_renames}
    if waits:
        reason = (
            f"a reboot of {name} is pending for {' and '.join(waits)}: it would install updates "
            "that nobody planned for now"
        )
        return Refuse(reason=reason, figures=figures)
    return Allow(figures=figures)


def _waits(pending: RebootPending) -> tuple[str, ...]:
    """What waits for a restart and would install something with it."""
    asked = {"Component Based Servicing": pending.servicing, "Windows Update": pending.windows_update}
    return tuple(name for name, waits in asked.items() if waits)


def _spell(person: LoggedOn) -> str:
    since = "" if person.since is None else f" since {person.since:%Y-%m-%d %H:%M} UTC"
    return f"{person.account} ({person.how}){since}"
