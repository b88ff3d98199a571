"""One try of one call, shared by the event loop, which waits, and the thread that carries it out.

The loop may give the try up at any moment; the thread may be about to send. Whoever takes the lock first decides, so
that what is reported as never sent never was.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

from daemon.domain.ports import LOGON, Call, Permit, Reply, ReplyKind

CLEANUP = 15.0  #: real seconds that a thread may spend after the deadline on closing its shell


class Stop(Exception):  # noqa: N818 - the end of a conversation, not always a fault
    """A conversation cannot go on. `again`: another try may do better. `error`: the error of the reply."""

    error = ""

    def __init__(self, detail: str, *, again: bool = True) -> None:
        self.detail = detail
        self.again = again
        super().__init__(detail)


class Refused(Stop):
    """No logon: the password was refused, or is not offered. Nobody else may be offered it instead."""

    error = LOGON

    def __init__(self, detail: str) -> None:
        super().__init__(detail, again=False)


class Withheld(Exception):  # noqa: N818 - the port's word
    """The permit was refused."""


@dataclass(frozen=True, slots=True)
class End:
    """How a try ended. `again`: another try may do better."""

    reply: Reply
    again: bool = False


class Attempt:
    """A try, from the request for a thread to the closed shell. `until` is on `time.monotonic`."""

    def __init__(self, call: Call, permit: Permit | None, until: float) -> None:
        self.call = call
        self.until = until
        self._permit = permit
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._lock = threading.Lock()
        self._sent = False
        self._given_up = False
        self._cuts: list[Callable[[], None]] = []
        self._closing: list[Callable[[], None]] = []

    @property
    def left(self) -> float:
        """Real seconds to the deadline."""
        return self.until - time.monotonic()

    async def wait(self) -> End:
        """The end, at the deadline at the latest. Cancelled or too late, the try is given up."""
        try:
            done, _ = await asyncio.wait({self._end}, timeout=max(self.left, 0.0))
        except asyncio.CancelledError:
            self._give_up()
            raise
        return self._end.result() if done else self.late()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Around everything that starts the effect. Inside, nobody can say any more that it was not sent.

        Raises:
            Withheld: the permit was refused, or could not be asked.
            Stop: the try was given up.
        """
        with self._ask() as allowed:
            if not allowed:
                raise Withheld
            with self._lock:
                if self._given_up:
                    raise Stop("given up before it was sent", again=False)
                self._sent = True
            yield

    def lost(self, detail: str, *, again: bool, error: str = "") -> End:
        """The end of a try without a usable answer: `unknown` once it may have been sent, else `unreachable`."""
        kind = ReplyKind.UNKNOWN if self._sent else ReplyKind.UNREACHABLE
        moment = "after" if self._sent else "before"
        text = f"{self.call.script} on {self.call.executor}: {detail} ({moment} the command was sent)"
        return End(Reply(kind=kind, result={}, error=error, detail=text), again=again)

    def late(self) -> End:
        """The end of a try whose deadline has passed: given up, and it says after how long."""
        self._give_up()
        return self.lost(f"no end within {self.call.timeout:g} seconds", again=False)

    def deliver(self, end: End) -> None:
        """Hand the end to the loop; called in the thread, before it cleans up."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
            self._loop.call_soon_threadsafe(self._settle, end)

    def on_cut(self, cut: Callable[[], None], *, closing: bool = False) -> None:
        """Register what breaks a connection of the thread off; `closing`: one that was made to close the shell."""
        with self._lock:
            (self._closing if closing else self._cuts).append(cut)

    def cut(self, *, closing: bool = False) -> None:
        """Break the call's connection off: a server that answers byte by byte would hold the thread for ever.

        `closing`: and the one that closes the shell. At the deadline the thread may have begun with that already: cut
        then, the shell would be left behind.
        """
        with self._lock:
            cuts = [*self._cuts, *(self._closing if closing else ())]
        for one in cuts:
            one()

    def _ask(self) -> AbstractContextManager[bool]:
        return nullcontext(True) if self._permit is None else self._permit()

    def _settle(self, end: End) -> None:
        if not self._end.done():
            self._end.set_result(end)

    def _give_up(self) -> bool:
        """Forbid the sending; returns whether it is too late for that."""
        with self._lock:
            self._given_up = True
            return self._sent
