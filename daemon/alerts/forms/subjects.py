"""Which health set and which monitor an alert is about.

By the sentence of the management pack first. An alert in another language, or with a placeholder that was never filled
in, is told by the names in it, which nobody translates: those of the object first, since the texts also speak of
others.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from daemon.alerts.forms.known import Names, health_set_of_service, services
from daemon.alerts.forms.rejected import Rejected

NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")

_QUOTE = "[\"'\u2018-\u201f\u00ab\u00bb\u2039\u203a]"
_MENTION = re.compile(
    rf"(?<!\S){_QUOTE}?(?P<health_set>[A-Za-z0-9_.-]{{1,128}}){_QUOTE}?\s+health\s+set\s+"
    rf"(?P<maintenance>maintenance\s+)?unhealthy\b(?:\s*\((?P<monitor>[^/)]{{0,200}})[/)])?",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\{[0-9]{1,2}\}")
_IN_BRACKETS = re.compile(rf"\(\s*{_QUOTE}?([A-Za-z0-9_.-]{{1,120}}Monitor){_QUOTE}?\s*[/)]", re.IGNORECASE)
_ARTICLE = re.compile(r"ms\.exch\.scom\.([A-Za-z0-9_.-]{1,128})\(", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
#: `maintenance` as the management pack's languages have it, in the name of the monitor that is never remediated.
_MAINTENANCE = re.compile(
    r"\b(?:maintenance|wartungs?\w*|mantenimiento|manutenzione|manutenção|onderhoud)\b", re.IGNORECASE
)
_READ: Final = 32 * 1024  #: characters of a text that are searched for names
_WORDS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What an alert says of itself and of its object; empty where it says nothing."""

    name: str
    description: str
    display_name: str
    object_name: str
    full_name: str  #: class:path;name

    @property
    def told(self) -> tuple[str, str]:
        """The texts for people, the title first."""
        return self.name, self.description

    @property
    def object(self) -> tuple[str, ...]:
        """The names of the object, the last part of its full name included."""
        last = self.full_name.rpartition(";")[2] if ";" in self.full_name else ""
        return self.display_name, self.object_name, last.strip()


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alert is about. `monitor` is empty when it names only the health set, or neither."""

    text: str
    health_set: str = ""
    monitor: str = ""
    maintenance: bool = False


def subject(texts: Texts, names: Names) -> Subject:
    """What an alert is about; without a health set where nothing in it tells.

    Raises:
        Rejected: it mentions a monitor that is not a name.
    """
    mentions = [found for field, text in (("Name", texts.name), ("Description", texts.description))
                if (found := _mentioned(field, text))]  # fmt: skip
    if mentions:
        return _as_mentioned(mentions, texts, names)
    monitor = _monitor(texts, names, "")
    health_set = _of_object(texts, names) or names.of_monitor(monitor) or _in_passing(texts, names)
    if monitor and not _fits(monitor, health_set, names):
        monitor = ""
    text = texts.name or texts.description
    if _PLACEHOLDER.search(text):
        text = f"{texts.name} {texts.description}"
    return Subject(text, health_set, monitor, bool(health_set and _MAINTENANCE.search(texts.name[:_READ])))


def _as_mentioned(mentions: list[Subject], texts: Texts, names: Names) -> Subject:
    first = mentions[0]
    health_set = first.health_set
    if not names.health_set(health_set):
        # "The Health Set unhealthy": the word before it is none, where the object says better.
        health_set = _of_object(texts, names) or health_set
    same = [each for each in mentions if each.health_set.lower() == first.health_set.lower()]
    monitor = next((each.monitor for each in same if each.monitor), "") or _monitor(texts, names, health_set)
    maintenance = any(each.maintenance for each in mentions)
    # As Exchange spells them, whatever the route made of their case.
    return Subject(
        first.text, names.health_set(health_set) or health_set, names.monitor(monitor) or monitor, maintenance
    )


def _mentioned(field: str, text: str) -> Subject | None:
    mention = _MENTION.search(text)
    if mention is None:
        return None
    monitor = (mention["monitor"] or "").strip().strip("\"'\u2018\u2019\u201c\u201d\u201e")
    if _PLACEHOLDER.fullmatch(monitor):
        monitor = ""
    if monitor and not NAME.fullmatch(monitor):
        raise Rejected(f"{field} mentions a monitor that is not a name")
    return Subject(text, mention["health_set"], monitor, bool(mention["maintenance"]))


def _of_object(texts: Texts, names: Names) -> str:
    """The health set that the object is: by a known name, or because its class says that it is one."""
    known = next((found for name in texts.object if (found := names.health_set(name))), "")
    if known or "healthset:" not in texts.full_name.lower():
        return known
    last = texts.object[-1]
    return last if NAME.fullmatch(last) else ""


def _in_passing(texts: Texts, names: Names) -> str:
    """The health set that the texts name: by the article about it, by a service, or by its name in a sentence."""
    for text in texts.told:
        if (article := _ARTICLE.search(text[:_READ])) and NAME.fullmatch(article[1]):
            return names.health_set(article[1]) or article[1]
    stopped = {found for text in (*texts.told, *texts.object) for found in services(text[:_READ])}
    if len(stopped) == 1:
        return health_set_of_service(stopped.pop())
    for text in texts.told:
        found = {known for word in _words(text) if (known := names.health_set(word)) and _no_plain_word(word)}
        longest = [each for each in found if not any(other.startswith(f"{each}.") for other in found)]
        if len(longest) == 1:
            return longest[0]
    return ""


def _no_plain_word(word: str) -> bool:
    """Whether it cannot be a word of a sentence, as `Search` or `memory` can."""
    return "." in word or sum(letter.isupper() for letter in word) > 1


def _monitor(texts: Texts, names: Names, health_set: str) -> str:
    """The one monitor that the texts name; empty where they name none, or several of which any may be meant."""
    for text in (*texts.told, *texts.object):
        found = {known for word in _words(text) if (known := names.monitor(word))}
        if bracket := _IN_BRACKETS.search(text[:_READ]):
            found = {names.monitor(bracket[1]) or bracket[1]}
        fitting = {each for each in found if _fits(each, health_set, names)}
        if fitting:
            return fitting.pop() if len(fitting) == 1 else ""
    return ""


def _fits(monitor: str, health_set: str, names: Names) -> bool:
    return not health_set or not names.monitor(monitor) or names.belongs(monitor, health_set)


def _words(text: str) -> Iterable[str]:
    """The words of a text that may be names, without the full stop behind them."""
    return (word[0].strip(".-") for word in islice(_WORD.finditer(text[:_READ]), _WORDS))
