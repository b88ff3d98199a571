"""What the daemon needs from outside, as Protocols. Adapters fulfil them; fakes in `daemon.testing` do too.

The store has a page of its own, `daemon.domain.store`.

One contract suite per port runs against every implementation, so that a fake cannot drift from the real thing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from daemon.domain.audit import AuditRow
from daemon.domain.commits import PageKind
from daemon.domain.pauses import EVERYTHING, NO_TERMS, Standing, Terms
from daemon.domain.values import Json


class Clock(Protocol):
    """Time. In a lab `now` and `sleep` may run fast; `monotonic` never does, since networks do not."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        ...

    def monotonic(self) -> float:
        """Real seconds since some fixed moment, for the age of an answer."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of `now`'s time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message from the bus that is not acknowledged yet. Call `ack` only once it is committed."""

    topic: str
    payload: bytes  #: where `cut_from` is set, only its beginning
    ack: Callable[[], Awaitable[None]]
    retained: bool = False  #: kept by the broker for whoever subscribes later; known of pauses
    cut_from: int | None = None  #: bytes of the whole payload, which was too large to be handed over
    digest: str = ""  #: SHA-256 of the whole payload then, in hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Why the bus is not connected. `todo`: what somebody must change; empty where trying again may be enough."""

    seconds: float  #: real seconds so far
    reason: str
    todo: str = ""


class Bus(Protocol):
    """The alert bus. It reconnects by itself, for ever, with backoff."""

    @property
    def connected(self) -> bool:
        """Whether the session is up and subscribed now."""
        ...

    @property
    def outage(self) -> Outage | None:
        """Why it is not; None while it is."""
        ...

    @property
    def takeovers(self) -> int:
        """How often since the start another client came with our client id and threw us out."""
        ...

    @property
    def fresh_sessions(self) -> int:
        """How many connections since the start found no session at the broker: it kept nothing for us."""
        ...

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Every message of the subscriptions, across reconnections; what is not acknowledged comes again."""
        ...

    def pauses(self) -> AsyncIterator[Delivery]:
        """Every message on the topics of `topics.pause_topic`; they are not among the deliveries."""
        ...

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1; returns when the broker has acknowledged.

        Raises:
            BusDown: not connected, or the acknowledgement did not come; it may have been published.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A shipped script to run on a server. `args` travel as JSON data, never as part of a command."""

    executor: str  #: the server whose endpoint runs the script
    script: str
    args: Json
    step_id: str
    timeout: float  #: hard deadline, in real seconds
    read_only: bool  #: may be sent again when its answer was lost


class ReplyKind(StrEnum):
    """How a call ended."""

    OK = "ok"
    FAILED = "failed"  # the script ran and said no
    UNREACHABLE = "unreachable"  # provably never sent
    WITHHELD = "withheld"  # provably never sent: the permit was refused at the last moment
    UNKNOWN = "unknown"  # sent, and no usable answer


#: The error of a reply to a call that was not logged on for: the password was refused, now or within the last minutes.
#: Whoever else is asked would be offered it as well.
LOGON = "logon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The end of a call. `result` is the script's own JSON object; `clock` the executing server's own time."""

    kind: ReplyKind
    result: Json
    error: str = ""  #: the script's error kind (`daemon.exchange.answers.ErrorKind`), or `LOGON`
    detail: str = ""
    host: str = ""
    clock: datetime | None = None
    powershell: str = ""  #: the version that ran the script; empty: unknown
    warnings: tuple[str, ...] = ()  #: what the script was warned of


#: Entered, in the sending thread, around the request that starts the effect. Yields whether it may start. A pause
#: waits for those inside to leave, so that after it no effect starts.
Permit = Callable[[], AbstractContextManager[bool]]


class KillSwitch(Protocol):
    """Whether effects may start, at all and on a server. Whatever cannot be found out counts as paused."""

    path: Path  #: a file that pauses everything while it exists, whoever made it

    def reason(self, server: str = EVERYTHING) -> str | None:
        """Why no effect may start on a server, or without a name on any; None when effects may start."""
        ...

    def standing(self) -> Mapping[str, str]:
        """What is paused now, by scope, and why."""
        ...

    def orders(self) -> Sequence[Standing]:
        """Each pause by itself, also those whose time is over."""
        ...

    def permit(self, server: str) -> AbstractContextManager[bool]:
        """Entered around sending an effect on a server; yields whether it may be sent."""
        ...

    async def engage(self, reason: str, scope: str = EVERYTHING, terms: Terms = NO_TERMS) -> None:
        """Pause, as ordered. When it returns or raises, no effect starts there any more.

        Raises:
            OSError: the pause could not be made to last: it ends with this process, or with `resume`.
        """
        ...

    async def keep(self, order: Standing) -> None:
        """Know a pause as ordered, over restarts too: from now on only `resume` ends it, or its time.

        One that was ended since it was seen stays ended.

        Raises:
            OSError: it could not be written.
        """
        ...

    async def drop(self, order: Standing) -> None:
        """Take one pause away.

        Raises:
            OSError: it could not be.
        """
        ...

    def resume(self, scope: str = EVERYTHING) -> bool:
        """End all pauses of one scope; False when there was none.

        Raises:
            OSError: it could not be ended.
        """
        ...


class Shell(Protocol):
    """Runs shipped scripts on servers."""

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """Run one script to its answer or its deadline; never raises for what a server or network does.

        `permit` is entered once, in the sending thread, around sending the command: False withholds it.
        Retries happen only while nothing can have been sent, or when the call only reads.
        """
        ...

    async def close(self) -> None:
        """Wait for running calls to end, then free the threads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideView:
    """What a client saw of a server. `detail` is for humans, and holds no secret."""

    good: bool
    detail: str


class Outside(Protocol):
    """Looks at a server as a POP3 client would, from where the daemon runs."""

    async def look(self, server: str) -> OutsideView:
        """Connect once, and say how far a client gets; never raises for what a server or network does.

        A server without an address for this is not asked: that is a defect of the caller.
        """
        ...


class AuditSink(Protocol):
    """Where copies of audit rows go: the journal, or the console."""

    async def emit(self, row: AuditRow) -> None:
        """Hand a row over.

        Raises:
            SinkDown: it was not taken.
        """
        ...


class Notifier(Protocol):
    """Pages humans."""

    async def notify(self, title: str, body: str, kind: PageKind) -> None:
        """Send a page; returns when a channel has accepted it.

        Raises:
            NotifyFailed: none did.
        """
        ...
