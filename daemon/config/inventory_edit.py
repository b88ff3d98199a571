"""Edits the text of an inventory and leaves alone what is not to be changed: order, comments, spelling, white space.

tomlkit changes values inside one table. It is not let near the tables around it: it counts the comments above a table
to the table before, and would put a new key below them.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit

Value = str | list[str]

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_REMARK = re.compile(r"\s*(#.*)?\Z")


class NotEditable(ValueError):  # noqa: N818 - said of the file
    """The file is written in a way that cannot be edited without loss; the message says what to do by hand."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A table with its keys, and the blank lines and comments below it, which belong to what follows."""

    own: str
    below: str
    server: str | None  #: whose table it is


def edited(
    text: str,
    *,
    added: Mapping[str, Mapping[str, Value]],
    changed: Mapping[str, Mapping[str, Value | None]],
    removed: frozenset[str],
) -> str:
    """The text with servers added below, fields of servers set (None: taken out), and servers removed.

    Names are spelt as in the text.

    Raises:
        NotEditable: it cannot be done without losing something.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    parts = []
    for block in _blocks(text):
        if block.server is None or block.server not in {*changed, *removed}:
            parts.append(block.own + block.below)
        elif block.server in removed:
            parts.append(block.below)
        else:
            parts.append(_with_fields(block, block.server, changed[block.server], newline) + block.below)
    result = "".join(parts)
    for name, fields in added.items():
        gap = "" if not result else newline if result.endswith("\n") else newline * 2
        result += gap + table(name, fields, newline)
    _compare(result, _expected(text, added, changed, removed))
    return result


def _blocks(text: str) -> list[_Block]:
    """The text cut before each table. A line that begins with a bracket may also stand inside an array."""
    found: list[_Block] = []
    lines: list[str] = []
    for line in _LINE.findall(text):
        if line.lstrip().startswith("[") and _whole("".join(lines)):
            found.append(_block(lines))
            lines = []
        lines.append(line)
    return [*found, _block(lines)]


def _whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _block(lines: list[str]) -> _Block:
    end = len(lines)
    while end and _REMARK.match(lines[end - 1].rstrip("\n")):
        end -= 1
    own = "".join(lines[:end])
    values = tomllib.loads(own).get("servers")
    server = next(iter(values)) if own.lstrip().startswith("[") and isinstance(values, dict) and values else None
    return _Block(own, "".join(lines[end:]), server)


def _with_fields(block: _Block, name: str, fields: Mapping[str, Value | None], newline: str) -> str:
    own = block.own if block.own.endswith("\n") else block.own + newline
    document = tomlkit.parse(own)
    table: Any = document["servers"][name]
    below = ""
    for field, value in fields.items():
        if field in table and "#" in str(getattr(table[field], "as_string", str)()) and isinstance(value, list):
            raise NotEditable(f"{field} of {name} has a comment inside its brackets; set it to {value} by hand")
        if value is None:
            comment = table[field].trivia.comment
            del table[field]
            below += comment + newline if comment else ""
        elif field in table:
            table[field] = value
        else:
            below = f"{field} = {_toml(value)}{newline}{below}"
    return tomlkit.dumps(document) + below


def table(name: str, fields: Mapping[str, Value], newline: str = "\n") -> str:
    """A server's table."""
    rows = [f"[servers.{_toml(name)}]", *(f"{field} = {_toml(value)}" for field, value in fields.items())]
    return "".join(row + newline for row in rows)


def _toml(value: Value) -> str:
    return tomlkit.item(value).as_string()


def _expected(
    text: str,
    added: Mapping[str, Mapping[str, Value]],
    changed: Mapping[str, Mapping[str, Value | None]],
    removed: frozenset[str],
) -> dict[str, Any]:
    values = tomllib.loads(text)
    servers = {name: row for name, row in values.get("servers", {}).items() if name not in removed}
    for name, fields in changed.items():
        merged = {**servers[name], **fields}
        servers[name] = {field: value for field, value in merged.items() if value is not None}
    values["servers"] = {**servers, **added}
    return values


def _compare(result: str, expected: Mapping[str, Any]) -> None:
    """Whatever the layout was: the new text must say exactly what was meant, or it is not used."""
    try:
        found = tomllib.loads(result)
    except tomllib.TOMLDecodeError as error:
        found = {"unreadable": str(error)}
    if {"servers": {}, **found} != expected:
        raise NotEditable('its servers are not all written as tables, [servers."NAME"]; write them so, then import')
