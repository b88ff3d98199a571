"""The HTTP side of a lab server: a listening socket, keep-alive connections, all cut when the server goes down."""

import contextlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from daemon.lab import soap
from daemon.lab.faults import Fault
from daemon.lab.model import Simulation
from daemon.lab.organisation import Machine
from daemon.lab.pwsh.playing import Powershell
from daemon.lab.security import Account, CannotDecrypt, ConnectionSecurity
from daemon.lab.wsman import ConnectionCut, WsmanService

_MAX_BODY = 512_000  #: bytes; MaxEnvelopeSizekb, Windows's default of 500
_MAX_CONNECTIONS = 64  #: per server; more wait to be accepted
_IDLE_CONNECTION = 120.0  #: real seconds until an unused connection is closed, Windows's default


class Endpoint:
    """The WinRM endpoint of one server. Refuses connections while the server is down, on the same port throughout."""

    def __init__(
        self,
        simulation: Simulation,
        machine: Machine,
        account: Account,
        host: str,
        port: int,
        *,
        powershell: Powershell | None = None,
    ) -> None:
        self.machine = machine
        self.service = WsmanService(simulation, machine, account, powershell)
        self.account = account
        self._timeline = simulation.timeline
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        # A socket that is bound and does not listen keeps the port ours while connections to it are refused.
        self._reservation = _bound(host, port)
        self.address: tuple[str, int] = self._reservation.getsockname()[:2]

    @property
    def url(self) -> str:
        """Where to send WinRM requests."""
        return f"http://{self.address[0]}:{self.address[1]}/wsman"

    def open(self) -> None:
        """Take connections."""
        with self._lock:
            if self._listener is not None:
                return
            self._listener = _bound(*self.address)
            self._listener.listen(128)
            name = f"lab-endpoint-{self.machine.name}"
            thread = threading.Thread(target=self._accept, args=(self._listener,), name=name)
            self._threads.add(thread)
            thread.start()

    def cut(self) -> None:
        """Refuse connections and break off those there are; shells are lost."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._connections)
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread, which closes it
        for connection in connections:
            reset(connection)
        self.service.lose_shells()

    def close(self) -> None:
        """Stop for good: every thread has ended when this returns."""
        self.cut()
        with self._lock:
            threads = set(self._threads)
        for thread in threads:
            thread.join()
        self.service.join()
        self._reservation.close()

    def silent(self) -> bool:
        """Whether it now accepts and never answers."""
        with self._timeline.up_to_date():
            return Fault.SILENT_ENDPOINT in self.machine.faults

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                self._slots.acquire()
                try:
                    connection, _ = listener.accept()
                except OSError:
                    self._slots.release()
                    return
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else Nagle costs 40 ms a request
                connection.settimeout(_IDLE_CONNECTION)
                self._serve_in_thread(connection, listener)

    def _serve_in_thread(self, connection: socket.socket, listener: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=(connection,), name=f"lab-connection-{self.machine.name}")
        with self._lock:
            still_up = self._listener is listener
            if still_up:
                self._connections.add(connection)
                self._threads = {known for known in self._threads if known.is_alive()} | {thread}
                thread.start()
        if not still_up:  # cut between accept and here
            self._slots.release()
            reset(connection)
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, ConnectionCut):
                _Connection(connection, self)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()
            self._slots.release()


class _Connection(BaseHTTPRequestHandler):
    """One connection: HTTP/1.1 with keep-alive, authenticated once."""

    protocol_version = "HTTP/1.1"
    server_version = "Microsoft-HTTPAPI/2.0"
    sys_version = ""
    wbufsize = -1  # one segment an answer

    def __init__(self, connection: socket.socket, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._security = ConnectionSecurity(endpoint.account, endpoint.service.logon_refused)
        super().__init__(connection, connection.getpeername(), endpoint)  # type: ignore[arg-type] # handlers only keep it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the library's signature
        """Say nothing: the lab's record holds what matters."""

    def do_POST(self) -> None:
        """Answer one request of the client."""
        if self._endpoint.silent():
            self._say_nothing()
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _MAX_BODY:
            self.close_connection = True
            self._reply(413)
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionCut
        challenges = self._security.admit(self.headers.get("Authorization"))
        if challenges is not None:
            self._reply(401, challenges=challenges)
        elif not body:
            self._reply(200)
        else:
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        if self._security.sealed:
            try:
                body = self._security.unseal(body)
            except CannotDecrypt:
                body = b""
            if not body:  # not encrypted, or for another connection: AllowUnencrypted is off
                self._reply(400)
                return
        relates_to = ""
        try:
            request = soap.parse(body)
            relates_to = request.message_id
            status, answer = 200, self._endpoint.service.handle(request, delegated=self._security.delegated)
        except soap.WsmanFault as problem:
            status, answer = 500, soap.fault(problem, relates_to, self._endpoint.machine.name)
        except ConnectionCut:
            reset(self.connection)
            raise
        self._reply(status, answer)

    def _reply(self, status: int, message: bytes = b"", challenges: tuple[str, ...] = ()) -> None:
        content_type, body = "application/soap+xml;charset=UTF-8", message
        if message and self._security.sealed:
            content_type, body = self._security.seal(message)
        self.send_response(status)
        for challenge in challenges:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _say_nothing(self) -> None:
        """Read and never answer, until the client gives up or the fault is cured; then break off."""
        self.connection.settimeout(0.2)
        while self._endpoint.silent():
            try:
                if not self.connection.recv(65536):
                    break
            except TimeoutError:
                continue
        raise ConnectionCut


def _bound(host: str, port: int) -> socket.socket:
    """A bound TCP socket that shares its port with the other sockets of this endpoint."""
    result = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        result.bind((host, port))
    except OSError:
        result.close()
        raise
    return result


def reset(connection: socket.socket) -> None:
    """Break a connection off as a server does that loses its power: RST where the system can, and wake its reader."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
