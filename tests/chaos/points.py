"""Where the daemon can be killed: points of an incident's way, named by what has happened and not by a count.

Two points are equal when the same is on disk and the same was done to the servers. So with nothing sent between two
commits there is one point between them, however much is read there. Around an effect there are five: the intent is
committed; the command was accepted and its script not sent; the script was sent; it was carried out and the answer not
heard; the answer was heard and the outcome not committed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place at which the process can be killed.

    `way` is whose it is and how far it had come: ladder, kind of server, and the outcomes so far; empty for points of
    the loops around. `step`: the id of the step it belongs to, if any.
    """

    side: str  #: before, after; for an effect commanded, sent, carried out, answered
    what: str
    way: str = ""
    step: str = ""

    @property
    def name(self) -> str:
        """What a kill is ordered by, and told by."""
        return " | ".join(part for part in (self.way, self.what, self.side) if part)

    def line(self) -> str:
        """It in a trace."""
        return json.dumps(asdict(self))


def read(lines: Iterable[str]) -> list[Point]:
    """The points of a trace, each once, in the order in which they were first passed."""
    found: dict[str, Point] = {}
    for line in lines:
        point = Point(**json.loads(line))
        found.setdefault(point.name, point)
    return list(found.values())


def distinct(points: Iterable[Point]) -> list[Point]:
    """One of each set of equal points: of those around a commit the later, unless a call came between."""
    kept: list[Point] = []
    answered: set[str] = set()
    for point in points:
        if point.side == "answered":
            answered.add(point.step)
        elif point.way and point.side == "before":
            if point.what == "opened" or point.step in answered:
                kept.append(point)
            answered.discard(point.step)
        else:
            kept.append(point)
    return kept


def extended(way: list[str], told: str) -> list[str]:
    """A way, one outcome further. Turns of waiting that are alike count once: how many there are is by chance."""
    further = [*way, told]
    return further[:-2] if further[-2:] == further[-4:-2] else further


def merge_key(point: Point, outcomes: Mapping[str, str]) -> str:
    """Points of two branches with the same key are one: same ladder, same way, and the same becomes of the step."""
    return f"{point.name} | {outcomes.get(point.step, '')}"


def outcomes(points: Iterable[Point]) -> dict[str, str]:
    """What became of each step."""
    return {point.step: point.what for point in points if point.step and point.what.startswith("outcome ")}
