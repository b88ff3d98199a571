"""What is true on a path of a ladder, as far as its safety goes, and how an outcome changes it.

Everything that is not proven counts as the worst: a server that may hold copies holds active ones until
`check_moved` has seen that it does not, and an effect that failed may have happened.
"""

from typing import NamedTuple

from statemachines.actions import ACTIONS, COMMON_OUTCOMES, ActionSpec, Disruption, Effect, Proof
from statemachines.catalogue import Kind
from statemachines.model import Literal_
from statemachines.table import BROKEN, HELD, TAKEN, LadderState

GOING, BACK = "going down", "back, and not verified"


class World(NamedTuple):
    """What does not change on a path: the server, and what the alert names."""

    kind: Kind
    monitor: bool  #: the alert names one
    triage_proves: bool  #: the monitor is one of POP*, so that a healthy triage says that it is


class Facts(NamedTuple):
    """What does change."""

    active: bool  #: an active database copy may be on the server
    may_hold: bool = False  #: the ladder has asked, and was told that it may hold copies
    sick: bool = False  #: a look found the problem, and neither a reboot nor a long wait came since
    restarted: frozenset[str] = frozenset()  #: services restarted since that look
    healthy: bool = False  #: a look found the monitor healthy, and nothing was done since
    rebooted: str = ""  #: GOING, BACK, or nothing to wait for
    sick_after_reboot: bool = False  #: rebooted, and not found healthy since
    changed: frozenset[str] = frozenset()  #: settings that are to be put back
    stopped: bool = False  #: an outcome came after which nothing more may be done to the server
    latest: tuple[tuple[str, str], ...] = ()  #: for each field that is used somewhere, the state that produced it last
    restarts: int = 0
    moves: int = 0
    reboots: int = 0


class Event(NamedTuple):
    """One thing that may happen in a state: the outcome for the table, and what is true after it."""

    outcome: str
    told: str
    facts: Facts
    then: str


#: The actions by the setting they change, and the settings that keep active databases away.
CHANGED_BY = {spec.changes: spec for spec in ACTIONS.values() if spec.changes}
BLOCKS = frozenset(setting for setting, spec in CHANGED_BY.items() if spec.disrupts is Disruption.MOVE)
COUNTED = {Disruption.RESTART: "restarts", Disruption.MOVE: "moves", Disruption.REBOOT: "reboots"}
_TOLD = {
    Disruption.RESTART: "{service} was restarted, and nobody has looked since",
    Disruption.MOVE: "activation is blocked, databases are moving away; nobody has seen yet that all are gone",
    Disruption.REBOOT: "the server is going down",
}
_COMMON = {
    "failed": "the target said no",
    "refused": "a gate said never, so nothing was sent",
    "unreachable": "nothing was sent",
    "unknown": "nobody can say",
}


def disturbed(facts: Facts, what: Disruption) -> Facts:
    """One more disruption of that kind."""
    counter = COUNTED[what]
    return facts._replace(**{counter: getattr(facts, counter) + 1})


def possible(proof: Proof, facts: Facts, world: World) -> bool:
    """Whether an outcome that proves this can come about."""
    truths = {
        Proof.MAY_HOLD_COPIES: world.kind.copies,
        Proof.HOLDS_NO_COPIES: not world.kind.copies,
        Proof.NOTHING_ACTIVE: bool(BLOCKS & facts.changed),
        Proof.BACK: facts.rebooted != "",
        world.kind.says: True,
    }
    roles = proof in (Proof.ONLY_MAILBOX, Proof.ONLY_CLIENT_ACCESS, Proof.BOTH_ROLES)
    return truths.get(proof, not roles)


def proven(proof: Proof, facts: Facts, world: World, spec: ActionSpec) -> Facts:
    """The facts once this is proven."""
    if proof is Proof.HEALTHY:
        if not spec.of_monitor and not world.triage_proves:
            return facts
        # The engine lets a look at the monitor decide whether a server is still sick after its reboot.
        sick = facts.sick_after_reboot and not spec.of_monitor
        return facts._replace(
            healthy=True, sick=False, restarted=frozenset(), rebooted=_seen(facts), sick_after_reboot=sick
        )
    if proof is Proof.SICK:
        if not spec.of_monitor:
            return facts._replace(healthy=False)  # some other monitor may be the sick one
        return facts._replace(healthy=False, sick=True, restarted=frozenset(), rebooted=_seen(facts))
    if proof is Proof.MAY_HOLD_COPIES:
        return facts._replace(may_hold=True)
    if proof is Proof.NOTHING_ACTIVE:
        return facts._replace(active=False)
    return facts._replace(rebooted=BACK) if proof is Proof.BACK else facts


def _seen(facts: Facts) -> str:
    return "" if facts.rebooted == BACK else facts.rebooted


def events(name: str, state: LadderState, facts: Facts, world: World, used: frozenset[str]) -> list[Event]:
    """Everything that may happen in a state of the ladder. `used`: the fields that some state uses."""
    spec = state.action
    if spec.puts_back:
        return undo_events(facts, world)
    if spec.effect is not Effect.READ:
        found = _effect_events(state, facts, world)
    else:
        known = (*spec.outcomes, *COMMON_OUTCOMES)
        can = [name for name in known if name not in spec.proves or possible(spec.proves[name], facts, world)]
        found = [_read(spec, outcome, facts, world) for outcome in can]
    return [_with_fields(name, spec, event, used) for event in found]


