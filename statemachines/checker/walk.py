"""Walks every path of a ladder: states, outcomes, lost answers, kinds of servers.

Breadth first, so the first path that breaks a rule in a state is a shortest one. A crash needs no paths of its own: a
read is read again, and an effect whose intent is on record is settled by evidence as done, as never happened (`held`),
or stays unknown, each of which is walked.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from statemachines.actions import Disruption
from statemachines.catalogue import KINDS, Kind, monitor
from statemachines.checker.facts import COUNTED, Event, Facts, World, events, taken_events, undo_events
from statemachines.checker.findings import RULES, Finding, Hop
from statemachines.checker.rules import CEILINGS, WHY, Breach, entering, leaving, putting_back, stays
from statemachines.model import Definition, Handled
from statemachines.table import CLOSE, FLAPPING, End, ladder_states, next_states


class Node(NamedTuple):
    """A place in the product of state, facts and world."""

    state: str
    facts: Facts
    world: World


@dataclass(frozen=True, slots=True)
class Walk:
    """What walking a definition has shown."""

    findings: tuple[Finding, ...]
    most: dict[Disruption, int]  #: how often each kind of disruption comes on any path, undo's included


def worlds(definition: Definition) -> tuple[World, ...]:
    """Every kind of server that the ladder may find itself on, for each thing it handles."""
    found = {
        World(kind, handled.monitor != "", handled.health_set.lower().partition(".")[0] == "pop")
        for handled in definition.handles
        for kind in kinds(handled)
    }
    return tuple(sorted(found, key=lambda world: (KINDS.index(world.kind), world.monitor, world.triage_proves)))


def kinds(handled: Handled) -> tuple[Kind, ...]:
    """The kinds of servers on which such an alert may come."""
    known = monitor(handled.health_set, handled.monitor)
    tier = known.tier if known else None
    return tuple(
        kind
        for kind in KINDS
        if (handled.role is None or handled.role in kind.roles) and (tier is None or tier in kind.tiers)
    )


def walk(definition: Definition, ceilings: Mapping[Disruption, int] = CEILINGS) -> Walk:
    """Walk all paths of a definition whose structure is sound."""
    return _Walker(definition, ceilings).walk()


class _Walker:
    def __init__(self, definition: Definition, ceilings: Mapping[Disruption, int]) -> None:
        self._ceilings = ceilings
        self._definition = definition
        self._states = ladder_states(definition)
        self._table = next_states(definition, self._states)
        values = [value for state in definition.states.values() for value in state.params.values()]
        self._used = frozenset(
            value.rpartition(".")[2] for value in values if isinstance(value, str) and value.startswith("$")
        )
        self._came: dict[Node, tuple[Node, Event] | None] = {}
        self._findings: dict[tuple[str, str], Finding] = {}
        self._most = dict.fromkeys(Disruption, 0)

    def walk(self) -> Walk:
        starts = [
            Node(self._definition.start, Facts(active=world.kind.copies), world) for world in worlds(self._definition)
        ]
        self._came = dict.fromkeys(starts)
        waiting = deque(starts)
        while waiting:
            node = waiting.popleft()
            for event, following in self._after(node):
                if following not in self._came:
                    self._came[following] = (node, event)
                    waiting.append(following)
        return Walk(tuple(self._findings.values()), self._most)

    def _after(self, node: Node) -> Iterator[tuple[Event, Node]]:
        """What may follow; nothing where a rule is broken, for all that follows would only repeat it."""
        if node.state in tuple(End):
            self._ended(node)
            return
        state = self._states[node.state]
        own = node.state in self._definition.states
        breaches = [*(entering(state, node.facts, node.world, self._ceilings) if own else self._way_out(node))]
        if breaches:
            for breach in breaches:
                self._record(breach, node, None)
            return
        for event in self._events(node):
            target = self._table[node.state, event.outcome]
            wrong = [*leaving(state.action, event, target)] if own else []
            for breach in wrong:
                self._record(breach, node, event)
            if not wrong:
                yield event, Node(target, event.facts, node.world)

    def _events(self, node: Node) -> Iterator[Event]:
        end = next((end for end in End if end.undo == node.state), None)
        if end is None:
            yield from events(node.state, self._states[node.state], node.facts, node.world, self._used)
            yield Event(CLOSE, "an operator closed the incident", node.facts, "")
            yield from taken_events(node.facts)
            return
        found = undo_events(node.facts, node.world, stays(self._definition, node.facts, end))
        yield from found
        if end is not End.CANCELLED:
            yield taken_events(node.facts)[0]  # to be put back first: then the way out goes on
        if end is End.RESOLVED and found[0].outcome == "nothing":
            yield Event(FLAPPING, "gone by itself for the third time today", node.facts, "")

    def _way_out(self, node: Node) -> Iterator[Breach]:
        for end in End:
            if node.state == end.undo:
                kept = stays(self._definition, node.facts, end)
                named = node.facts.changed & frozenset(self._definition.undo)
                yield from putting_back(node.facts, named - kept)

    def _ended(self, node: Node) -> None:
        """The ends themselves: whatever a runbook says, the engine's own way out must have done its part."""
        for what, counter in COUNTED.items():
            self._most[what] = max(self._most[what], getattr(node.facts, counter))
        if node.facts.changed:
            changed = " and ".join(sorted(node.facts.changed))
            self._record(Breach("left-changed", f"ends, and {changed} is neither put back nor reported"), node, None)
        if node.state == End.RESOLVED and not node.facts.healthy:
            self._record(Breach("unverified", "ends as resolved without having been found healthy"), node, None)

    def _record(self, breach: Breach, node: Node, event: Event | None) -> None:
        own = node.state in self._definition.states
        key = (breach.rule, node.state if own else "/".join(map(str, breach.place)))
        if key in self._findings:
            return
        message = breach.message.replace(WHY, self._stopper(node))
        hops = [
            *self._hops(node),
            Hop(node.state, event.told if event else "", f"breaks {breach.rule}: {RULES[breach.rule]}"),
        ]
        of_state = own and not breach.of_file
        self._findings[key] = Finding(
            rule=breach.rule,
            message=f"{node.state}: {message}" if own else message,
            state=node.state if of_state else "",
            place=breach.place if of_state or breach.of_file else (),
            value=breach.value,
            server=node.world.kind.told,
            path=tuple(hops),
        )

    def _hops(self, node: Node) -> list[Hop]:
        hops: list[Hop] = []
        came = self._came[node]
        while came is not None:
            before, event = came
            hops.append(Hop(before.state, event.told, event.then))
            came = self._came[before]
        return hops[::-1]

    def _stopper(self, node: Node) -> str:
        """The step after which nothing more might be done."""
        came, told = self._came[node], ""
        while came is not None and came[1].facts.stopped:
            told = f"{came[0].state}: {came[1].told}"
            came = self._came[came[0]]
        return told
