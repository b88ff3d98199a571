"""The modes: what may be done to a server without asking, what only with a human's approval, what not at all."""

from collections.abc import Mapping
from datetime import timedelta

from daemon.config.guardrails import ActionClass, ModeRule, Safety, Timing
from daemon.domain.inventory import Server
from daemon.domain.verdicts import Hold, Mode
from daemon.remediation.guardrails.approvals import approved
from daemon.remediation.guardrails.context import GuardContext
from daemon.remediation.incidents.snapshot import Case
from statemachines.actions import ActionSpec, Effect

CAUTION = (Mode.OBSERVE, Mode.APPROVE, Mode.AUTO)  #: the most cautious first


def class_of(action: ActionSpec) -> ActionClass | None:
    """Which rules an action comes under; None for what only reads, which is always allowed."""
    if action.effect is Effect.READ:
        return None
    return ActionClass.SETTING if action.disrupts is None else ActionClass(action.disrupts.value)


def mode_of(server: Server, action: ActionClass | None, safety: Safety) -> Mode:
    """What may be done to a server: the rule that names it decides, then one that names a tag, then any other.

    Among equals the most cautious wins. Tags and names are spelt as in the settings; servers are named in full.
    """
    if action is None:
        return Mode.AUTO
    short_form = ModeRule(mode=Mode.AUTO, tags=safety.auto_tags) if safety.auto_tags else None
    rules = [rule for rule in (*safety.modes, short_form) if rule is not None and _concerns(rule, server, action)]
    by_rank = max((_rank(rule) for rule in rules), default=None)
    modes = [rule.mode for rule in rules if _rank(rule) == by_rank]
    return min(modes, key=CAUTION.index) if modes else safety.mode


def modes_of(server: Server, safety: Safety) -> Mapping[ActionClass, Mode]:
    """The mode of each class of actions on a server."""
    return {action: mode_of(server, action, safety) for action in ActionClass}


def may_act(what: str, mode: Mode, timing: Timing, *, approved: bool = False) -> Hold | None:
    """Asked last, so that what is held is what would be done. `what` is the effect in plain words."""
    if mode is Mode.AUTO or (mode is Mode.APPROVE and approved):
        return None
    if mode is Mode.APPROVE:
        return asks(what, "mode approve", timing)
    after, deadline = timedelta(seconds=timing.latch_recheck), timedelta(seconds=timing.observe_deadline)
    return Hold(reason=f"mode observe: would {what}", after=after, deadline=deadline, lets_go=True)


def asks(what: str, why: str, timing: Timing) -> Hold:
    """Holds until an operator approves `what`. `why` says what makes it need that, such as `mode approve`."""
    return Hold(
        reason=f"{why}: waits for approval to {what}",
        after=timedelta(seconds=timing.latch_recheck),
        deadline=timedelta(seconds=timing.hold_deadline),
        lets_go=True,
        question=what,
    )


def _concerns(rule: ModeRule, server: Server, action: ActionClass) -> bool:
    """Whether a rule is about that; what it leaves out means all."""
    return (
        (not rule.servers or server.name in {name.lower() for name in rule.servers})
        and (not rule.tags or bool(server.tags.intersection(rule.tags)))
        and (not rule.actions or action in rule.actions)
    )


def _rank(rule: ModeRule) -> int:
    return 2 if rule.servers else 1 if rule.tags else 0


def mode_for(context: GuardContext, case: Case, server: Server) -> Mode:
    """The mode of what a case's state does. Putting back is never observed, and never asked for."""
    action = case.state.action
    if action.only_undoes:
        return Mode.AUTO
    return mode_of(server, class_of(action), context.settings.safety)


def objection(context: GuardContext, case: Case, server: Server) -> Hold | None:
    """The hold of the mode on an effect that everything else allows; None in mode auto, or once it is approved."""
    what = case.state.action.summary.format(**case.params())
    return may_act(what, mode_for(context, case, server), context.settings.timing, approved=approved(case, case.now))
