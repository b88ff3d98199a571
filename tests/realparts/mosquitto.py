"""A real mosquitto on a free loopback port, which can be killed and started again with what it had on disk."""

import asyncio
import contextlib
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
from aiomqtt import ProtocolVersion

from tests.realparts.process import RealProcess
from tests.realparts.waiting import HANG, eventually_sync

_PORTS_TO_TRY = 5  # another process may take a free port between our asking and the broker's binding
# Below the ports that the kernel gives to connections: a broker that was stopped finds its own still free.
_PORTS = range(20_000, 32_000)

#: Everything is kept, and on the disk as soon as it is taken.
PERSISTENCE = """\
persistence true
autosave_interval 1
autosave_on_changes true
max_queued_messages 0
max_queued_bytes 0"""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and that no outgoing connection is given later."""
    for port in random.sample(_PORTS, k=50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("of 50 ports of 127.0.0.1, none was free")


def _binary() -> str:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    assert found, "mosquitto is not installed, and these tests need the real one: make system-test"
    return found


class Mosquitto(RealProcess):
    """One broker with its files in `directory`. `extra` is appended to its configuration.

    `persistence`: how it keeps what it has taken; unless it is told otherwise, it loses nothing.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        directory: Path,
        extra: str = "",
        access: str = "allow_anonymous true",
        persistence: str = PERSISTENCE,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.log: list[str] = []
        self._settings = f"{persistence}\n{access}\n{extra}"
        self._drain: threading.Thread | None = None
        for attempt in range(_PORTS_TO_TRY):
            self.port = free_port()
            try:
                self.restart()
            except AssertionError:
                if attempt == _PORTS_TO_TRY - 1:
                    raise
            else:
                return

    def restart(self) -> None:
        """Start the broker on its port with what is on its disk; stops it first if it runs."""
        self.stop()
        config = self.directory / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            # As root, mosquitto would change to a user who cannot write in the test's directory.
            "user root\n"
            f"persistence_location {self.directory}/\n"
            # Not stdout: through a pipe that comes only once 4 KB are full.
            f"log_dest stderr\n{self._settings}\n",
        )
        self._process = subprocess.Popen(
            [_binary(), "-c", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready = threading.Event()
        self._drain = threading.Thread(target=self._read_log, args=(self._process, ready), daemon=True)
        self._drain.start()
        running = ready.wait(HANG) and self._process.poll() is None
        if not running:
            self.stop()
        assert running, "mosquitto did not start:\n" + "\n".join(self.log[-20:])

    def save(self) -> None:
        """Return once everything the broker has taken so far is on its disk."""
        assert self._process
        database = self.directory / "mosquitto.db"

        def written() -> int:
            return database.stat().st_mtime_ns if database.exists() else 0

        before = written()
        self._process.send_signal(signal.SIGUSR1)
        eventually_sync(lambda: written() > before, "mosquitto saved its database")

    async def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        """Publish one message; returns when the broker has taken it."""
        await self.publish_all([(topic, payload)], qos=qos, retain=retain)

    async def publish_all(
        self,
        messages: list[tuple[str, bytes | str]],
        *,
        qos: int = 1,
        retain: bool = False,
    ) -> None:
        """Publish messages in order over one connection."""
        async with aiomqtt.Client(self.host, self.port, protocol=ProtocolVersion.V5) as client:
            for topic, payload in messages:
                await client.publish(topic, payload, qos=qos, retain=retain)

    @contextlib.asynccontextmanager
    async def listen(self, *filters: str) -> AsyncIterator["Inbox"]:
        """An inbox of everything on these topic filters, retained messages first, subscribed when this enters."""
        async with aiomqtt.Client(self.host, self.port, protocol=ProtocolVersion.V5) as client:
            inbox = Inbox(client)
            for topic_filter in filters:
                await client.subscribe(topic_filter, qos=1)
            yield inbox

    async def retained(self, topic: str) -> bytes:
        """The retained message of a topic, waited for until there is one."""
        async with self.listen(topic) as inbox:
            return (await inbox.get())[1]

    def _ended(self, process: subprocess.Popen[str]) -> None:
        if self._drain:
            self._drain.join(HANG)
        if process.stdout:
            process.stdout.close()

    def _read_log(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout
        for line in process.stdout:
            self.log.append(line.rstrip())
            if line.rstrip().endswith(" running"):
                ready.set()
        ready.set()


class Inbox:
    """Messages that a test's own client received, as (topic, payload) in order of arrival."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._messages = client.messages

    async def get(self) -> tuple[str, bytes]:
        """The next message."""
        message = await asyncio.wait_for(anext(self._messages), HANG)
        assert isinstance(message.payload, bytes)
        return str(message.topic), message.payload
