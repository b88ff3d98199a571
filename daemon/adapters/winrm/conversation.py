"""pywinrm, whose only importer this is: one conversation with one server, its errors translated, its habits fenced in.

A Protocol serves one attempt: one that is shared, or used again after a broken connection, fails. pywinrm is pinned:
`Transport._send_message_request` is its one private name used here. Only there can a session be told to follow no
redirect (a server outside the inventory must never be contacted) and to take an answer in clear for no answer where
messages are encrypted (pywinrm would believe it).
"""

import logging
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import requests
import structlog
from requests.adapters import HTTPAdapter
from requests_credssp.exceptions import (  # type: ignore[import-untyped]  # ships no types
    AuthenticationException,
    NTStatusException,
)
from winrm.exceptions import (
    AuthenticationError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from daemon.adapters.winrm.attempt import CLEANUP, Attempt, Refused, Stop
from daemon.config.settings import Credential
from daemon.domain.inventory import Server
from daemon.domain.ports import LOGON, Reply, ReplyKind
from daemon.exchange.launch import Launch
from daemon.exchange.logons import Hop, Logon, NoLogon

OPERATION_TIMEOUT = 20.0  #: real seconds after which a server says "nothing yet" to a request; WinRM's usual value
ANSWER_SLACK = 10.0  #: real seconds beyond that after which a silent connection counts as dead
#: Seconds beyond a call's own time without a request, after which the server ends a shell that we lost. A process whose
#: script never arrived, since we died after Command, waits for it until then, and nobody can tell it from one at work.
#: So with `effect_timeout` it is shorter than the deadline of every effect, or such a step would always stay unknown.
IDLE = 180
STDIN_CHUNK = 90_000  #: bytes a Send carries; base64 of it stays below MaxEnvelopeSize, 153,600
OUTPUT_LIMIT = 8 << 20  #: bytes of stdout and stderr; an answer of ours has some hundred kB at most

#: A server that goes on with a logon: its scheme and a token, not the scheme alone (RFC 7235, section 2.1).
CHALLENGE = re.compile(r"\b(?:Negotiate|NTLM|Kerberos|CredSSP) [A-Za-z0-9+/]", re.IGNORECASE)

_ACCESS_DENIED = 5

#: WS-Management fault codes (Microsoft, "WinRM error codes", winerror.h) that an administrator meets.
_FAULTS = {
    _ACCESS_DENIED: "access denied: the account may not open a remote shell",
    2150858843: "the shell is lost: the server was restarted or ended it",
    2150859174: "the user's quota of shells is used up",
    2150858752: "the request was not understood",
}

# These libraries log tokens and every request at DEBUG; an outage is reported by the daemon, once.
for _noisy in ("urllib3", "requests_credssp", "requests_kerberos", "spnego"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)

_log = structlog.get_logger("exmedic.winrm")


class _Silence(Stop):
    """The server has nothing to say yet (WinRM's operation time-out)."""


#: What the errors of requests mean, the more special ones first, and whether to try again.
_REQUESTS: tuple[tuple[type[Exception], str, bool], ...] = (
    (requests.exceptions.SSLError, "TLS failed: check the endpoint's certificate and the credential's `ca`", False),
    (requests.exceptions.TooManyRedirects, "it redirects to another address, which is never followed", False),
    (requests.exceptions.ConnectTimeout, "no connection within the connect time-out", True),
    (requests.exceptions.Timeout, "connected, and then no answer", True),
    (requests.exceptions.ConnectionError, "the connection was refused or broke off", True),
)


def _describe(error: Exception) -> tuple[str, bool]:
    """What a vendor's error means, without its own text (it may quote what was sent), and whether to try again."""
    match error:
        case WSManFaultError():
            code = error.wsman_fault_code
            return _FAULTS.get(code or 0, f"WS-Management fault {code or error.fault_code}"), code != _ACCESS_DENIED
        case WinRMTransportError():
            return f"HTTP status {error.code}", True
        case _ if type(error) is WinRMError:  # its own texts are constants, such as a missing Kerberos library
            return str(error), False
    for kind, text, again in _REQUESTS:
        if isinstance(error, kind):
            return text, again
    return f"the endpoint does not speak WinRM as expected ({type(error).__name__})", True


@contextmanager
def _translated(during: str) -> Iterator[None]:
    """Where vendor errors end: what leaves here is a `Stop`.

    It catches everything: besides its own errors pywinrm lets through those of requests, urllib3, spnego, sockets and
    XML, and StopIteration, KeyError or AttributeError where an answer is not what it expects.

    Raises:
        Stop: the vendor failed. `_Silence`: it is only an operation time-out. `Refused`: it is the logon.
    """
    try:
        yield
    except Stop:
        raise
    except WinRMOperationTimeoutError:
        raise _Silence(f"{during}: the server did not finish in time") from None
    except (AuthenticationError, AuthenticationException, NTStatusException):
        raise Refused(f"{during}: the server refuses the credential: check user name, password and transport") from None
    except Exception as error:  # noqa: BLE001 - see above
        text, again = _describe(error)
        raise Stop(f"{during}: {text}", again=again) from None


class _Line(HTTPAdapter):
    """requests' connections of one Protocol, held so that another thread can cut them.

    `offered`: a credential went over it. A server that offers another way to log on only is not refused one.

    A logon of several requests belongs to its connection. urllib3 would send the next of them over a new one where that
    broke off, and the server, which knows nothing of the first, would seem to refuse the password.
    """

    def __init__(self) -> None:
        self.offered = False
        self._logging_on = False
        self._connections: list[Any] = []
        self._cut = False
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - requests' own signature
        """As requests has it, with a pool that tells of its connections."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        make = type(pool).ConnectionCls

        def connect(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - urllib3's own signature
            if self._cut:
                raise OSError("cut at the deadline")
            connection = make(*given, **named)
            connection.connect = partial(self._connect, connection.connect)  # type: ignore[method-assign]  # see above
            self._connections.append(connection)
            return connection

        pool.ConnectionCls = connect  # type: ignore[assignment]  # a factory in the place of the class
        return pool

    def send(self, request: requests.PreparedRequest, *args: Any, **named: Any) -> requests.Response:  # noqa: ANN401 - requests' own signature
        """As requests has it."""
        self.offered = self.offered or "Authorization" in request.headers
        response = super().send(request, *args, **named)
        self._logging_on = CHALLENGE.search(response.headers.get("WWW-Authenticate", "")) is not None
        return response

    def _connect(self, connect: Callable[[], None]) -> None:
        if self._logging_on:
            self._logging_on = False
            raise OSError("it broke off in the middle of the logon")
        connect()

    def cut(self) -> None:
        """Break every connection off, now and from now on. Safe from any thread; does not block."""
        self._cut = True
        for connection in list(self._connections):
            if connection.sock is not None:
                with suppress(OSError):  # it is closed already
                    # Not SSLSocket's own shutdown, which would let the other thread go on in clear.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


class Conversation:
    """A shell on a server, and the one command in it. Belongs to one thread.

    `log_on` is asked before each logon, with where the password will be offered and the seconds there are for it.
    """

    def __init__(
        self,
        server: Server,
        credential: Credential,
        password: str | None,
        connect_timeout: float,
        log_on: Callable[[Collection[Hop], float], Logon],
    ) -> None:
        self._server = server
        self._log_on = log_on
        self._logon: Logon | None = None
        self._line = _Line()
        self._credential = credential
        self._password = password
        self._connect_timeout = connect_timeout
        self._until = 0.0
        self._broken = False
        self._shell = ""
        self._command = ""
        self._protocol: Protocol | None = None

    def hold(self, attempt: Attempt, launch: Launch, *, onward: bool) -> tuple[bytes, bytes, int]:
        """Run the command to its end; returns stdout, stderr and the exit code. `onward`: it logs on to Exchange too.

        Raises:
            Stop, Withheld: it did not come to that.
        """
        self._until = attempt.until
        try:
            self._connect(attempt, *((Hop.SERVER, Hop.EXCHANGE) if onward else (Hop.SERVER,)))
            with self._step("Create") as protocol:
                idle = f"PT{math.ceil(max(attempt.left, 0.0)) + IDLE}S"
                self._shell = protocol.open_shell(codepage=65001, noprofile=True, idle_timeout=idle)
            with attempt.sending():
                self._start(launch)
            return self._listen()
        except Stop:
            self._broken = True
            raise

    def close(self, attempt: Attempt) -> None:
        """Terminate the command, delete the shell and close the connection, whatever happened before."""
        self._until = time.monotonic() + CLEANUP
        try:
            if self._shell:
                if self._broken:  # after a broken connection an encrypted session cannot go on
                    self._disconnect()
                    self._connect(attempt, Hop.SERVER, closing=True)
                if self._command:
                    with suppress(_Silence), self._step("Signal") as protocol:
                        protocol.cleanup_command(self._shell, self._command)
                with self._step("Delete") as protocol:
                    protocol.close_shell(self._shell, close_session=False)
        except Stop as stop:
            _log.info("winrm_shell_left", server=self._server.name, reason=stop.detail)
        finally:
            self._disconnect()
            self.leave()

    def answered(self, reply: Reply) -> None:
        """What a script that logs on to Exchange came to there."""
        if self._logon is not None and reply.error == LOGON:
            self._logon.refused(Hop.EXCHANGE, reply.detail)
        elif self._logon is not None and reply.kind is ReplyKind.OK:
            self._logon.accepted(Hop.EXCHANGE)

    def leave(self) -> None:
        """Let others log on who wait for how this logon ends."""
        if self._logon is not None:
            self._logon.leave()

    def _start(self, launch: Launch) -> None:
        """Command, and all of stdin: the script runs when the last of it has arrived."""
        with self._step("Command") as protocol:
            self._command = protocol.run_command(
                self._shell, launch.executable, launch.arguments, console_mode_stdin=False, skip_cmd_shell=True
            )
        for start in range(0, len(launch.stdin), STDIN_CHUNK):
            end = start + STDIN_CHUNK
            with self._step("Send") as protocol:
                chunk = launch.stdin[start:end]
                protocol.send_command_input(self._shell, self._command, chunk, end=end >= len(launch.stdin))

    def _listen(self) -> tuple[bytes, bytes, int]:
        stdout, stderr = bytearray(), bytearray()
        while True:
            try:
                with self._step("Receive") as protocol:
                    out, err, exit_code, done = protocol.get_command_output_raw(self._shell, self._command)
            except _Silence:
                continue
            stdout += out
            stderr += err
            if done:
                return bytes(stdout), bytes(stderr), exit_code
            if len(stdout) + len(stderr) > OUTPUT_LIMIT:
                raise Stop("Receive: it writes without end", again=False)

    @contextmanager
    def _step(self, name: str) -> Iterator[Protocol]:
        """One request, within what is left of the time."""
        left = self._until - time.monotonic()
        if left <= 0 or self._protocol is None:
            raise Stop(f"{name}: no time left")
        operation = max(1, math.floor(min(OPERATION_TIMEOUT, left / 2)))
        self._protocol.operation_timeout_sec = operation
        read = max(1.0, min(operation + ANSWER_SLACK, left))
        # requests takes a pair too: the time-outs of connecting and of reading.
        self._protocol.transport.read_timeout_sec = (min(self._connect_timeout, read), read)  # type: ignore[assignment]
        try:
            with _translated(name):
                yield self._protocol
        except Refused as refused:
            if not self._line.offered or self._logon is None:
                raise Stop(refused.detail, again=False) from None
            self._logon.refused(Hop.SERVER, refused.detail)
            raise
        if self._logon is not None:
            self._logon.accepted(Hop.SERVER)

    def _connect(self, attempt: Attempt, *hops: Hop, closing: bool = False) -> None:
        """Make the Protocol when it may log on; nothing is sent yet."""
        try:
            self._logon = self._log_on(hops, self._until - time.monotonic())
        except NoLogon as withheld:
            raise Stop(str(withheld), again=False) if withheld.refusal is None else Refused(str(withheld)) from None
        self._line = line = _Line()
        attempt.on_cut(line.cut, closing=closing)
        with _translated("Connect"):
            self._protocol = Protocol(
                endpoint=self._server.endpoint,
                transport=self._credential.transport,
                username=self._credential.username,
                password=self._password,
                ca_trust_path=_trust(self._credential),  # type: ignore[arg-type]  # documented: None for no path
                server_cert_validation="validate",
                kerberos_delegation=self._credential.second_hop == "delegated",
                message_encryption="auto",
                proxy="",  # none: with None requests writes no_proxy into the environment, from several threads at once
            )
            _guard(self._protocol, line)

    def _disconnect(self) -> None:
        if self._protocol is not None:
            with suppress(Stop), _translated("Close"):
                self._protocol.transport.close_session()


def _guard(protocol: Protocol, line: _Line) -> None:
    """Have every HTTP request of a Protocol go over `line`, to the endpoint itself and nowhere else."""
    transport = protocol.transport
    send = transport._send_message_request  # noqa: SLF001 - see the top of this file

    def guarded(session: requests.Session, request: requests.PreparedRequest) -> requests.Response:
        session.trust_env = False
        session.proxies = {}
        session.max_redirects = 0
        if session.get_adapter(protocol.transport.endpoint) is not line:
            session.mount("http://", line)
            session.mount("https://", line)
        response: requests.Response = send(session, request)
        if transport.encryption and not response.headers.get("Content-Type", "").startswith("multipart/"):
            raise Stop("the answer should be encrypted and is not", again=False)
        return response

    transport._send_message_request = guarded  # type: ignore[assignment, method-assign]  # noqa: SLF001 - see the top


def _trust(credential: Credential) -> str | None:
    """Where the certificate authorities are: the configured file, the system's, or those that requests brings."""
    if credential.ca is not None:
        return str(credential.ca)
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath
