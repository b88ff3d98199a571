"""Reads runbook files, checks them, expands their fragments. All mistakes at once, each with its file and line."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from statemachines.checker import check
from statemachines.mistake import Mistake, suggestion
from statemachines.model import ENDS, Definition, FragmentFile, RunbookFile, State, StateModel

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class RunbookError(Exception):
    """Runbooks that must not be run; `mistakes` has all that is wrong."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A YAML file as data, with the means to find the line of a place in it."""

    file: Path
    data: Any

    def line(self, path: Iterable[str | int]) -> int:
        """The line of the deepest part of `path` that is in the file."""
        node, line = self.data, 1
        for part in path:
            try:
                line = node.lc.key(part)[0] + 1 if isinstance(part, str) else node.lc.item(part)[0] + 1
                node = node[part]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return line


def shipped_directory() -> Path:
    """Where the runbooks that come with exmedic are."""
    return Path(str(files("statemachines") / "runbooks"))


def load_runbooks(*directories: Path) -> tuple[Definition, ...]:
    """Every runbook of the directories (`*.yaml`), checked and expanded.

    Raises:
        RunbookError: anything is wrong in any of them.
    """
    mistakes: list[Mistake] = []
    runbooks: list[tuple[_Parsed, RunbookFile]] = []
    fragments: dict[str, tuple[_Parsed, FragmentFile]] = {}
    for parsed in _read(directories, mistakes):
        model = FragmentFile if isinstance(parsed.data, Mapping) and "fragment" in parsed.data else RunbookFile
        try:
            # Through plain data: the models must not depend on the YAML library's own types.
            read = model.model_validate(_plain(parsed.data))
        except ValidationError as error:
            mistakes += _validation_mistakes(parsed, error)
            continue
        if isinstance(read, FragmentFile):
            fragments[read.fragment] = (parsed, read)
        else:
            runbooks.append((parsed, read))
    definitions = []
    for parsed, runbook in runbooks:
        expanded = _expand(parsed, runbook, fragments, mistakes)
        if expanded is not None:
            definitions.append(expanded)
            mistakes += [Mistake(parsed.file, parsed.line(place), text) for place, text in check(expanded)]
    mistakes += _clashes(runbooks)
    if mistakes:
        raise RunbookError(tuple(dict.fromkeys(mistakes)))
    return tuple(definitions)


def _read(directories: Iterable[Path], mistakes: list[Mistake]) -> Iterator[_Parsed]:
    for directory in directories:
        if not directory.is_dir():
            mistakes.append(Mistake(directory, 0, "no such directory of runbooks"))
            continue
        for file in sorted(directory.glob("*.yaml")):
            try:
                yield _Parsed(file, YAML(typ="rt").load(file.read_text("utf-8")))
            except MarkedYAMLError as error:
                line = error.problem_mark.line + 1 if error.problem_mark else 0
                mistakes.append(Mistake(file, line, f"not YAML: {error.problem}"))
            except (YAMLError, UnicodeDecodeError, OSError) as error:
                mistakes.append(Mistake(file, 0, f"cannot be read: {error}"))


def _plain(node: Any) -> Any:  # noqa: ANN401 - YAML can hold anything here; the models decide
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return str(node) if isinstance(node, str) else node


def _validation_mistakes(parsed: _Parsed, error: ValidationError) -> list[Mistake]:
    found = []
    for item in error.errors():
        place = item["loc"]
        name = ".".join(str(part) for part in place)
        hint = suggestion(str(place[-1]), _KEYS) if item["type"] == "extra_forbidden" and place else ""
        found.append(Mistake(parsed.file, parsed.line(place), f"{name or 'file'}: {item['msg']}{hint}"))
    return found


_KEYS = sorted({
    field.alias or name
    for model in (RunbookFile, FragmentFile, StateModel)
    for name, field in model.model_fields.items()
})  # fmt: skip


def _clashes(runbooks: list[tuple[_Parsed, RunbookFile]]) -> Iterator[Mistake]:
    names: dict[str, Path] = {}
    monitors: dict[tuple[str, str], Path] = {}
    for parsed, runbook in runbooks:
        first = names.setdefault(runbook.runbook, parsed.file)
        if first != parsed.file:
            yield Mistake(parsed.file, parsed.line(["runbook"]), f"{runbook.runbook} is already defined in {first}")
        for index, handled in enumerate(runbook.handles):
            key = (handled.health_set.lower(), handled.monitor.lower())
            taken = monitors.setdefault(key, parsed.file)
            if taken != parsed.file:
                line = parsed.line(["handles", index])
                yield Mistake(parsed.file, line, f"{handled.monitor} is already handled in {taken}")


