"""Every runbook that is one edit away from a shipped one.

An edit is made on the expanded definition, so an edit of a fragment concerns only one of those who use it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from statemachines.actions import ACTIONS, COMMON_OUTCOMES
from statemachines.catalogue import MONITORS, SERVICES
from statemachines.checker.facts import CHANGED_BY
from statemachines.model import ENDS, Definition, Handled, Literal_, State, UndoPolicy
from statemachines.table import ladder_states, next_states

#: What an action is given that takes a parameter which the one in its place did not.
_GIVEN: Mapping[str, Literal_] = {"minutes": 10, "service": "MSExchangePOP3"}
_WITHIN = (60, 12 * 3600, 2 * 86400)  #: seconds: hardly any, much, too much
_MINUTES = (0, 1, 30, 59, 1000)

Edit = tuple[str, str, Definition]  #: kind, what was edited, what came of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A runbook with one edit, and where its behaviour can differ from the shipped one's.

    Until a ladder comes there, both do the same: a night is deterministic, and the daemon asks a ladder only for the
    next state, a state's action, parameters and deadline, for `undo` when it puts back, and for `handles`.
    """

    kind: str
    edit: str
    definition: Definition
    passes: frozenset[tuple[str, str]]  #: a ladder leaves one of these states with this outcome ...
    enters: frozenset[str]  #: ... or enters one of these; "": any ladder of the runbook is opened

    @property
    def name(self) -> str:
        """How it is told apart."""
        return f"{self.definition.runbook}: {self.kind}: {self.edit}"


def mutants(definition: Definition) -> tuple[list[Mutant], int]:
    """All that do not behave the same by definition, each once; and how many edits came to the same."""
    found: dict[str, Mutant] = {}
    same = 0
    for kind, edit, edited in _edits(definition):
        mutant = _mutant(definition, kind, edit, edited)
        if not (mutant.passes or mutant.enters) or edited.hash in found:
            same += 1
        else:
            found[edited.hash] = mutant
    return list(found.values()), same


def _mutant(shipped: Definition, kind: str, edit: str, edited: Definition) -> Mutant:
    """Compare the two as the daemon sees them."""
    before, after = ladder_states(shipped), ladder_states(edited)
    was, now = next_states(shipped, before), next_states(edited, after)
    enters = {name for name, state in before.items() if name in after and after[name] != state}
    settings = {name for name in {*shipped.undo, *edited.undo} if shipped.undo.get(name) != edited.undo.get(name)}
    enters |= {name for name, state in shipped.states.items() if ACTIONS[state.do].changes in settings - {""}}
    if shipped.handles != edited.handles or shipped.start != edited.start:
        enters.add("")
    passes = {key for key, target in was.items() if key[0] in after and now.get(key) != target}
    return Mutant(kind=kind, edit=edit, definition=edited, passes=frozenset(passes), enters=frozenset(enters))


def _edits(definition: Definition) -> Iterator[Edit]:
    for name, state in definition.states.items():
        for kind, edit, edited in (
            *_next_states(definition, state),
            *_swapped(state),
            *_parameters(definition, state),
            *_waits(state),
            *_actions(state),
        ):
            yield kind, f"{name}: {edit}", _with_state(definition, name, edited)
    yield from _cuts(definition)
    yield from _undo(definition)
    yield from _handles(definition)


def _with_state(definition: Definition, name: str, state: State) -> Definition:
    return definition.model_copy(update={"states": {**definition.states, name: state}})


def _then(state: State, then: dict[str, str]) -> State:
    return state.model_copy(update={"then": then})


def _outcomes(state: State) -> tuple[str, ...]:
    return (*ACTIONS[state.do].outcomes, *COMMON_OUTCOMES)


def _next_states(definition: Definition, state: State) -> Iterator[tuple[str, str, State]]:
    """Each outcome led elsewhere, each named one forgotten."""
    for outcome in _outcomes(state):
        kind = "next state redirected" if outcome in state.then else "next state given"
        for target in (*definition.states, *ENDS):
            if state.then.get(outcome, "escalated") != target:
                yield kind, f"{outcome} -> {target}", _then(state, {**state.then, outcome: target})
        if outcome in state.then:
            rest = {name: target for name, target in state.then.items() if name != outcome}
            yield "next state removed", f"without {outcome}", _then(state, rest)


