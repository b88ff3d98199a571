"""Puts the fragments into a runbook: a fragment's state `s`, used by a state `u`, becomes `u.s`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from statemachines.checker.findings import Finding
from statemachines.mistake import Mistake, suggestion
from statemachines.model import ENDS, Definition, FragmentFile, Literal_, RunbookFile, State, StateModel
from statemachines.yaml_source import Place, Source

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Fragments = Mapping[str, tuple[Source, FragmentFile]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an expanded state stands in a file; `given` is where a fragment's user gave it a parameter."""

    source: Source
    place: Place
    given: Mapping[str, tuple[Source, Place]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expanded:
    """A runbook as it is run, and where each of its states comes from."""

    source: Source
    definition: Definition
    origins: Mapping[str, Origin]

    def mistake(self, finding: Finding) -> Mistake:
        """What the checker found, at its place in the file it comes from."""
        origin = self.origins.get(finding.state)
        if origin is None:
            return self.source.mistake(finding.place, str(finding), value=finding.value)
        source, place = origin.source, (*origin.place, *finding.place)
        if finding.place[:1] == ("with",) and str(finding.place[-1]) in origin.given:
            source, place = origin.given[str(finding.place[-1])]
        whose = "" if source is self.source else f"as {self.definition.runbook} uses it: "
        return source.mistake(place, f"{whose}{finding}", value=finding.value)


def expand(source: Source, runbook: RunbookFile, fragments: Fragments, mistakes: list[Mistake]) -> Expanded | None:
    """The runbook with its fragments put in; None when it names any wrongly."""
    states: dict[str, State] = {}
    origins: dict[str, Origin] = {}
    entries = {name: _entry(name, state, fragments) for name, state in runbook.states.items()}
    wrong = False
    for name, state in runbook.states.items():
        used = fragments.get(state.use) if state.use else None
        for place, text in _misuse(state, used and used[1], runbook.states, fragments):
            wrong = True
            mistakes.append(source.mistake(("states", name, *place), f"{name}: {text}", value=len(place) == 1))
        if used is None:
            then = {outcome: entries.get(target, target) for outcome, target in state.then.items()}
            states[name] = State(do=state.do or "", params=state.with_, within=_seconds(state.within), then=then)
            origins[name] = Origin(source, ("states", name))
            continue
        fragment_source, fragment = used
        for inner, inner_state in fragment.states.items():
            states[f"{name}.{inner}"] = _inner(name, inner_state, state, fragment, entries)
            given = {
                param: (source, ("states", name, "with", value[1:]))
                for param, value in inner_state.with_.items()
                if isinstance(value, str) and value.startswith("$") and value[1:] in state.with_
            }
            origins[f"{name}.{inner}"] = Origin(fragment_source, ("states", inner), given)
    if wrong:
        return None
    definition = Definition(
        runbook=runbook.runbook,
        title=runbook.title,
        source=runbook.source,
        handles=runbook.handles,
        undo=runbook.undo,
        start=entries[next(iter(runbook.states))],
        states=states,
    )
    return Expanded(source, definition, origins)


def fragment_mistakes(source: Source, fragment: FragmentFile) -> Iterator[Mistake]:
    """What is wrong with a fragment whoever uses it."""
    for name, state in fragment.states.items():
        if state.do is None or state.use is not None:
            text = f"{name}: a state of a fragment must `do` an action; fragments do not nest"
            yield source.mistake(("states", name), text)
        known = [*fragment.states, *fragment.exits, "escalated"]
        for outcome, target in state.then.items():
            if target not in known:
                text = f"{name}: no state or exit is called {target!r}{suggestion(target, known)}"
                yield source.mistake(("states", name, "then", outcome), text, value=True)
        for param, value in state.with_.items():
            wanted = value[1:] if isinstance(value, str) and value.startswith("$") and "." not in value else None
            if wanted is not None and wanted not in fragment.params:
                text = f"{name}: the fragment has no parameter {wanted!r}{suggestion(wanted, fragment.params)}"
                yield source.mistake(("states", name, "with", param), text, value=True)
    for index, exit_ in enumerate(fragment.exits):
        if exit_ in fragment.states:
            text = f"{exit_} is a state and an exit; a next state could mean either"
            yield source.mistake(("exits", index), text)


def _entry(name: str, state: StateModel, fragments: Fragments) -> str:
    if state.use is not None and state.use in fragments:
        return f"{name}.{next(iter(fragments[state.use][1].states))}"
    return name


def _misuse(
    state: StateModel, fragment: FragmentFile | None, states: Mapping[str, StateModel], fragments: Fragments
) -> Iterator[tuple[Place, str]]:
    if (state.do is None) == (state.use is None):
        yield (), "give either `do` an action or `use` a fragment"
    if state.use is not None and fragment is None:
        yield ("use",), f"no fragment is called {state.use!r}{suggestion(state.use, fragments)}"
    if fragment is not None:
        yield from _misfit(state, fragment, states)


def _misfit(state: StateModel, fragment: FragmentFile, states: Mapping[str, StateModel]) -> Iterator[tuple[Place, str]]:
    for param in fragment.params:
        if param not in state.with_:
            yield ("use",), f"fragment {fragment.fragment} needs the parameter {param!r} under `with:`"
    for param in state.with_:
        if param not in fragment.params:
            hint = suggestion(param, fragment.params)
            yield ("with", param), f"fragment {fragment.fragment} has no parameter {param!r}{hint}"
    for outcome, target in state.then.items():
        if outcome not in fragment.exits:
            hint = suggestion(outcome, fragment.exits)
            yield ("then", outcome), f"fragment {fragment.fragment} has no exit {outcome!r}{hint}"
        if target not in states and target not in ENDS:
            yield ("then", outcome), f"no state is called {target!r}{suggestion(target, [*states, *ENDS])}"
    if state.within:
        yield ("within",), "`within` is for an action, not for a fragment"


def _inner(
    prefix: str, state: StateModel, user: StateModel, fragment: FragmentFile, entries: Mapping[str, str]
) -> State:
    def target(name: str) -> str:
        if name in fragment.states:
            return f"{prefix}.{name}"
        after = user.then.get(name, "escalated")
        return entries.get(after, after)

    def value(given: Literal_) -> Literal_:
        if not isinstance(given, str) or not given.startswith("$"):
            return given
        name, _, produced = given[1:].partition(".")
        return f"${prefix}.{name}.{produced}" if produced else user.with_.get(name, given)

    return State(
        do=state.do or "",
        params={name: value(given) for name, given in state.with_.items()},
        within=_seconds(state.within),
        then={outcome: target(name) for outcome, name in state.then.items()},
    )


def _seconds(text: str | None) -> int | None:
    return None if text is None else int(text[:-1]) * _SECONDS[text[-1]]
