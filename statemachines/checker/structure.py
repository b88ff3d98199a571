"""What can be seen of a runbook without walking it: names, parameters, next states, waits."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter

from statemachines.actions import ACTIONS, COMMON_OUTCOMES, ActionSpec, Effect
from statemachines.catalogue import MONITORS, SERVICES, Tier, monitor, tier_of
from statemachines.checker.facts import CHANGED_BY
from statemachines.checker.findings import Finding, spell
from statemachines.mistake import suggestion
from statemachines.model import ENDS, Definition, Handled, Literal_, State
from statemachines.table import CONFIRM, End

LONGEST = timedelta(days=1)  #: of a single wait: after a night and a day a human has to look anyway
_RESERVED = frozenset({CONFIRM, "undo", *End})
#: What no runbook may continue after, and why.
_NOT_CONTINUED = {
    ("undo", "more"): "the state is entered again until all is put back",
    **{("undo", outcome): "what cannot be put back is for a human" for outcome in ("left", *COMMON_OUTCOMES)},
}


def structure(definition: Definition) -> Iterator[Finding]:
    """Everything wrong with a definition that takes no walk."""
    for index, handled in enumerate(definition.handles):
        yield from _handled(handled, ("handles", index))
    for setting in definition.undo:
        if setting not in CHANGED_BY:
            hint = suggestion(setting, CHANGED_BY)
            message = f"undo.{setting}: no action changes {setting}{hint}"
            yield Finding(rule="undo", message=message, place=("undo", setting))
    for name, state in definition.states.items():
        changes = ACTIONS[state.do].changes if state.do in ACTIONS else ""
        if changes and changes not in definition.undo:
            message = f"{name}: {state.do} changes {changes}; say under `undo:` when it is put back"
            yield Finding(rule="undo", message=message, place=("undo",))
        for rule, place, value, text in _state(name, state, definition):
            yield Finding(rule=rule, message=f"{name}: {text}", state=name, place=place, value=value)
    yield from _graph(definition)


#: Rule, place below the state, whether the value there is meant, message.
Found = tuple[str, tuple[str | int, ...], bool, str]


def _handled(handled: Handled, place: tuple[str | int, ...]) -> Iterator[Finding]:
    known = monitor(handled.health_set, handled.monitor)
    sets = {one.health_set.lower(): one.health_set for one in MONITORS}
    in_set = [one for one in MONITORS if one.health_set.lower() == handled.health_set.lower()]
    told = f"{handled.monitor} of {handled.health_set}"
    unless = " (a name that you have seen on a live server takes `confirmed: true` beside it)"
    if handled.confirmed or (not handled.monitor and in_set):
        return
    if not in_set:
        message = (
            f"no health set is called {handled.health_set!r}{suggestion(handled.health_set, sets.values())}{unless}"
        )
        yield Finding(rule="monitor", message=message, place=(*place, "health_set"), value=True)
        return
    if known is None:
        hint = suggestion(handled.monitor, [one.name for one in in_set])
        message = f"{handled.health_set} has no monitor {handled.monitor!r}{hint}{unless}"
        yield Finding(rule="monitor", message=message, place=(*place, "monitor"), value=True)
        return
    if handled.probe is not None and handled.probe.lower() != (known.probe or "").lower():
        right = f"is {known.probe}" if known.probe else "there is none: leave `probe` out, its rows decide"
        message = f"the probe of {told} {right}, not {handled.probe}{unless}"
        yield Finding(rule="monitor", message=message, place=(*place, "probe"), value=True)
    if known.tier is Tier.BACK and handled.role == "client_access":
        message = f"{told} is on Mailbox servers, so the role client_access does not fit: `role: mailbox`"
        yield Finding(rule="monitor", message=message, place=(*place, "role"), value=True)


def _state(name: str, state: State, definition: Definition) -> Iterator[Found]:
    if name in _RESERVED or name.endswith(".recheck") or name.startswith("undo."):
        yield "name", (), False, "the engine has a state of that name; choose another"
    for outcome, target in state.then.items():
        if target not in definition.states and target not in ENDS:
            hint = suggestion(target, [*definition.states, *ENDS])
            yield "target", ("then", outcome), True, f"no state is called {target!r}{hint}"
    spec = ACTIONS.get(state.do)
    if spec is None:
        yield "action", ("do",), True, f"no action is called {state.do!r}{suggestion(state.do, ACTIONS)}"
        return
    yield from _outcomes(state, spec)
    yield from _parameters(state, spec, definition)
    yield from _waits(state, spec)


def _outcomes(state: State, spec: ActionSpec) -> Iterator[Found]:
    known = (*spec.outcomes, *COMMON_OUTCOMES)
    for outcome in state.then:
        place = ("then", outcome)
        if outcome not in known:
            hint = suggestion(outcome, known)
            yield "outcome", place, False, f"{spec.name} has no outcome {outcome!r}{hint}"
        elif outcome == "unknown" and not spec.puts_back:
            text = "`unknown` cannot be given a next state: it is settled by evidence, or escalates"
            yield "unknown", place, False, text
        elif (spec.name, outcome) in _NOT_CONTINUED:
            why = _NOT_CONTINUED[spec.name, outcome]
            yield "outcome", place, False, f"`{outcome}` cannot be given a next state: {why}"


def _parameters(state: State, spec: ActionSpec, definition: Definition) -> Iterator[Found]:
    for param in spec.params:
        if param not in state.params:
            yield "parameter", ("do",), True, f"{spec.name} needs the parameter {param!r} under `with:`"
    for param, value in state.params.items():
        place = ("with", param)
        if param not in spec.params:
            hint = suggestion(param, spec.params)
            takes = f"takes {', '.join(spec.params)}" if spec.params else "takes none"
            yield "parameter", place, False, f"{spec.name} has no parameter {param!r}; it {takes}{hint}"
        elif param == "service":
            if tier_of(value) is None:
                yield "service", place, True, f"no service is called {value!r}{suggestion(str(value), SERVICES)}"
        elif param == "minutes":
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                yield "parameter", place, True, f"minutes is a number above 0, not {value!r}"
        else:
            yield from (("field", place, True, text) for text in _reference(param, value, definition))


def _reference(param: str, value: Literal_, definition: Definition) -> Iterator[str]:
    """A parameter that is no literal: `$state.field`, of the field with the parameter's own name."""
    if not isinstance(value, str) or not value.startswith("$"):
        yield f"{param} is what an earlier state found: write $STATE.{param}, not {value!r}"
        return
    source, _, field = value[1:].rpartition(".")
    if source not in definition.states:
        yield f"{value}: no state is called {source!r}{suggestion(source, definition.states)}"
        return
    spec = ACTIONS.get(definition.states[source].do)
    if spec is None:
        return
    if field not in spec.produces:
        fields = ", ".join(spec.produces) or "nothing"
        yield f"{value}: {spec.name} produces no field {field!r}, but {fields}{suggestion(field, spec.produces)}"
    elif field != param:
        yield f"{value}: {param} cannot be {field}"


