"""A network between the daemon and the servers that a test can hold up, or break where it wants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

Holds = Callable[[], Awaitable[bool]]


class Relay:
    """Passes TCP connections on.

    `holds` is asked at each new one; while it says yes, none of its bytes passes. `breaks` is asked of what a server
    answers; where it says yes, the connection ends behind that.
    """

    def __init__(self) -> None:
        self.held = asyncio.Event()  #: a connection is being held
        self.holds: Holds | None = None
        self.breaks: Callable[[bytes], bool] = lambda _: False
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def endpoint(self, url: str) -> str:
        """A URL that leads to the same endpoint through this relay."""
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._tasks.add(task)
            try:
                await self._pass_on(reader, writer, str(parts.hostname), int(parts.port or 0))
            finally:
                self._tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return f"{parts.scheme}://127.0.0.1:{port}{parts.path}"

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        try:
            if self.holds is not None and await self.holds():
                self.held.set()
                while await reader.read(65536):  # until the daemon gives up, or is gone
                    pass
                return
            far_reader, far_writer = await asyncio.open_connection(host, port)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pump(reader, far_writer))
                    both.create_task(_pump(far_reader, writer, self.breaks))
            finally:
                far_writer.close()
        except (OSError, ExceptionGroup):
            pass  # one end is gone: so is the other
        finally:
            writer.close()

    async def close(self) -> None:
        """Cut everything."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, breaks: Callable[[bytes], bool] = lambda _: False
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            if breaks(data):
                break
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def relay() -> AsyncIterator[Relay]:
    """A relay that is cut when left."""
    between = Relay()
    try:
        yield between
    finally:
        await between.close()