def _expand(
    parsed: _Parsed,
    runbook: RunbookFile,
    fragments: Mapping[str, tuple[_Parsed, FragmentFile]],
    mistakes: list[Mistake],
) -> Definition | None:
    """The runbook with its fragments put in; a fragment's state `s` used by state `u` becomes `u.s`."""
    states: dict[str, State] = {}
    entries = {name: _entry(name, state, fragments) for name, state in runbook.states.items()}
    wrong = False
    for name, state in runbook.states.items():
        used = fragments.get(state.use) if state.use else None
        for text in _state_mistakes(state, runbook.states, used and used[1], fragments):
            wrong = True
            mistakes.append(Mistake(parsed.file, parsed.line(["states", name]), f"states.{name}: {text}"))
        if used is None:
            then = {outcome: entries.get(target, target) for outcome, target in state.then.items()}
            states[name] = State(do=state.do or "", params=state.with_, within=_seconds(state.within), then=then)
            continue
        fragment_file, fragment = used
        for inner, inner_state in fragment.states.items():
            for text in _fragment_mistakes(inner_state, fragment):
                wrong = True
                line = fragment_file.line(["states", inner])
                mistakes.append(Mistake(fragment_file.file, line, f"states.{inner}: {text}"))
            states[f"{name}.{inner}"] = _inner(name, inner_state, state, fragment, entries)
    if wrong:
        return None
    return Definition(
        runbook=runbook.runbook,
        title=runbook.title,
        source=runbook.source,
        handles=runbook.handles,
        undo=runbook.undo,
        start=entries[next(iter(runbook.states))],
        states=states,
    )


def _entry(name: str, state: StateModel, fragments: Mapping[str, tuple[_Parsed, FragmentFile]]) -> str:
    if state.use is not None and state.use in fragments:
        return f"{name}.{next(iter(fragments[state.use][1].states))}"
    return name


def _state_mistakes(
    state: StateModel,
    states: Mapping[str, StateModel],
    fragment: FragmentFile | None,
    fragments: Iterable[str],
) -> Iterator[str]:
    if (state.do is None) == (state.use is None):
        yield "give either `do` an action or `use` a fragment"
    if state.use is not None and fragment is None:
        yield f"no fragment is called {state.use!r}{suggestion(state.use, fragments)}"
    if fragment is not None:
        if set(state.with_) != set(fragment.params):
            yield f"fragment {fragment.fragment} takes the parameters {fragment.params}, got {sorted(state.with_)}"
        for outcome in state.then:
            if outcome not in fragment.exits:
                yield f"fragment {fragment.fragment} has no exit {outcome!r}{suggestion(outcome, fragment.exits)}"
        if state.within:
            yield "`within` is for an action, not for a fragment"
    for target in state.then.values():
        if target not in states and target not in ENDS:
            yield f"no state is called {target!r}{suggestion(target, [*states, *ENDS])}"


def _fragment_mistakes(state: StateModel, fragment: FragmentFile) -> Iterator[str]:
    if state.do is None:
        yield "a state of a fragment must `do` an action; fragments do not nest"
    known = [*fragment.states, *fragment.exits, "escalated"]
    for target in state.then.values():
        if target not in known:
            yield f"no state or exit is called {target!r}{suggestion(target, known)}"


def _inner(
    prefix: str, state: StateModel, user: StateModel, fragment: FragmentFile, entries: Mapping[str, str]
) -> State:
    def target(name: str) -> str:
        if name in fragment.states:
            return f"{prefix}.{name}"
        after = user.then.get(name, "escalated")
        return entries.get(after, after)

    def value(given: str | float | bool) -> str | int | float | bool:
        if not isinstance(given, str) or not given.startswith("$"):
            return given
        name, _, field = given[1:].partition(".")
        return f"${prefix}.{name}.{field}" if field else user.with_.get(name, given)

    return State(
        do=state.do or "",
        params={name: value(given) for name, given in state.with_.items()},
        within=_seconds(state.within),
        then={outcome: target(name) for outcome, name in state.then.items()},
    )


def _seconds(text: str | None) -> int | None:
    return None if text is None else int(text[:-1]) * _SECONDS[text[-1]]
