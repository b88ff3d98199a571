"""A WinRM endpoint of a few lines over real TLS, which breaks off, hangs or lies exactly where a test wants it to.

The lab's endpoint is the faithful one; this one exists for what no well-meaning server does.
"""

import base64
import ipaddress
import re
import socket
import ssl
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks off without an answer."""


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, until the endpoint stops."""


@dataclass(frozen=True, slots=True)
class Trickle:
    """An answer that never ends, a byte at a time, so that no read ever times out."""


@dataclass(frozen=True, slots=True)
class Say:
    """An HTTP answer as it is."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """A WS-Management fault."""

    code: int


Behaviour = Cut | Hang | Trickle | Say | Fault | None


@dataclass(frozen=True, slots=True)
class Output:
    """What a command writes, and how it ends."""

    stdout: bytes
    exit_code: int = 0
    stderr: bytes = b""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, its own authority: the file of it alone, and the one of it with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "exmedic test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, both = folder / "ca.pem", folder / "server.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    public.write_bytes(pem)
    both.write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return public, both


class Endpoint:
    """`behave` maps a WS-Management action to what happens to its next requests; without an entry it is answered.

    `answer` makes the output of a command from its stdin and command line.
    """

    def __init__(self, certificate: Path | None, answer: Callable[[bytes, str], Output]) -> None:
        self.answer = answer
        self.behave: dict[str, list[Behaviour]] = {}
        self.seen: list[str] = []
        self.authorizations: list[str] = []
        self.shells: set[str] = set()
        self.deleted = threading.Event()
        self.arrived: dict[str, threading.Event] = {}
        self.command_line = ""
        self._stdin: dict[str, bytes] = {}  # by shell
        self._stop = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/wsman"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def arrival(self, action: str) -> threading.Event:
        """Set once a request of that action has arrived."""
        return self.arrived.setdefault(action, threading.Event())

    def stop(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # the name http.server asks for
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                endpoint.authorizations.append(self.headers.get("Authorization", ""))
                endpoint.respond(self, body.decode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
                pass

        return Handler

    def respond(self, handler: BaseHTTPRequestHandler, text: str) -> None:
        """Do what was asked for this request, or answer it."""
        action = _find(r"<a:Action[^>]*>[^<]*/(\w+)<", text)
        self.seen.append(action)
        queue = self.behave.get(action, [])
        behaviour = queue.pop(0) if queue else None
        self.arrival(action).set()
        if behaviour is None:
            _send(handler, Say(200, self._normal(action, text)))
        elif isinstance(behaviour, Say):
            _send(handler, behaviour)
        elif isinstance(behaviour, Fault):
            _send(handler, Say(500, _envelope(text, _fault(behaviour.code))))
        elif isinstance(behaviour, Trickle):
            self._trickle(handler)
        else:
            if isinstance(behaviour, Hang):
                self._stop.wait()
            handler.close_connection = True
            break_off(handler.connection)

    def _trickle(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not self._stop.wait(0.05):
                handler.wfile.write(b"x")
        except OSError:
            return

    def _normal(self, action: str, text: str) -> bytes:
        shell = _find(r'Name="ShellId">([^<]*)<', text)
        if action == "Create":
            shell = str(uuid.uuid4()).upper()
            self.shells.add(shell)
            return _envelope(text, f'<rsp:Shell xmlns:rsp="{_SHELL}"/><w:Selector Name="ShellId">{shell}</w:Selector>')
        if action == "Command":
            arguments = _find(r"<rsp:Arguments>(.*?)</rsp:Arguments>", text)
            self.command_line = f"{_find(r'<rsp:Command>(.*?)</rsp:Command>', text)} {arguments}"
            self._stdin[shell] = b""
            return _envelope(text, "<rsp:CommandResponse><rsp:CommandId>C1</rsp:CommandId></rsp:CommandResponse>")
        if action == "Send":
            self._stdin[shell] += base64.b64decode(_find(r"<rsp:Stream[^>]*>([^<]*)<", text))
            return _envelope(text, "<rsp:SendResponse/>")
        if action == "Receive":
            return _envelope(text, _receive(self.answer(self._stdin[shell], self.command_line)))
        if action == "Delete":
            self.shells.discard(shell)
            self.deleted.set()
        return _envelope(text, "")


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what these tests are about."""


def break_off(connection: socket.socket) -> None:
    """Break a connection off at once, TLS or not."""
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.DOTALL)
    return found.group(1) if found else ""


def _send(handler: BaseHTTPRequestHandler, say: Say) -> None:
    handler.send_response(say.status)
    for name, value in say.headers:
        handler.send_header(name, value)
    handler.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
    handler.send_header("Content-Length", str(len(say.body)))
    handler.end_headers()
    handler.wfile.write(say.body)


def _envelope(request: str, body: str) -> bytes:
    relates = _find(r"<a:MessageID>([^<]*)<", request)
    return (
        f'<s:Envelope xmlns:s="{_SOAP}" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        f' xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{_SHELL}">'
        f"<s:Header><a:RelatesTo>{relates}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _fault(code: int) -> str:
    return (
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text>no</s:Text></s:Reason>"
        f'<s:Detail><f:WSManFault xmlns:f="{_FAULT}" Code="{code}"/></s:Detail></s:Fault>'
    )


def _receive(output: Output) -> str:
    stdout, stderr = (base64.b64encode(stream).decode() for stream in (output.stdout, output.stderr))
    return (
        f'<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="C1">{stdout}</rsp:Stream>'
        f'<rsp:Stream Name="stderr" CommandId="C1">{stderr}</rsp:Stream>'
        f'<rsp:CommandState CommandId="C1" State="{_SHELL}/CommandState/Done">'
        f"<rsp:ExitCode>{output.exit_code}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
    )
