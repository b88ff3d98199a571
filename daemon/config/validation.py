"""What pydantic objects to, as sentences an administrator can act on.

No sentence repeats a value: the value that does not fit may be a password in the wrong place.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from daemon.config.toml import Loc, TomlSource
from statemachines.mistake import Mistake

Model = TypeVar("Model", bound=BaseModel)

_WORDS = {
    "datetime_type": "must be a date and time with its offset from UTC, such as 2026-11-05T03:14:15Z",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "path_type": "must be a path, as a string",
    "timezone_aware": "needs its offset from UTC, such as Z or +01:00",
    "tuple_type": "must be a list",
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """One objection: where, and a sentence that begins with the name of the place."""

    loc: Loc
    sentence: str
    missing: bool


def complaints(error: ValidationError, model: type[BaseModel]) -> Iterator[Complaint]:
    """Everything that pydantic objects to."""
    for problem in error.errors(include_url=False, include_input=False):
        loc, kind = problem["loc"], problem["type"]
        sentence = f"{dotted(loc) or 'the whole'} {_predicate(kind, problem['msg'], loc, model)}"
        yield Complaint(loc, sentence, missing=kind == "missing")


def validated(model: type[Model], source: TomlSource, context: object) -> tuple[Model | None, tuple[Mistake, ...]]:
    """A file as a record, or else all that is wrong with it. `context` reaches the validators of the model."""
    found = list(source.mistakes)
    record = None
    try:
        record = model.model_validate(source.values, context=context)
    except ValidationError as error:
        found.extend(
            source.mistake(complaint.loc, complaint.sentence)
            for complaint in complaints(error, model)
            # What seems to be missing may be in a statement that could not be read.
            if not (source.mistakes and complaint.missing)
        )
    return (None if found else record), in_order(found)


def in_order(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Mistakes by file and line, each once."""
    return tuple(sorted(set(mistakes), key=lambda mistake: (str(mistake.file), mistake.line, mistake.message)))


def dotted(loc: Loc) -> str:
    """A place as an administrator writes it: servers."mbx1.contoso.com".roles[0]."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
            text += ("." if text else "") + (part if plain else f'"{part}"')
    return text


def _predicate(kind: str, message: str, loc: Loc, model: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        return "is not known" + suggestion(str(loc[-1]), _fields(model, loc[:-1]))
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind in _WORDS:
        return _WORDS[kind]
    return message.replace("Input should", "must").replace("String should", "must").replace("Value should", "must")


def suggestion(name: str, known: Mapping[str, object]) -> str:
    """What was probably meant by a misspelt name, or what is known here."""
    folded = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name[:100].lower(), folded, n=1)  # a name may be long on purpose
    if close:
        return f"; did you mean {folded[close[0]]}?"
    return f"; known here: {', '.join(sorted(known))}" if known else ""


def _fields(model: type[BaseModel], loc: Loc) -> Mapping[str, object]:
    """The names that are known at a place within a model."""
    kind: Any = model
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        else:  # a dict of models, by name, or a list of them
            kind = (
                get_args(kind)[{dict: 1, tuple: 0}[origin]] if (origin := get_origin(kind)) in {dict, tuple} else None
            )
        kind = next((member for member in get_args(kind) if member is not NoneType), kind) if _optional(kind) else kind
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _optional(kind: object) -> bool:
    return NoneType in get_args(kind)
