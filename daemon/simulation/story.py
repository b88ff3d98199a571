"""What befalls a daemon in a simulation, as data: a story can be told, cut short and played again."""

from dataclasses import dataclass, field
from typing import Literal

from daemon.config.guardrails import SharedCause, Storms

Away = Literal["bus", "journal", "notifier"]
Command = Literal["pause", "resume", "release", "close", "undo", "approve", "decline", "add_window", "end_window"]
Place = str  #: a port and its verb, such as `store.commit` or `shell.reboot`


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """The `nth` use (from 1) of a port's verb goes wrong. Kinds are those of `generate.MISHAPS`."""

    place: Place
    nth: int
    kind: str

    def __str__(self) -> str:
        return f"{self.place}, use {self.nth}: {self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Something that happens `at` so many seconds after the start, whatever the daemon does."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Timed):
    """Somebody publishes on the bus, so many `copies` of the very same message."""

    topic: str
    payload: bytes
    copies: int = 1

    @property
    def pauses(self) -> bool:
        """Whether it is a pause, and no alert."""
        return "/control/pause" in self.topic

    def __str__(self) -> str:
        times = "" if self.copies == 1 else f", {self.copies} times"
        return f"publishes on {self.topic}{times}: {self.payload.decode(errors='replace')[:160]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break(Timed):
    """A server of the organisation breaks."""

    server: str
    fault: str
    options: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.options)
        return f"{self.server}: {self.fault}{' (' + options + ')' if options else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure(Timed):
    """A fault of a server ends."""

    server: str
    fault: str

    def __str__(self) -> str:
        return f"{self.server}: no longer {self.fault}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage(Timed):
    """The bus, the journal or the channel to humans is away for so many seconds."""

    of: Away
    seconds: float

    def __str__(self) -> str:
        return f"the {self.of} is away for {self.seconds:.0f} seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep(Timed):
    """The daemon's clock is stepped by so many seconds."""

    seconds: float

    def __str__(self) -> str:
        return f"the daemon's clock is stepped by {self.seconds:+.0f} seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(Timed):
    """The daemon is killed, or asked to stop (`gently`), and started again."""

    gently: bool = False

    def __str__(self) -> str:
        return "the daemon is asked to stop" if self.gently else "the daemon is killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Timed):
    """An operator's command; `about` counts among what it can be about (incidents, quarantined servers, windows).

    `first`: an answer to the first question of the incident, whatever it asks by now. Of a window that is added `about`
    gives kind and length, and `server` what it is for; empty: all. A pause too is of a `server`, `dag:NAME`, or all.
    """

    command: Command
    about: int = 0
    first: bool = False
    server: str = ""

    def __str__(self) -> str:
        return f"an operator: {self.command} {self.server}".rstrip()


#: So many fall ill within a story that hardly anything would be done otherwise, and nothing learnt of it.
EACH_FOR_ITSELF = SharedCause(servers=1000, share=1.0)

Event = Publish | Break | Cure | Outage | ClockStep | Kill | Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that befalls one daemon. `observed`: servers on which it may only look; `asking`: where it asks first.

    `storms`: its caps on new incidents. `shared_cause`: how many with one problem it leaves alone.
    """

    seed: int
    events: tuple[Event, ...]
    mishaps: tuple[Mishap, ...]
    observed: frozenset[str] = frozenset()
    asking: frozenset[str] = frozenset()
    storms: Storms = field(default_factory=Storms)
    shared_cause: SharedCause = EACH_FOR_ITSELF
    calm_after: float = 900.0  #: seconds after the last event until no port goes wrong any more

    def __len__(self) -> int:
        return len(self.events) + len(self.mishaps)