def _waits(state: State, spec: ActionSpec) -> Iterator[Found]:
    deadline = spec.deadline if state.within is None else timedelta(seconds=state.within)
    place: tuple[str | int, ...] = ("do",) if state.within is None else ("within",)
    if deadline > LONGEST:
        text = f"waits for {spell(deadline)}; at most {spell(LONGEST)}, for then a human has to look"
        yield "wait", place, True, text
    if spec.effect is not Effect.READ and deadline < spec.deadline:
        text = f"{spec.name} needs {spell(spec.deadline)} to have a lost answer settled, not {spell(deadline)}"
        yield "wait", place, True, text
    minutes = state.params.get("minutes")
    if isinstance(minutes, int | float) and timedelta(minutes=minutes) >= deadline:
        yield "wait", place, True, f"can never see {minutes} minutes within {spell(deadline)}"


def _graph(definition: Definition) -> Iterator[Finding]:
    following = {
        name: [target for target in state.then.values() if target in definition.states]
        for name, state in definition.states.items()
    }
    reached = _from([definition.start], following)
    used = {name.partition(".")[0] for name in reached}
    for name in dict.fromkeys(name.partition(".")[0] for name in definition.states):
        if name not in used:
            # A fragment that is not reached is told once, where it is used.
            message = f"{name}: no state leads here; remove it or lead to it"
            yield Finding(rule="unreached", message=message, place=("states", name))
    for name in definition.states:
        if name not in reached and "." in name and name.partition(".")[0] in used:
            yield Finding(rule="unreached", message=f"{name}: no state of the fragment leads here", state=name)
    try:
        TopologicalSorter(following).prepare()
    except CycleError as error:
        # The sorter goes by predecessors, and so tells the loop backwards.
        backwards = error.args[1][1:]
        first = min(range(len(backwards)), key=lambda index: list(definition.states).index(backwards[index]))
        loop = [*backwards[first::-1], *backwards[:first:-1]]
        message = f"{loop[0]}: a ladder has no cycles, but: {' -> '.join([*loop, loop[0]])}"
        yield Finding(rule="cycle", message=message, state=loop[-1], place=("then",))
        return
    for name, state in definition.states.items():
        spec = ACTIONS.get(state.do)
        if spec is None or spec.effect is Effect.READ or spec.puts_back or name not in reached:
            continue
        after = state.then.get("done", "escalated")
        ends = {target for one in _from([after], following) for target in definition.states[one].then.values()}
        misspelt = not set(state.then) <= {*spec.outcomes, *COMMON_OUTCOMES}
        if "resolved" not in {after, *ends} and not misspelt:
            message = f"{name}: once {spec.name} is done nothing leads to `resolved` any more, so it only disturbs"
            yield Finding(rule="for-nothing", message=message, state=name, place=("then",))


def _from(starts: Iterable[str], following: dict[str, list[str]]) -> set[str]:
    reached, stack = set[str](), [start for start in starts if start in following]
    while stack:
        name = stack.pop()
        if name not in reached:
            reached.add(name)
            stack += following[name]
    return reached
