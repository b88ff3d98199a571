"""A TOML file with the line of every key, and all its syntax mistakes at once.

tomllib alone decides what is TOML and gives the values, but it knows no lines and stops at its first complaint. The
lines come from tree-sitter-toml. To get past a complaint, the statement that causes it is blanked out and the rest is
read again, so that one run of `exmedic check` shows everything there is to correct. Nothing here ever runs on a file
with mistakes: its values only serve to find more of them.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from statemachines.mistake import Mistake

Loc = tuple[str | int, ...]  #: a place in a document: keys and array indexes, from the top

MAX_SYNTAX_MISTAKES = 20  #: beyond that, what follows from one mistake is no longer told from the next one

_LINE_END = "\r\n"  #: tomllib makes it "\n", once; of "\n" after a stray "\r" it would hide the mistake
_KEYS = ("bare_key", "quoted_key", "dotted_key")
_WHERE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_STATEMENT = re.compile(r"""\s*(?:\[[^,=]*$|(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*\s*=)""")
_TWICE = ("Cannot overwrite a value", "Cannot declare", "Cannot mutate", "Cannot redefine")


@dataclass(frozen=True, slots=True)
class TomlSource:
    """A file as it was read. With `mistakes`, `values` hold what could still be made out."""

    file: Path
    values: Mapping[str, Any]
    lines: Mapping[Loc, int]
    mistakes: tuple[Mistake, ...] = ()

    def line(self, loc: Loc) -> int:
        """The line of a key, or else of the innermost table around it that has one; 0 when none has."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 0)

    def mistake(self, loc: Loc, message: str) -> Mistake:
        """A mistake at a place in this file."""
        return Mistake(self.file, self.line(loc), message)


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What tomllib objects to first. `line` counts from 0; `column` from 1, and is 0 for the end of the document."""

    line: int
    column: int
    text: str


def read_toml(file: Path) -> TomlSource:
    """Read a file; what is wrong with it is in the `mistakes` of the result, never raised."""
    try:
        data = file.read_bytes()
    except OSError as error:
        return TomlSource(file, {}, {}, (Mistake(file, 0, f"cannot be read: {error.strerror}"),))
    try:
        text = data.decode("utf-8-sig")  # Windows editors put a byte order mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 (byte {error.start}); save the file as UTF-8"
        return TomlSource(file, {}, {}, (Mistake(file, line, message),))
    return _parse(file, text.replace("\r\n", "\n"))


def _parse(file: Path, text: str) -> TomlSource:
    lines = text.split("\n")
    found: list[tuple[int, int, _Complaint]] = []
    originals: list[str] = []
    while (complaint := _complaint(lines)) and len(found) < MAX_SYNTAX_MISTAKES:
        start, end = _culprit(lines, complaint)
        found.append((start, end, complaint))
        originals.append("\n".join(lines[start:end]))
        lines = _without(lines, start, end)
    if complaint:
        lines = []
    remaining = _LINE_END.join(lines)
    positions = dict(_positions(remaining))
    mistakes = tuple(
        Mistake(file, start + 1, _sentence(complaint, original, start, positions))
        for (start, _, complaint), original in zip(found, originals, strict=True)
    )
    return TomlSource(file, tomllib.loads(remaining), positions, mistakes)


def _complaint(lines: list[str]) -> _Complaint | None:
    try:
        tomllib.loads(_LINE_END.join(lines))
    except tomllib.TOMLDecodeError as error:
        # tomllib of Python 3.11 gives the place only in its text.
        text = str(error)
        where = _WHERE.search(text)
        if where is None or where["line"] is None:
            return _Complaint(len(lines) - 1, 0, _WHERE.sub("", text))
        return _Complaint(int(where["line"]) - 1, int(where["column"]), text[: where.start()])
    except RecursionError:
        return _Complaint(0, 0, "values are nested too deeply")
    return None


def _culprit(lines: list[str], complaint: _Complaint) -> tuple[int, int]:
    """The lines, from start to before end, of the statement to blame.

    A missing bracket or quote is only noticed further down. So the statement to blame is the last one up to the
    complaint before which the file is still whole.
    """
    noticed = complaint.line
    starts = [number for number, line in enumerate(lines) if _STATEMENT.match(line)]
    candidates = [start for start in starts if start < noticed] + [noticed]
    start = next((number for number in reversed(candidates) if not _complaint(lines[:number])), noticed)
    end = noticed + 1
    if start < noticed:
        # Of an open quote tomllib says only that the file ended; but no quote of one line can reach the next one.
        runs_on = complaint.column or any(quotes in lines[start] for quotes in ('"""', "'''"))
        end = next((number for number in starts if number >= (noticed if runs_on else start + 1)), len(lines))
    if lines[start].lstrip().startswith("["):
        # With the header of a table all of its keys: they must not fall to the table before it.
        end = next((number for number in starts if number >= end and lines[number].startswith("[")), len(lines))
    return start, end


def _without(lines: list[str], start: int, end: int) -> list[str]:
    return [*lines[:start], *("" for _ in range(start, end)), *lines[end:]]


def _sentence(complaint: _Complaint, original: str, start: int, positions: Mapping[Loc, int]) -> str:
    if not complaint.text.startswith(_TWICE):
        column = f" at column {complaint.column}" if complaint.column and complaint.line == start else ""
        return f"is not TOML: {complaint.text[:1].lower()}{complaint.text[1:]}{column}"
    loc = _defined_by(original, start, positions)
    first = positions.get(loc)
    name = ".".join(str(part) for part in loc) or "a key"
    return f"{name} is given twice" + (f"; the first is on line {first}" if first else "") + "; keep one of them"


def _defined_by(statement: str, start: int, positions: Mapping[Loc, int]) -> Loc:
    """The place of the key or table that a statement defines; empty when it cannot be told."""
    nodes = [node for node in _parser().parse(statement.encode()).root_node.children if node.is_named]
    if not nodes or (key := _key_node(nodes[0])) is None:
        return ()
    if nodes[0].type == "table":
        return _path(key)
    tables = sorted((line, loc) for loc, line in positions.items() if (*loc, _HEADER) in positions)
    above = bisect_right([line for line, _ in tables], start)
    return (*(tables[above - 1][1] if above else ()), *_path(key))


_HEADER = -1  #: marks, as a last part that no document can have, the places that are headers of tables


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_toml.language()))


