"""At most six Exchange sessions of ours on one server at a time: about 18 for each user are all there are.

The rest are for what was killed: such a session ends by itself after three idle minutes, and in three minutes six
places cannot lose more than twelve.
"""

import asyncio
from collections import defaultdict
from dataclasses import replace

from daemon.domain.ports import Call, Permit, Reply, ReplyKind, Shell
from daemon.exchange.launch import ON_THEIR_OWN

AT_MOST = 6


class BoundedShell:
    """A Shell that lets calls wait for a session, within their own deadline. What opens none does not wait."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_MOST))

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """See `ports.Shell.run`."""
        if call.script in ON_THEIR_OWN:
            return await self._shell.run(call, permit)
        place, loop = self._places[call.executor], asyncio.get_running_loop()
        deadline = loop.time() + call.timeout
        try:
            async with asyncio.timeout_at(deadline):
                await place.acquire()
        except TimeoutError:
            why = f"{AT_MOST} Exchange sessions of ours were open there for {call.timeout:g} seconds"
            detail = f"{call.script} on {call.executor}: {why} (before the command was sent)"
            return Reply(kind=ReplyKind.UNREACHABLE, result={}, detail=detail)
        try:
            return await self._shell.run(replace(call, timeout=deadline - loop.time()), permit)
        finally:
            place.release()

    async def close(self) -> None:
        """See `ports.Shell.close`."""
        await self._shell.close()
