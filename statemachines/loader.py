"""Reads runbook files, expands their fragments, proves them. All mistakes at once, each with file, line and column."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from statemachines.checker import NO_LADDER, prove
from statemachines.expansion import expand, fragment_mistakes
from statemachines.mistake import Mistake, suggestion
from statemachines.model import Definition, FragmentFile, RunbookFile, StateModel
from statemachines.yaml_source import Source, read_sources


class RunbookError(Exception):
    """Runbooks that must not be run; `mistakes` has all that is wrong."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A proven runbook, and the files it comes from: its own first, then those of the fragments it uses."""

    definition: Definition
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Runbook:
    """A runbook's file as it was read. `rank` counts the places: a later one may override an earlier one's."""

    source: Source
    model: RunbookFile
    rank: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A runbook that may not be in use. `replaces`: the names whose place it takes; `unproven`: how it could harm."""

    definition: Definition
    replaces: frozenset[str]
    unproven: tuple[Mistake, ...]


def shipped_directory() -> Path:
    """Where the runbooks that come with exmedic are."""
    return Path(str(files("statemachines") / "runbooks"))


def load_runbooks(*places: Path) -> tuple[Definition, ...]:
    """Every runbook of the places, proven and expanded; see `load`."""
    return tuple(loaded.definition for loaded in load(*places))


def load(*places: Path) -> tuple[Loaded, ...]:
    """Every runbook of the places, each a directory (`*.yaml`) or a file, without those that are overridden.

    Raises:
        RunbookError: anything is wrong in any of them.
    """
    mistakes: list[Mistake] = []
    runbooks: list[_Runbook] = []
    fragments: dict[str, tuple[Source, FragmentFile]] = {}
    for rank, place in enumerate(places):
        for source in read_sources(place, mistakes):
            read = _model(source, mistakes)
            if isinstance(read, RunbookFile):
                runbooks.append(_Runbook(source, read, rank))
            elif read is not None and read.fragment in fragments:
                first = fragments[read.fragment][0].file
                mistakes.append(
                    source.mistake(("fragment",), f"{read.fragment} is already defined in {first}; choose another name")
                )
            elif read is not None:
                fragments[read.fragment] = (source, read)
                mistakes += fragment_mistakes(source, read)
    kept = _without_overridden(runbooks, mistakes)
    mistakes += _clashes(kept)
    found = []
    for runbook in kept:
        expanded = expand(runbook.source, runbook.model, fragments, mistakes)
        if expanded is not None:
            used = {state.use for state in runbook.model.states.values() if state.use is not None}
            names = (runbook.source.file, *(fragments[name][0].file for name in sorted(used)))
            found.append(Loaded(expanded.definition, names))
            mistakes += [expanded.mistake(finding) for finding in prove(expanded.definition)]
    if mistakes:
        raise RunbookError(tuple(dict.fromkeys(mistakes)))
    return tuple(found)


def draft(file: Path, *places: Path) -> Draft:
    """One runbook with the fragments of the places, whatever other runbooks there are.

    Raises:
        RunbookError: it is no ladder at all.
    """
    mistakes: list[Mistake] = []
    fragments: dict[str, tuple[Source, FragmentFile]] = {}
    for place in places:
        for source in read_sources(place, []):
            read = _model(source, [])
            if isinstance(read, FragmentFile):
                fragments[read.fragment] = (source, read)
    for source in () if file.is_dir() else read_sources(file, mistakes):
        read = _model(source, mistakes)
        expanded = expand(source, read, fragments, mistakes) if isinstance(read, RunbookFile) else None
        if isinstance(read, RunbookFile) and expanded is not None and not mistakes:
            findings = prove(expanded.definition)
            told = tuple(expanded.mistake(finding) for finding in findings)
            if any(finding.rule in NO_LADDER for finding in findings):
                raise RunbookError(told)
            names = {read.runbook, read.overrides or read.runbook}
            return Draft(expanded.definition, frozenset(names), told)
    raise RunbookError(tuple(mistakes) or (Mistake(file, 0, "not a runbook; name the file of one"),))


def _model(source: Source, mistakes: list[Mistake]) -> RunbookFile | FragmentFile | None:
    data = source.plain
    model = FragmentFile if isinstance(data, Mapping) and "fragment" in data else RunbookFile
    try:
        return model.model_validate(data)
    except ValidationError as error:
        mistakes += _validation_mistakes(source, error)
        return None


_KEYS = sorted({
    field.alias or name
    for model in (RunbookFile, FragmentFile, StateModel)
    for name, field in model.model_fields.items()
})  # fmt: skip
#: What pydantic's own words do not say well enough, by the type of its error.
_SAID = {
    "missing": "is missing",
    "extra_forbidden": "there is no such key",
    "string_pattern_mismatch": "is not of the form {pattern}",
    "model_type": "is not a table of keys and values",
}


def _validation_mistakes(source: Source, error: ValidationError) -> Iterator[Mistake]:
    for item in error.errors():
        place = tuple(part for part in item["loc"] if part != "[key]")
        name = ".".join(str(part) for part in place)
        said = _SAID.get(item["type"], item["msg"]).format_map({"pattern": "", **item.get("ctx", {})})
        unknown = item["type"] == "extra_forbidden"
        hint = suggestion(str(place[-1]), _KEYS) if unknown and place else ""
        value = not unknown and "[key]" not in item["loc"]
        yield source.mistake(place, f"{name or 'file'}: {said}{hint}", value=value)


def _without_overridden(runbooks: list[_Runbook], mistakes: list[Mistake]) -> list[_Runbook]:
    """The runbooks that are run: what one overrides is not, and is only overridden from a later place."""
    gone: dict[str, _Runbook] = {}
    for runbook in runbooks:
        name = runbook.model.overrides
        if name is None:
            continue
        earlier = [one.model.runbook for one in runbooks if one.rank < runbook.rank]
        text = ""
        if name not in earlier:
            text = f"there is no shipped runbook {name!r}{suggestion(name, earlier)}"
        elif name in gone:
            text = f"{name} is already overridden in {gone[name].source.file}"
        if text:
            mistakes.append(runbook.source.mistake(("overrides",), text, value=True))
        else:
            gone[name] = runbook
    by_name = {(one.model.runbook, one.rank): one for one in runbooks}
    lost = {by_name[key].source.file: gone[key[0]] for key in by_name if key[0] in gone and key[1] < gone[key[0]].rank}
    kept = [one for one in runbooks if one.source.file not in lost]
    handled = {handled.key for one in kept for handled in one.model.handles}
    for runbook in runbooks:
        if runbook.source.file not in lost:
            continue
        for entry in runbook.model.handles:
            if entry.key not in handled:
                by = lost[runbook.source.file].source
                what = entry.monitor or "alerts that name no monitor"
                text = (
                    f"{runbook.model.runbook} also handles {what} of {entry.health_set}, which would then only go to "
                    "a human: handle it too"
                )
                mistakes.append(by.mistake(("overrides",), text, value=True))
    return kept


def _clashes(runbooks: list[_Runbook]) -> Iterator[Mistake]:
    names: dict[str, _Runbook] = {}
    monitors: dict[tuple[str, str], _Runbook] = {}
    for runbook in runbooks:
        model, source = runbook.model, runbook.source
        first = names.setdefault(model.runbook, runbook)
        if first is not runbook:
            yield source.mistake(
                ("runbook",), f"{model.runbook} is already defined in {first.source.file}{_take(first, runbook)}"
            )
        for index, handled in enumerate(model.handles):
            taken = monitors.setdefault(handled.key, runbook)
            if taken is not runbook:
                what = handled.monitor or "alerts that name no monitor"
                roles = "" if handled.role is None else ", and a server may have both roles"
                text = f"{what} of {handled.health_set} is already handled in {taken.source.file}{roles}"
                yield source.mistake(("handles", index), f"{text}{_take(taken, runbook)}")


def _take(first: _Runbook, second: _Runbook) -> str:
    """How the second of two could take the place of the first."""
    return f"; to take its place, say `overrides: {first.model.runbook}`" if first.rank < second.rank else ""
