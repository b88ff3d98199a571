"""A network that loses packets: sockets stay open, nothing is refused, and nothing passes.

What was sent meanwhile arrives when the network heals, as TCP's retransmissions would: late. That is the worst case,
since a command may arrive long after its sender has given it up.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Condition = Callable[[], Awaitable[bool]]

_REQUEST = b"POST /wsman"  # a WinRM request begins with it, and its sealed body does not contain it


class Network:
    """Passes TCP connections on until it is cut, in one direction or both."""

    def __init__(self) -> None:
        self._out = asyncio.Event()
        self._back = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._only_when: Condition | None = None
        self._requests = 0
        self.struck = asyncio.Event()  #: the request that `cut_before_request` waits for has come, and is held
        self.heal()

    def cut(self, *, out: bool = True, back: bool = True) -> None:
        """Drop everything from now on: what the daemon sends (`out`), what it is sent (`back`)."""
        if out:
            self._out.clear()
        if back:
            self._back.clear()

    def heal(self) -> None:
        """Let everything pass again, first what was held."""
        self._out.set()
        self._back.set()

    def cut_before_request(self, number: int, when: Condition) -> None:
        """Cut both directions as the numbered HTTP request (from 1) of a connection comes, once.

        Only connections that are made when `when` holds are counted.
        """
        self._requests, self._only_when = number, when

    async def port(self, host: str, port: int) -> int:
        """A port of 127.0.0.1 that leads to another one over this network."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._tasks.add(task)
            try:
                with contextlib.suppress(asyncio.CancelledError):  # `close`; asyncio would report it as an error
                    await self._carry(reader, writer, host, port)
            finally:
                self._tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        own: int = server.sockets[0].getsockname()[1]
        return own

    async def endpoint(self, url: str) -> str:
        """A URL that leads to the same WinRM endpoint over this network."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        return f"{parts.scheme}://127.0.0.1:{await self.port(parts.hostname, parts.port)}{parts.path}"

    async def close(self) -> None:
        """Break everything off."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        counted = self._only_when is not None and await self._only_when()
        try:
            await self._out.wait()  # even the first packet is lost
            far_reader, far_writer = await asyncio.open_connection(host, port)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, far_writer, self._out, counted=counted))
                    both.create_task(self._pump(far_reader, writer, self._back))
            finally:
                far_writer.close()
        except (OSError, ExceptionGroup):
            pass  # one end is gone: so is the other
        finally:
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: asyncio.Event, *, counted: bool = False
    ) -> None:
        seen = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                seen += data.count(_REQUEST)
                if counted and seen >= self._requests and self._only_when is not None:
                    self._only_when = None
                    self.cut()
                    self.struck.set()
                await way.wait()
                writer.write(data)
                await writer.drain()
        await way.wait()  # the goodbye is a packet as well
        writer.close()
