"""Windows: spans of time in which less may be done. Records, without I/O; `daemon.gates.windows` reads them."""

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum


class WindowKind(StrEnum):
    """What a window means for the servers in its scope."""

    MAINTENANCE = "maintenance"  # nothing is done
    FREEZE = "freeze"  # nothing but a restart
    BUSINESS_HOURS = "business_hours"  # no moves and reboots


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From a moment, to before another."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """On these days (Monday is 0) from a local time until another, on the next day if that is not later."""

    days: tuple[int, ...]
    begins: time
    ends: time
    zone: str  #: IANA name, such as Europe/Paris


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window and the servers it is for: those named, those of its DAGs and sites; with none of them, all.

    Without `added_at` it is from the configuration.
    """

    kind: WindowKind
    name: str
    when: Span | Weekly
    servers: tuple[str, ...] = ()
    dags: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    added_at: datetime | None = None
    added_by: str = ""
    reason: str = ""
    ended_by: str = ""  #: who ended it before its time

    @property
    def title(self) -> str:
        """Its kind and name, in a sentence."""
        return f"{self.kind.value.replace('_', ' ')} {self.name}"

    @property
    def scope(self) -> str:
        """What it is for, in words."""
        named = (("", self.servers), ("DAG ", self.dags), ("site ", self.sites))
        return ", ".join(f"{what}{name}" for what, names in named for name in names) or "all servers"
