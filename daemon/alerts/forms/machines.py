"""Names of machines as sources write them: with a domain before or behind, in a path, or in a sentence."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from daemon.exchange.struck import struck_out

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*")
_ACCOUNT = re.compile(r"[^\\/\s]{1,253}[\\/]([^\\/\s]{1,253})\$")
_BETWEEN = re.compile(r"[;,|/\\()\[\]<>\"'=:]+|(?<=\s)-(?=\s)")
_WORD = re.compile(r"[\w.-]+")
_READ: Final = 4096  #: characters of a text that are searched for names
_MOST: Final = 40  #: names of one field


def is_host_name(text: str) -> bool:
    """Whether a text is a host name, short or full."""
    return _HOST.fullmatch(text) is not None


def machine(text: str) -> tuple[str, ...]:
    r"""The machine that a field names: `ex1.contoso.com`, `EX1`, `ex1.contoso.com.` or `CONTOSO\EX1$`."""
    if account := _ACCOUNT.fullmatch(text.strip()):
        text = account[1]
    return tuple(_hosts([text])) or in_path(text)


def in_path(text: str) -> tuple[str, ...]:
    """The machines among the elements of an object's path, or of its full name."""
    return tuple(islice(_hosts(_elements(text)), _MOST))


def in_display_name(text: str) -> tuple[str, ...]:
    """The machines that an object's display name gives: as one of its elements, or in full within a sentence."""
    words = (word for word in _words(text) if "." in word)
    return tuple(dict.fromkeys(islice(_hosts([*_elements(text), *words]), _MOST)))


def in_text(text: str) -> tuple[str, ...]:
    """What may be machines in a sentence: a name with a dot or a digit in it. Most are none; the inventory knows."""
    told = struck_out(text[:_READ])  # a password has digits too, and what is found here is stored
    words = (word for word in _words(told) if not word.isalpha() and not word.replace(".", "").isdigit())
    return tuple(dict.fromkeys(islice(_hosts(words), _MOST)))


def _elements(text: str) -> Iterator[str]:
    return (each for each in _BETWEEN.split(text[:_READ]) if each)


def _words(text: str) -> Iterator[str]:
    return (word[0].strip(".-") for word in _WORD.finditer(text[:_READ]))


def _hosts(texts: Iterator[str] | list[str]) -> Iterator[str]:
    for text in texts:
        name = text.strip().removesuffix("$").rstrip(".")
        if is_host_name(name):
            yield name
