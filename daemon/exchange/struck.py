"""Striking passwords out of what servers answer, before anybody keeps, logs or judges it.

A failing probe of Managed Availability writes the user name and the password of its monitoring mailbox, in clear, into
whatever it tells. So in every text of every answer, what follows `password`, `pwd` or `secret` and a `:`, `=` or `>` is
struck out: to the end of its quotes, or of its line. Rather too much than too little, since such texts are for people
and decide nothing.

Where a value ends shows by its line, so line ends become spaces only afterwards; and then once more, for a name that a
line end had parted from its sign.
"""

import re
from typing import Any

MASK = "***"

_NAME = re.compile(r"pass(?:word|wd|phrase)|pwd|secret", re.IGNORECASE)
#: The name, what may stand between it and its sign (`s`, a quote, `for Monitoring Account`), and the sign. Bounded,
#: possessive: it never goes back.
_NAMED = re.compile(r"(?:pass(?:word|wd|phrase)|pwd|secret)(?:(?!\.\s)[^:=>;,\r\n]){0,80}+\s*+[:=>]\s*+", re.IGNORECASE)
_REACH = 100  #: more than the letters from the beginning of a name to the white space before its sign
_OPENING = re.compile(r"(\\*+)([\"'])")
_MARK = re.compile(r"\\++[\"']?|[\"']")
#: To the end of the line, and of what a terminal has broken off it: lines of a single word.
_REST = re.compile(r"[^\r\n]*+(?:(?:\r\n|\r|\n)[ \t]*+\S++[ \t]*+(?=[\r\n]|\Z))*+")
_BEHIND = frozenset(["", *" \t\r\n,;)}]>&|\\"])  #: what may stand behind the quote that closes a value


def struck_out(answer: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same JSON without passwords, each of its texts on one line."""
    if isinstance(answer, str):
        return _strike(_on_one_line(_strike(answer)))
    if isinstance(answer, list):
        return [struck_out(each) for each in answer]
    if isinstance(answer, dict):
        return {_strike(name): MASK if _NAME.search(name) else struck_out(value) for name, value in answer.items()}
    return answer


def _strike(text: str) -> str:
    kept: list[str] = []
    at = done = 0
    while named := _NAMED.search(text, at):
        value = named.end()
        if value < done:  # all of it belongs to a value that is struck already
            at = named.start() + 1
            continue
        end = _end(text, value)
        kept += [text[done:value], MASK if end > value else ""]
        # The last words of a value may be the name of another one, whose sign comes after it.
        at, done = max(value, end - _REACH), end
    return "".join([*kept, text[done:]])


def _end(text: str, start: int) -> int:
    """Where the value ends that begins there."""
    masked = start + len(MASK)
    if text.startswith(MASK, start) and text[masked : masked + 1] in _BEHIND:
        return masked
    opening = _OPENING.match(text, start)
    if opening is None:
        rest = _REST.match(text, start)
        return rest.end() if rest else len(text)
    slashes, quote = opening.groups()
    for mark in _MARK.finditer(text, opening.end()):
        # With more backslashes before it than the first one had, it belongs to the value.
        if mark[0][-1] == quote and len(mark[0]) <= len(slashes) + 1 and text[mark.end() : mark.end() + 1] in _BEHIND:
            return mark.end()
    return len(text)


def _on_one_line(text: str) -> str:
    lines = text.splitlines()
    return text if lines == [text] else " ".join(filter(None, (line.strip() for line in lines)))
