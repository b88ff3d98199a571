"""The documents, taken apart by a Markdown parser: what is code, what is a link, what is a heading."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCUMENTS = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@cache
def _tokens(document: Path) -> tuple[Token, ...]:
    found: list[Token] = []
    for token in MarkdownIt("commonmark").enable("table").parse(document.read_text("utf-8")):
        found += [token, *(token.children or [])]
    return tuple(found)


def code(document: Path) -> Iterator[str]:
    """Each span of code, and each line of each block of code, without what stands around it."""
    for token in _tokens(document):
        if token.type == "code_inline":
            yield token.content
        elif token.type in {"fence", "code_block"}:
            yield from (line.strip() for line in token.content.splitlines())


def block(document: Path, heading: str) -> list[str]:
    """The lines of the first block of code below a heading, empty ones left out."""
    tokens = _tokens(document)
    below = next(n for n, t in enumerate(tokens) if t.type == "inline" and t.content == heading)
    found = next(t for t in tokens[below:] if t.type in {"fence", "code_block"})
    return [line.strip() for line in found.content.splitlines() if line.strip()]


def links(document: Path) -> Iterator[str]:
    for token in _tokens(document):
        if token.type == "link_open":
            yield str(token.attrs["href"])


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    tokens = _tokens(document)
    headings = [tokens[number + 1].content for number, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(document: Path, heading: str) -> list[list[str]]:
    """The cells of each row of the first table below a heading, its head left out."""
    tokens = _tokens(document)
    below = next(n for n, t in enumerate(tokens) if t.type == "inline" and t.content == heading)
    begin = next(n for n, t in enumerate(tokens) if n > below and t.type == "tbody_open")
    end = next(n for n, t in enumerate(tokens) if n > begin and t.type == "tbody_close")
    table: list[list[str]] = []
    for number in range(begin, end):
        if tokens[number].type == "tr_open":
            table.append([])
        elif tokens[number].type == "td_open":
            table[-1].append(tokens[number + 1].content)
    return table
