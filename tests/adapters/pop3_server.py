"""A small POP3 server for tests, with TLS from the start or by STLS, that can be told to misbehave."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.realparts.certificates import Certificates
from tests.realparts.waiting import HANG


@dataclass
class Behaviour:
    """How the server treats its next clients."""

    greeting: bytes = b"+OK Microsoft Exchange Server POP3 service is ready.\r\n"
    hangs_at: str = ""  # "connect", or the command it never answers
    drips: bool = False  # answers CAPA for ever, a line now and then
    offers_stls: bool = True
    password: str = "secret"
    heard: list[str] = field(default_factory=list)  # commands, "tls" when it is switched on


class Pop3Server(socketserver.ThreadingTCPServer):
    """Listens on a free port of loopback."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, files: Certificates | None, behaviour: Behaviour, *, implicit: bool) -> None:
        self.behaviour, self.implicit = behaviour, implicit
        self.context = None
        if files is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(files.server, files.server_key)
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), _Client)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is what some tests are about."""


class _Client(socketserver.BaseRequestHandler):
    server: Pop3Server

    def handle(self) -> None:
        behaviour = self.server.behaviour
        if behaviour.hangs_at == "connect":
            self.server.released.wait(HANG)
            return
        if self.server.implicit:
            self._secure()
        self.request.sendall(behaviour.greeting)
        while line := self._line():
            command, _, argument = line.strip().partition(" ")
            behaviour.heard.append(command.upper())
            if behaviour.hangs_at == command.upper():
                self.server.released.wait(HANG)
                return
            if not self._answer(command.upper(), argument):
                return
            if command.upper() == "STLS":
                self._secure()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self.request.close()

    def _secure(self) -> None:
        assert self.server.context is not None
        self.request: socket.socket = self.server.context.wrap_socket(self.request, server_side=True)
        self.server.behaviour.heard.append("tls")

    def _line(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            byte = self.request.recv(1)  # unbuffered: what follows STLS belongs to TLS
            if not byte:
                return ""
            line += byte
        return line.decode()

    def _answer(self, command: str, argument: str) -> bool:
        behaviour = self.server.behaviour
        if command == "CAPA" and behaviour.drips:
            self.request.sendall(b"+OK\r\n")
            while not self.server.released.wait(0.05):
                self.request.sendall(b"TOP\r\n")
            return False
        answers: dict[str, Callable[[], bytes]] = {
            "CAPA": lambda: b"+OK\r\nTOP\r\nUIDL\r\n" + (b"STLS\r\n" if behaviour.offers_stls else b"") + b".\r\n",
            "STLS": lambda: b"+OK Begin TLS negotiation.\r\n",
            "USER": lambda: b"+OK\r\n",
            "PASS": lambda: (
                b"+OK User successfully logged on.\r\n"
                if argument == behaviour.password
                else f"-ERR Logon failure for {argument}\r\n".encode()
            ),
            "QUIT": lambda: b"+OK Microsoft Exchange Server POP3 server signing off.\r\n",
        }
        self.request.sendall(answers.get(command, lambda: b"-ERR Protocol error\r\n")())
        return command != "QUIT"


@contextlib.contextmanager
def pop3_server(
    files: Certificates | None, behaviour: Behaviour | None = None, *, implicit: bool = False
) -> Iterator[Pop3Server]:
    """A server in a thread of its own; what hangs in it is released at the end."""
    with Pop3Server(files, behaviour or Behaviour(), implicit=implicit) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
