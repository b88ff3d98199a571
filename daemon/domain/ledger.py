"""The ledger: counts that must balance, each taken from its own source.

What is counted as it is committed is held against the rows that are there, so that a row which was lost, deleted or
changed by anything but the daemon shows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Two figures that should be one."""

    name: str  #: which of the sums, the same at each check
    counted: int
    found: int
    text: str  #: both figures in a sentence

    @property
    def size(self) -> int:
        """By how much they differ."""
        return abs(self.counted - self.found)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The counts that must balance."""

    accepted: int  #: alerts of messages acknowledged to the broker, counted as they were committed
    stored: int  #: rows of alerts
    duplicates: int  #: deliveries dropped by the unique key
    alerts: Mapping[str, int]  #: rows by status
    opened: int  #: incidents opened, counted as they were committed
    incidents: Mapping[str, int]  #: rows by status
    counted: Mapping[str, int]  #: `alerts pending`, `incidents open` and so on, as the commits counted them
    told: Mapping[str, int]  #: the mismatches a human was told of, by name, with their size then
    dropped: int = 0  #: deliveries whose rows were forgotten, counted as they were
    forgotten: int = 0  #: incidents that were
    strays: Mapping[str, int] | None = None  #: rows that refer to a missing one, by kind; None: not looked for

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """Everything that does not add up."""
        return tuple(each for each in self._sums() if each.size)

    @property
    def imbalance(self) -> str:
        """What does not add up, in words; empty when everything does."""
        return "; ".join(each.text for each in self.mismatches)

    def _sums(self) -> Iterator[Mismatch]:
        kept = self.stored + self.duplicates + self.dropped
        stored = sum(self.incidents.values()) + self.forgotten
        yield Mismatch(
            "accepted",
            self.accepted,
            kept,
            f"{self.accepted} alerts were accepted from the broker, but {self.stored} are stored and "
            f"{self.duplicates} repetitions counted{self._and(self.dropped)}, together {kept}",
        )
        yield Mismatch(
            "opened",
            self.opened,
            stored,
            f"{self.opened} incidents were opened, but {stored - self.forgotten} incidents are stored"
            f"{self._and(self.forgotten)}",
        )
        for what, rows in (("alerts", self.alerts), ("incidents", self.incidents)):
            for status, found in rows.items():
                counted = self.counted.get(f"{what} {status}", 0)
                text = f"{counted} {what} should be {status}, but {found} are"
                yield Mismatch(f"{what} {status}", counted, found, text)
        for kind, number in (self.strays or {}).items():
            yield Mismatch(kind, 0, number, f"{number} rows of {kind} that they refer to")

    @staticmethod
    def _and(forgotten: int) -> str:
        return f" and {forgotten} forgotten" if forgotten else ""

    def as_json(self) -> dict[str, Any]:
        """All figures, and what does not add up, for those who ask how the daemon stands."""
        return {
            "accepted": self.accepted,
            "stored": self.stored,
            "duplicates": self.duplicates,
            "alerts": dict(self.alerts),
            "dropped": self.dropped,
            "forgotten": self.forgotten,
            "opened": self.opened,
            "incidents": dict(self.incidents),
            "mismatches": {each.name: each.text for each in self.mismatches},
            "told": list(self.told),
        }
