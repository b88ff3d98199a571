"""Every regular expression costs in proportion to the text: one answer or alert must not hold up the event loop.

Nothing is timed against a clock: the work for a text is compared with that for one four times as long. What is linear
takes four times as much, what is quadratic 16 times. pydantic's `pattern=` is not here: its engine is linear.
"""

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.test_house import MODULES, ROOT

LONG = 16_000
#: Thread time in ns below which nothing quadratic of so many letters stays, and what is linear does.
SUSPICIOUS = 1_000_000
MOST = 8  #: between 4 and 16

SIGNS = [*"aA0.-_ \t\n:=;,\"'\\/()[]{}#<>", "é", "a.", "a-", "a ", '"a', "a=", "\\a", "a,b", "a:", "\r\n", '\\"']
ENDS = ("", "\x00")

Use = Callable[[re.Pattern[str], str], object]
USES: dict[str, Use] = {
    "match": lambda pattern, text: pattern.match(text),
    "fullmatch": lambda pattern, text: pattern.fullmatch(text),
    "search": lambda pattern, text: pattern.search(text),
    "findall": lambda pattern, text: pattern.findall(text),
    "finditer": lambda pattern, text: list(pattern.finditer(text)),
    "sub": lambda pattern, text: pattern.sub("", text),
    "split": lambda pattern, text: pattern.split(text),
}
SOURCES = {path: path.read_text() for path in MODULES}


def compiled() -> Iterator[tuple[str, re.Pattern[str], str]]:
    """The patterns that modules keep, and how each is used."""
    everything = "\n".join(SOURCES.values())
    for path, source in SOURCES.items():
        if "re.compile" not in source:
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name, pattern in vars(module).items():
            if isinstance(pattern, re.Pattern) and re.search(rf"^{name}\b.*re\.compile", source, re.MULTILINE):
                for use in sorted(set(re.findall(rf"\b{name}\.(\w+)\(", everything)) & set(USES)):
                    yield f"{path.relative_to(ROOT)}:{name}.{use}", pattern, use


def written_out() -> Iterator[tuple[str, re.Pattern[str], str]]:
    """The patterns that are written where they are used."""
    for path, source in SOURCES.items():
        for node in ast.walk(ast.parse(source)):
            call = node.func if isinstance(node, ast.Call) else None
            if not isinstance(node, ast.Call) or not isinstance(call, ast.Attribute) or call.attr not in USES:
                continue
            if isinstance(call.value, ast.Name) and call.value.id == "re":
                given = node.args[0]
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                assert isinstance(given, ast.Constant), f"{where}: a pattern that is made up of parts needs a name"
                yield f"{where} {call.attr}", re.compile(str(given.value)), call.attr


PATTERNS = {where: (pattern, use) for where, pattern, use in [*compiled(), *written_out()]}


def adversarial(pattern: re.Pattern[str], length: int) -> Iterator[str]:
    """Long runs of a sign, or of one of the pattern's own words, after each of those words, with and without an end."""
    words = list(dict.fromkeys(re.findall(r"[A-Za-z]{2,}", pattern.pattern)))[:12]
    begins = ["", *words, *(f"{word}:" for word in words), "/Date(", "C:\\", "http://[", "password=", 'password="']
    for sign in [*SIGNS, *words, *(f"{word} " for word in words)]:
        for begin in begins:
            for end in ENDS:
                yield begin + sign * (length // len(sign)) + end


def work(use: Use, pattern: re.Pattern[str], text: str, times: int) -> int:
    """What it costs, in ns of this thread alone: the least of so many runs."""
    took = []
    for _ in range(times):
        began = time.thread_time_ns()
        use(pattern, text)
        took.append(time.thread_time_ns() - began)
    return min(took)


def too_much(pattern: re.Pattern[str], how: str, length: int = LONG) -> str:
    """The beginning of a text for which a pattern's work grows faster than the text; empty when there is none."""
    use = USES[how]
    for short, long in zip(adversarial(pattern, length // 4), adversarial(pattern, length), strict=True):
        if work(use, pattern, long, 1) > SUSPICIOUS:
            few, many = (work(use, pattern, text, 3) for text in (short, long))
            if many > MOST * few:
                return repr(long[:30])
    return ""


@pytest.mark.parametrize("where", PATTERNS)
def test_no_pattern_costs_more_than_in_proportion_to_its_text(where: str) -> None:
    pattern, use = PATTERNS[where]
    assert too_much(pattern, use) == ""


@pytest.mark.parametrize(
    ("quadratic", "use", "length"),
    [
        (r"[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)+", "findall", 3000),  # searched the log once
        (r"\s*[\r\n]+\s*", "sub", 4000),
        (r"\s*(#.*)?\Z", "search", 4000),
        (r"pwd.*=", "findall", LONG),
    ],
)
def test_the_check_finds_what_is_quadratic(quadratic: str, use: str, length: int) -> None:
    assert too_much(re.compile(quadratic), use, length)


def test_the_patterns_of_every_room_are_found() -> None:
    folders = {Path(where.partition(":")[0]).parent.as_posix() for where in PATTERNS}
    assert {"daemon/alerts/forms", "daemon/exchange", "daemon/remediation/actions"} <= folders