def _read(spec: ActionSpec, outcome: str, facts: Facts, world: World) -> Event:
    then = _COMMON.get(outcome, "")
    if spec.parks:
        # Hours pass while other ladders run, and this one holds no claim: what was known of the server is old.
        facts = facts._replace(active=world.kind.copies, sick=False, restarted=frozenset(), healthy=False)
        then = "other ladders ran meanwhile: what was seen before counts no more"
    if outcome in spec.proves:
        facts = proven(spec.proves[outcome], facts, world, spec)
        then = spec.proves[outcome].value
        if spec.proves[outcome] is Proof.SICK and not spec.of_monitor:
            then = "some monitor of POP* is unhealthy"
    elif outcome not in spec.goes_on and not then:
        then = "that decides nothing: nothing more may be done to the server"
    return Event(outcome, outcome, _stopping(spec, outcome, facts), then)


def _stopping(spec: ActionSpec, outcome: str, facts: Facts) -> Facts:
    return facts if outcome in spec.goes_on else facts._replace(stopped=True)


def _effect_events(state: LadderState, facts: Facts, world: World) -> list[Event]:
    spec = state.action
    held = Event(HELD, "held by a gate, or sent and proven not to have happened", facts, "nothing has happened")
    never = [
        Event(outcome, outcome, _stopping(spec, outcome, facts), _COMMON[outcome])
        for outcome in ("refused", "unreachable")
    ]
    never.append(Event(BROKEN, "an error of our own", _stopping(spec, BROKEN, facts), "nothing was tried"))
    if not _can_happen(state, facts, world):
        return [*never, held]
    then = _TOLD[spec.disrupts].format_map({"service": "the service", **state.params}) if spec.disrupts else ""
    acted = _acted(spec, "done", facts, state.params)
    failed = _acted(spec, "failed", facts, state.params)
    # Nothing more is done to a server in quarantine: what is changed stays so, and the escalation says it.
    lost = failed._replace(changed=frozenset())
    happened = [
        Event("done", "done", acted, then or f"{spec.changes or spec.restores} is changed"),
        Event("done", "done; the answer was lost, and evidence settled it", acted, then),
        Event("failed", "failed", _stopping(spec, "failed", failed), _COMMON["failed"]),
        Event("unknown", "unknown", _stopping(spec, "unknown", lost), "it was sent, and nobody can say more"),
    ]
    if spec.effect is Effect.IDEMPOTENT:
        happened.append(Event("done", "done, as it was so already", facts, "nothing is changed"))
    return [*happened, *never, held]


def _can_happen(state: LadderState, facts: Facts, world: World) -> bool:
    """Whether the gates can ever let it through on such a server."""
    if state.action.disrupts is Disruption.MOVE:
        return world.kind.dag and state.action.changes not in facts.changed
    if state.action.disrupts is Disruption.REBOOT:
        return world.kind.dag or not world.kind.copies
    return True


def _acted(spec: ActionSpec, outcome: str, facts: Facts, params: dict[str, Literal_]) -> Facts:
    facts = facts._replace(healthy=False)
    if spec.changes:
        facts = facts._replace(changed=facts.changed | {spec.changes})
    if spec.disrupts is None:
        return facts
    facts = disturbed(facts, spec.disrupts)
    if spec.disrupts is Disruption.RESTART:
        return facts._replace(restarted=facts.restarted | {str(params.get("service", "")).lower()})
    if spec.disrupts is Disruption.REBOOT and outcome == "done":
        return facts._replace(sick=False, rebooted=GOING, sick_after_reboot=True)
    return facts


def undo_events(facts: Facts, world: World, left: frozenset[str] = frozenset()) -> list[Event]:
    """Putting back, in the middle of a ladder or on a way out. `left`: what a policy says is to stay."""
    facts = facts._replace(changed=facts.changed - left)
    if not facts.changed:
        return [Event("nothing", "nothing to put back", facts, "")]
    told = " and ".join(sorted(facts.changed))
    back = facts
    for setting in facts.changed:
        disrupts = CHANGED_BY[setting].undo_disrupts
        for _tier in world.kind.tiers if disrupts else ():  # each has a service that reads the setting when it starts
            back = disturbed(back, disrupts) if disrupts else back
    back = back._replace(
        changed=frozenset(), healthy=False, sick=False, restarted=frozenset(), active=world.kind.copies
    )
    kept = facts._replace(changed=frozenset(), healthy=False, stopped=True)
    return [
        Event("done", "put back", back, f"{told} is as it was before"),
        Event("left", "left", kept, f"{told} stays changed, and that is reported"),
    ]


def taken_events(facts: Facts) -> list[Event]:
    """Somebody has the problem already: what is changed stays so and is reported, or a site has it put back first."""
    if not facts.changed:
        return [Event(TAKEN, "somebody has it already", facts, "")]
    told = " and ".join(sorted(facts.changed))
    left = facts._replace(changed=frozenset(), stopped=True)
    return [
        Event(TAKEN, "somebody has it already", left, f"{told} stays changed, and that is reported"),
        Event(TAKEN, "somebody has it already", facts, f"{told} is put back first"),
    ]


def _with_fields(name: str, spec: ActionSpec, event: Event, used: frozenset[str]) -> Event:
    fresh = [field for field in spec.produces if field in used and event.outcome in spec.produced_on]
    if not fresh:
        return event
    latest = {**dict(event.facts.latest), **dict.fromkeys(fresh, name)}
    return event._replace(facts=event.facts._replace(latest=tuple(sorted(latest.items()))))
