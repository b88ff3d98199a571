"""What must hold of a runbook before it is loaded. Every finding names the place in the file and what to do."""

from collections.abc import Iterator

from statemachines.actions import ACTIONS, COMMON_OUTCOMES
from statemachines.mistake import suggestion
from statemachines.model import ENDS, Definition, State

Finding = tuple[tuple[str, ...], str]  #: path of keys in the file, and what is wrong


def check(definition: Definition) -> Iterator[Finding]:
    """Everything wrong with an expanded runbook."""
    for name, state in definition.states.items():
        place = ("states", name.partition(".")[0])
        for text in _state(state, definition):
            yield place, f"states.{name}: {text}"
    order = list(_reachable(definition))
    for name in definition.states:
        if name not in order:
            yield ("states", name.partition(".")[0]), f"states.{name}: no state leads here; remove it or lead to it"
    yield from _cycles(definition)
    yield from _references(definition)
    yield from _parking(definition)


def _state(state: State, definition: Definition) -> Iterator[str]:
    spec = ACTIONS.get(state.do)
    if spec is None:
        yield f"no action is called {state.do!r}{suggestion(state.do, ACTIONS)}"
        return
    if set(state.params) != set(spec.params):
        yield f"{spec.name} takes the parameters {sorted(spec.params)}, got {sorted(state.params)}"
    known = (*spec.outcomes, *COMMON_OUTCOMES)
    for outcome in state.then:
        if outcome not in known:
            yield f"{spec.name} has no outcome {outcome!r}{suggestion(outcome, known)}"
    if "unknown" in state.then:
        yield "`unknown` cannot be given a next state: it is settled by evidence, or escalates"
    if spec.name == "undo" and "more" in state.then:
        yield "`more` cannot be given a next state: the state is entered again until all is put back"
    if spec.changes and spec.changes not in definition.undo:
        yield f"{spec.name} changes {spec.changes}; say under `undo:` when it is put back"


def _reachable(definition: Definition) -> Iterator[str]:
    seen, stack = {definition.start}, [definition.start]
    while stack:
        name = stack.pop()
        yield name
        for target in definition.states[name].then.values():
            if target not in ENDS and target not in seen:
                seen.add(target)
                stack.append(target)


def _paths(definition: Definition) -> Iterator[tuple[str, ...]]:
    """Every path from the start that repeats no state; ladders are short, so all of them can be walked."""
    stack: list[tuple[str, ...]] = [(definition.start,)]
    while stack:
        path = stack.pop()
        yield path
        nexts = definition.states[path[-1]].then.values()
        stack += [(*path, target) for target in nexts if target not in ENDS and target not in path]


def _cycles(definition: Definition) -> Iterator[Finding]:
    for path in _paths(definition):
        for target in definition.states[path[-1]].then.values():
            if target in path:
                loop = " -> ".join((*path[path.index(target) :], target))
                yield ("states", path[-1].partition(".")[0]), f"a ladder has no cycles, but: {loop}"


def _references(definition: Definition) -> Iterator[Finding]:
    """`$state.field` must be produced on every path before it is used."""
    for path in _paths(definition):
        for param, value in definition.states[path[-1]].params.items():
            if not isinstance(value, str) or not value.startswith("$"):
                continue
            source, _, field = value[1:].rpartition(".")
            place = ("states", path[-1].partition(".")[0])
            if source not in path[:-1]:
                way = " -> ".join(path)
                yield place, f"states.{path[-1]}: {param} uses {value}, which is not produced on the way {way}"
            elif field not in _produces(definition, source):
                yield place, f"states.{path[-1]}: {definition.states[source].do} produces no field {field!r}"


def _parking(definition: Definition) -> Iterator[Finding]:
    """Nobody waits for another incident with something changed: `do: undo` comes between."""
    for path in _paths(definition):
        specs = [ACTIONS.get(definition.states[name].do) for name in path]
        if specs[-1] is None or not specs[-1].parks:
            continue
        changed = ""
        for name, spec in zip(path, specs, strict=True):
            if spec is not None and spec.changes:
                changed = name
            if spec is not None and spec.name == "undo":
                changed = ""
        if changed:
            place = ("states", path[-1].partition(".")[0])
            yield place, f"states.{path[-1]}: waits with what {changed} changed; put a state with `do: undo` before it"


def _produces(definition: Definition, name: str) -> tuple[str, ...]:
    spec = ACTIONS.get(definition.states[name].do)
    return spec.produces if spec else ()
