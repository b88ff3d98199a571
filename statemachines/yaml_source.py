"""YAML files as data that remembers where it stood. This is the YAML library's only importer."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from statemachines.mistake import Mistake

Place = tuple[str | int, ...]  #: keys and indices from the top of a file


@dataclass(frozen=True, slots=True)
class Source:
    """A YAML file as data, with the means to find a place in it."""

    file: Path
    data: Any

    @property
    def plain(self) -> Any:  # noqa: ANN401 - YAML can hold anything here; the models decide
        """The data without the YAML library's own types, on which the models must not depend."""
        return _plain(self.data)

    def mistake(self, place: Iterable[str | int], message: str, *, value: bool = False) -> Mistake:
        """A mistake at the deepest part of `place` that is in the file: at its key, or at the value there."""
        node, position = self.data, (0, 0)
        path = tuple(place)
        for depth, part in enumerate(path, 1):
            try:
                if isinstance(part, int):
                    position = node.lc.item(part)
                else:
                    position = node.lc.value(part) if value and depth == len(path) else node.lc.key(part)
                node = node[part]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return Mistake(self.file, position[0] + 1, message, position[1] + 1)


def read_sources(place: Path, mistakes: list[Mistake]) -> Iterator[Source]:
    """A file, or every `*.yaml` of a directory in the order of their names; what cannot be read is a mistake."""
    if not place.exists():
        mistakes.append(Mistake(place, 0, "no such file or directory of runbooks"))
        return
    for file in sorted(place.glob("*.yaml")) if place.is_dir() else [place]:
        try:
            yield Source(file, YAML(typ="rt").load(file.read_text("utf-8")))
        except MarkedYAMLError as error:
            mark = error.problem_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            mistakes.append(Mistake(file, line, f"not YAML: {error.problem}", column))
        except (YAMLError, UnicodeDecodeError, OSError) as error:
            mistakes.append(Mistake(file, 0, f"cannot be read: {error}"))


def _plain(node: Any) -> Any:  # noqa: ANN401 - as above
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return str(node) if isinstance(node, str) else node
