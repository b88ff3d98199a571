"""Which servers did not answer lately: they are asked about others last. Kept in memory only; a restart asks afresh."""

from datetime import datetime, timedelta

from daemon.domain.ports import LOGON, Call, Clock, Permit, Reply, ReplyKind, Shell

LASTS = timedelta(minutes=5)  #: about as long as a server takes to boot; an answer of its own ends it sooner


class AttentiveShell:
    """A Shell that remembers who gave no usable answer."""

    def __init__(self, shell: Shell, clock: Clock) -> None:
        self._shell = shell
        self._clock = clock
        self._silent: dict[str, datetime] = {}  #: since when

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """See `ports.Shell.run`."""
        reply = await self._shell.run(call, permit)
        if reply.kind in (ReplyKind.OK, ReplyKind.FAILED):
            self._silent.pop(call.executor, None)
        elif reply.kind is not ReplyKind.WITHHELD and reply.error != LOGON:  # those are our own doing
            self._silent[call.executor] = self._clock.now()
        return reply

    async def close(self) -> None:
        """See `ports.Shell.close`."""
        await self._shell.close()

    def silent(self) -> frozenset[str]:
        """The servers whose last answer failed to come within the last minutes."""
        now = self._clock.now()
        return frozenset(name for name, at in self._silent.items() if timedelta(0) <= now - at < LASTS)