def _swapped(state: State) -> Iterator[tuple[str, str, State]]:
    for one, other in combinations(_outcomes(state), 2):
        ends = state.then.get(one, "escalated"), state.then.get(other, "escalated")
        if ends[0] != ends[1]:
            then = {**state.then, one: ends[1], other: ends[0]}
            kept = {name: target for name, target in then.items() if target != "escalated" or name in state.then}
            yield "outcomes swapped", f"{one} and {other}", _then(state, kept)


def _parameters(definition: Definition, state: State) -> Iterator[tuple[str, str, State]]:
    for param, value in state.params.items():
        rest = {name: given for name, given in state.params.items() if name != param}
        yield "parameter removed", f"without {param}", state.model_copy(update={"params": rest})
        for other in _others(definition, param, value):
            params = {**state.params, param: other}
            yield "parameter changed", f"{param} = {other}", state.model_copy(update={"params": params})


def _others(definition: Definition, param: str, value: Literal_) -> Iterator[Literal_]:
    if param == "service":
        yield from (name for name in (*SERVICES, "Spooler", "") if name != value)
        return
    if param == "minutes":
        yield from _MINUTES
    if isinstance(value, str) and value.startswith("$"):
        yield "mbx2.contoso.lab"
        for name, state in definition.states.items():
            for field in ACTIONS[state.do].produces or (param,):
                if f"${name}.{field}" != value:
                    yield f"${name}.{field}"


def _waits(state: State) -> Iterator[tuple[str, str, State]]:
    for seconds in (None, *_WITHIN):
        if seconds != state.within:
            told = "without within" if seconds is None else f"within {seconds} s"
            yield "deadline changed", told, state.model_copy(update={"within": seconds})


def _actions(state: State) -> Iterator[tuple[str, str, State]]:
    """Another action that has the same outcomes, as far as the state names them."""
    for name, spec in ACTIONS.items():
        if name != state.do and set(state.then) <= {*spec.outcomes, *COMMON_OUTCOMES}:
            given = {**_GIVEN, **state.params}
            params = {param: given[param] for param in spec.params if param in given}
            yield "action replaced", f"{state.do} by {name}", state.model_copy(update={"do": name, "params": params})


def _cuts(definition: Definition) -> Iterator[Edit]:
    """Each state cut out, whoever led there leads to one of its successors."""
    for name, state in definition.states.items():
        for successor in dict.fromkeys(target for target in state.then.values() if target != name):
            rest = {
                other: _then(kept, {o: successor if t == name else t for o, t in kept.then.items()})
                for other, kept in definition.states.items()
                if other != name
            }
            start = successor if definition.start == name else definition.start
            if start in rest:
                yield (
                    "state cut out",
                    f"{name}, on to {successor}",
                    definition.model_copy(update={"states": rest, "start": start}),
                )


def _undo(definition: Definition) -> Iterator[Edit]:
    for setting, policy in definition.undo.items():
        rest = {name: kept for name, kept in definition.undo.items() if name != setting}
        yield "undo dropped", setting, definition.model_copy(update={"undo": rest})
        for other in UndoPolicy:
            if other is not policy:
                undo = {**definition.undo, setting: other}
                yield "undo changed", f"{setting}: {other}", definition.model_copy(update={"undo": undo})
    for setting in CHANGED_BY:
        if setting not in definition.undo:
            undo = {**definition.undo, setting: UndoPolicy.ALWAYS}
            yield "undo changed", f"{setting} named without need", definition.model_copy(update={"undo": undo})


def _handles(definition: Definition) -> Iterator[Edit]:
    probes = [known.probe for known in MONITORS if known.probe and known.health_set.startswith("POP")]
    for index, handled in enumerate(definition.handles):
        told = handled.monitor or f"any monitor of {handled.health_set}"
        others: list[tuple[str, dict[str, str | None]]] = [
            *((f"role {role}", {"role": role}) for role in (None, "mailbox", "client_access") if role != handled.role),
            *((f"probe {probe}", {"probe": probe}) for probe in (None, *probes) if probe != handled.probe),
        ]
        for change, update in others:
            entries: list[Handled] = [*definition.handles]
            entries[index] = handled.model_copy(update=update)
            yield "handles changed", f"{told}: {change}", definition.model_copy(update={"handles": entries})
        if len(definition.handles) > 1:
            entries = [kept for kept in definition.handles if kept is not handled]
            yield "handles changed", f"{told} dropped", definition.model_copy(update={"handles": entries})