def _positions(text: str) -> Iterator[tuple[Loc, int]]:
    """The line of every key, table and array item of a valid document."""
    counts: dict[Loc, int] = {}
    for node in _parser().parse(text.encode()).root_node.children:
        line = node.start_point.row + 1
        key = _key_node(node)
        if key is None:
            continue
        if node.type == "pair":
            yield from _pair(node, ())
            continue
        loc: Loc = _path(key)
        if node.type == "table_array_element":
            counts[loc] = counts.get(loc, -1) + 1
            loc = (*loc, counts[loc])
        yield loc, line
        yield (*loc, _HEADER), line
        for child in node.children:
            if child.type == "pair":
                yield from _pair(child, loc)


def _pair(node: Node, table: Loc) -> Iterator[tuple[Loc, int]]:
    key = _key_node(node)
    if key is None:
        return
    path = _path(key)
    for depth in range(1, len(path) + 1):
        yield (*table, *path[:depth]), node.start_point.row + 1
    yield from _value(node.children[-1], (*table, *path))


def _value(node: Node, loc: Loc) -> Iterator[tuple[Loc, int]]:
    if node.type == "inline_table":
        for child in node.children:
            if child.type == "pair":
                yield from _pair(child, loc)
    elif node.type == "array":
        items = [child for child in node.children if child.is_named and child.type != "comment"]
        for index, item in enumerate(items):
            yield (*loc, index), item.start_point.row + 1
            yield from _value(item, (*loc, index))


def _key_node(node: Node) -> Node | None:
    return next((child for child in node.children if child.type in _KEYS), None)


def _path(key: Node) -> tuple[str, ...]:
    """The parts of a key, unquoted by tomllib itself."""
    values: Any = tomllib.loads((key.text or b"").decode() + " = 0")
    path: list[str] = []
    while isinstance(values, dict):
        part = next(iter(values))
        path.append(part)
        values = values[part]
    return tuple(path)
