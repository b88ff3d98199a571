"""The rules that a path can break, asked where a state is entered and where it is left."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from statemachines.actions import ActionSpec, Disruption, Effect, Proof
from statemachines.catalogue import tier_of
from statemachines.checker.facts import BACK, BLOCKS, COUNTED, GOING, Event, Facts, World
from statemachines.model import Definition, UndoPolicy
from statemachines.table import End, LadderState

#: How often one ladder may disturb a server: restarts in a day, moves in an hour, reboots in twelve. The defaults of
#: `[budgets]` are these; a site that lowers them passes its own.
CEILINGS: Mapping[Disruption, int] = MappingProxyType({
    Disruption.RESTART: 6,
    Disruption.MOVE: 1,
    Disruption.REBOOT: 1,
})  # fmt: skip
WHY = "{why}"  #: in a message: the step that stopped the ladder, which only the path knows


class Breach(NamedTuple):
    """A rule that is broken at the end of a path."""

    rule: str
    message: str
    place: tuple[str | int, ...] = ("do",)
    value: bool = True
    of_file: bool = False  #: `place` is below the file, not below the state


def entering(
    state: LadderState, facts: Facts, world: World, ceilings: Mapping[Disruption, int] = CEILINGS
) -> Iterator[Breach]:
    """What entering a state of the ladder breaks."""
    spec = state.action
    if spec.of_monitor and not world.monitor:
        yield Breach("no-monitor", f"{spec.name} looks at the incident's monitor, and the alert names none")
    if facts.rebooted == GOING and Proof.BACK not in spec.proves.values():
        yield Breach("reboot-unwatched", f"{spec.name} is begun while the server reboots: wait_until_back comes first")
    yield from _parameters(state, facts, world)
    if spec.parks and facts.changed:
        changed = " and ".join(sorted(facts.changed))
        yield Breach("parked", f"waits for other incidents while {changed} is changed: `do: undo` comes first")
    if spec.puts_back:
        yield from putting_back(facts, facts.changed)
    elif spec.effect is not Effect.READ:
        yield from _effect(state, facts, world, ceilings)


def _parameters(state: LadderState, facts: Facts, world: World) -> Iterator[Breach]:
    latest = dict(facts.latest)
    for param, value in state.params.items():
        place = ("with", param)
        tier = tier_of(value)
        if param == "service" and tier is not None and tier not in world.kind.tiers:
            yield Breach("service", f"{value} is not there: {world.kind.told} has no {tier.value}", place)
        if not isinstance(value, str) or not value.startswith("$"):
            continue
        source, _, field = value[1:].rpartition(".")
        last = latest.get(field)
        if last is None:
            yield Breach("field", f"{param} is {value}, which is not produced on this path", place)
        elif last != source:
            yield Breach("field", f"{param} is {value}, but {last} has produced {field} since", place)


def _effect(state: LadderState, facts: Facts, world: World, ceilings: Mapping[Disruption, int]) -> Iterator[Breach]:
    spec = state.action
    if not world.monitor:
        yield Breach("no-monitor", f"{spec.name} is done for an alert that names no monitor: nobody could verify it")
    elif facts.stopped:
        yield Breach("after-refusal", f"{spec.name} follows {WHY}, after which nothing more may be done")
    else:
        yield from _seen_sick(state, facts)
    if spec.disrupts is None:
        return
    if spec.disrupts is Disruption.MOVE and not facts.may_hold:
        yield Breach("move-unasked", f"{spec.name} comes before holds_copies has said yes")
    if spec.disrupts is Disruption.REBOOT and facts.active:
        why = "it was not seen that none is left" if BLOCKS & facts.changed else "none was moved away"
        yield Breach("active-copy", f"would reboot a server that may hold an active database copy: {why}")
    most = ceilings[spec.disrupts]
    if getattr(facts, COUNTED[spec.disrupts]) >= most:
        comes, may = _often(most + 1), _often(most)
        yield Breach("too-many", f"{spec.name} comes {comes} on one path; a ladder may do it {may}")


def _often(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _seen_sick(state: LadderState, facts: Facts) -> Iterator[Breach]:
    spec = state.action
    service = str(state.params.get("service", "")).lower()
    if not facts.sick:
        since = " since the reboot" if facts.rebooted == BACK else ""
        yield Breach("not-seen-sick", f"{spec.name} is done, but no look has found the problem{since}")
    elif spec.disrupts is Disruption.RESTART and service in facts.restarted:
        named = state.params.get("service", "a service")
        yield Breach("not-seen-sick", f"restarts {named} again, and nobody has looked since")
    elif spec.disrupts in (Disruption.MOVE, Disruption.REBOOT) and facts.restarted:
        yield Breach("not-seen-sick", f"{spec.name} follows a restart, and nobody has looked whether that has cured it")


def putting_back(facts: Facts, settings: frozenset[str]) -> Iterator[Breach]:
    """What putting these settings back breaks."""
    for setting in sorted(settings & BLOCKS if facts.sick_after_reboot else ()):
        policy = UndoPolicy.UNLESS_SICK_AFTER_REBOOT.value
        message = (
            f"{setting} is put back on a server that was not found healthy after its reboot: databases could come "
            f"back to it; under `undo` say {setting}: {policy}"
        )
        yield Breach("undo-too-early", message, ("undo", setting), of_file=True)


def stays(definition: Definition, facts: Facts, end: End) -> frozenset[str]:
    """What a policy keeps changed on this way out."""
    if end is End.RESOLVED or not facts.sick_after_reboot:
        return frozenset()
    policy = definition.undo
    return frozenset(name for name in facts.changed if policy.get(name) is UndoPolicy.UNLESS_SICK_AFTER_REBOOT)


def leaving(spec: ActionSpec, event: Event, target: str) -> Iterator[Breach]:
    """What leaving a state of the ladder with this outcome for that state breaks."""
    place = ("then", event.outcome)
    if target == End.RESOLVED.undo and not event.facts.healthy:
        message = f"`resolved` follows {event.outcome} of {spec.name}, and no look since has found the monitor healthy"
        yield Breach("unverified", message, place)
    ends = target in (End.ESCALATED.undo, End.RESOLVED.undo)
    if ends and event.facts.rebooted and event.outcome in spec.goes_on:
        what = (
            "waits until the server is back" if event.facts.rebooted == GOING else "looks whether the reboot has helped"
        )
        yield Breach("reboot-unwatched", f"the ladder ends, and nobody {what}", place)
