"""Which servers did not answer lately: they are asked about others last. Kept in memory only; a restart asks afresh.

A server may answer and still be no use to others: one whose Exchange opens no session says no each time. What needs no
session works there all the same, so such an answer does not end that.
"""

from datetime import datetime, timedelta

from daemon.domain.ports import LOGON, Call, Clock, Permit, Reply, ReplyKind, Shell
from daemon.exchange.launch import ON_THEIR_OWN
from daemon.exchange.opening import unopened

LASTS = timedelta(minutes=5)  #: about as long as a server takes to boot; an answer of its own ends it sooner


class AttentiveShell:
    """A Shell that remembers who gave no usable answer."""

    def __init__(self, shell: Shell, clock: Clock) -> None:
        self._shell = shell
        self._clock = clock
        self._silent: dict[str, datetime] = {}  #: since when
        self._useless: dict[str, datetime] = {}  #: answers, but not about others

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """See `ports.Shell.run`."""
        reply = await self._shell.run(call, permit)
        if reply.kind in (ReplyKind.OK, ReplyKind.FAILED):
            self._silent.pop(call.executor, None)
            if call.script not in ON_THEIR_OWN and reply.error != LOGON:
                self._note_about_others(call.executor, reply)
        elif reply.kind is not ReplyKind.WITHHELD and reply.error != LOGON:  # those are our own doing
            self._silent[call.executor] = self._clock.now()
        return reply

    async def close(self) -> None:
        """See `ports.Shell.close`."""
        await self._shell.close()

    def silent(self) -> frozenset[str]:
        """The servers whose last answer, or last answer about another, failed to come within the last minutes."""
        now = self._clock.now()
        known = (*self._silent.items(), *self._useless.items())
        return frozenset(name for name, at in known if timedelta(0) <= now - at < LASTS)

    def _note_about_others(self, executor: str, reply: Reply) -> None:
        if reply.error == "broken" or unopened(reply.error, reply.detail):
            self._useless[executor] = self._clock.now()
        else:
            self._useless.pop(executor, None)
