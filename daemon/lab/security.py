"""Logging on to a lab endpoint: NTLM and CredSSP with message encryption through pyspnego, and basic.

One `ConnectionSecurity` per TCP connection, since NTLM authenticates connections and not requests.
Facts: Microsoft, [MS-WSMV] section 2.2.9.1, Encrypted Message Types.
"""

import atexit
import base64
import binascii
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hmac import compare_digest
from pathlib import Path

import spnego
from spnego.exceptions import SpnegoError

_BOUNDARY = b"--Encrypted Boundary"
_OCTETS = b"\tContent-Type: application/octet-stream\r\n"
_NTLM = "application/HTTP-SPNEGO-session-encrypted"
_CREDSSP = "application/HTTP-CredSSP-session-encrypted"
#: CredSSP comes last: requests-credssp looks for its token at the end of the joined headers.
_OFFERS = ("Negotiate", 'Basic realm="WSMAN"', "CredSSP")


class CannotDecrypt(Exception):  # noqa: N818 - says what happened
    """A message does not fit the security context of its connection."""


@dataclass(frozen=True, slots=True)
class Account:
    """The one account that the lab knows. Its password is no secret: the lab listens on loopback only."""

    domain: str = "CONTOSO"
    name: str = "exmedic"
    password: str = "lab-Passw0rd"  # noqa: S105 - see above

    @property
    def username(self) -> str:
        """The name to log on with."""
        return f"{self.domain}\\{self.name}"

    def accepts(self, username: str, password: str) -> bool:
        """Whether these credentials are right; user names compare without regard to case."""
        names = (self.username.lower(), f"{self.name}@contoso.lab".lower())
        return username.lower() in names and compare_digest(password.encode(), self.password.encode())


@cache
def publish(account: Account) -> Path:
    """Make an account known to pyspnego's NTLM, which reads accounts only from the file that NTLM_USER_FILE names.

    The variable is the process's: so there is one file per process, and every lab in it has the same account.
    """
    handle, name = tempfile.mkstemp(prefix="exmedic-lab-", suffix=".ntlm")
    path = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{account.domain}:{account.name}:{account.password}\n")
        file.write(f":{account.name}@contoso.lab:{account.password}\n")
    atexit.register(path.unlink, missing_ok=True)
    os.environ["NTLM_USER_FILE"] = name
    return path


class ConnectionSecurity:
    """Who is at the other end of a connection, and how its messages are sealed.

    `delegated`: the user's credential came along (CredSSP), so that a script can go one hop further.
    `refused` is told of each logon that came to its end and was not accepted.
    """

    def __init__(self, account: Account, refused: Callable[[], None]) -> None:
        self._account = account
        self._refused = refused
        self._context: spnego.ContextProxy | None = None
        self._protocol = ""
        self.user = ""
        self.delegated = False

    @property
    def sealed(self) -> bool:
        """Whether messages on this connection must be encrypted."""
        return bool(self.user) and self._context is not None

    def admit(self, authorization: str | None) -> tuple[str, ...] | None:
        """Take one Authorization header; None when the user is known, otherwise the challenges to answer with."""
        if authorization is None:
            return None if self.sealed else self._forget()
        scheme, _, value = authorization.partition(" ")
        try:
            token = base64.b64decode(value.strip(), validate=True)
        except binascii.Error:
            return self._forget()
        if scheme.lower() == "basic":
            return self._basic(token)
        if scheme.lower() in ("negotiate", "ntlm"):
            return self._step(scheme, "ntlm", token)
        if scheme.lower() == "credssp":
            return self._step(scheme, "credssp", token)
        return self._forget()

    def _forget(self) -> tuple[str, ...]:
        self._context, self._protocol, self.user, self.delegated = None, "", "", False
        return _OFFERS

    def _basic(self, token: bytes) -> tuple[str, ...] | None:
        self._forget()
        username, _, password = token.decode("utf-8", "replace").partition(":")
        if not self._account.accepts(username, password):
            self._refused()
            return _OFFERS
        self.user = self._account.username
        return None

    def _step(self, scheme: str, protocol: str, token: bytes) -> tuple[str, ...] | None:
        """One leg of the handshake; a failed one begins it afresh."""
        if self._context is None or self._context.complete or self._protocol != protocol:
            self._forget()
            self._context, self._protocol = spnego.server(protocol=protocol), protocol
        try:
            answer = self._context.step(token)
        except (SpnegoError, ValueError, struct.error):
            self._refused()
            return self._forget()
        if self._context.get_extra_info("auth_stage") == "Authentication failure":  # CredSSP tells its client by itself
            self._refused()
        if self._context.complete:
            self.user = self._account.username
            self.delegated = protocol == "credssp"
            return None
        return (f"{scheme} {base64.b64encode(answer or b'').decode()}",)

    def unseal(self, body: bytes) -> bytes:
        """Decrypt a multipart/encrypted body.

        Raises:
            CannotDecrypt: it was sealed for another connection, or damaged.
        """
        message, rest = b"", body
        try:
            while rest.startswith(_BOUNDARY + b"\r\n"):
                _, _, rest = rest.partition(_OCTETS)
                (header_size,) = struct.unpack_from("<i", rest)
                sealed, _, rest = rest[4:].partition(_BOUNDARY)
                rest = _BOUNDARY + rest
                message += self._unwrap(sealed, header_size)
        except (SpnegoError, struct.error, ValueError) as error:
            raise CannotDecrypt(str(error)) from None
        return message

    def _unwrap(self, sealed: bytes, header_size: int) -> bytes:
        if self._context is None:
            raise CannotDecrypt("This connection is not authenticated.")
        return self._context.unwrap_winrm(sealed[:header_size], sealed[header_size:])

    def seal(self, message: bytes) -> tuple[str, bytes]:
        """Encrypt an answer; its content type and body."""
        if self._context is None:
            raise CannotDecrypt("This connection is not authenticated.")
        wrapped = self._context.wrap_winrm(message)
        protocol = _CREDSSP if self._protocol == "credssp" else _NTLM
        original = f"type=application/soap+xml;charset=UTF-8;Length={len(message) + wrapped.padding_length}"
        body = (
            _BOUNDARY
            + f"\r\n\tContent-Type: {protocol}\r\n\tOriginalContent: {original}\r\n".encode()
            + _BOUNDARY
            + b"\r\n"
            + _OCTETS
            + struct.pack("<i", len(wrapped.header))
            + wrapped.header
            + wrapped.data
            + _BOUNDARY
            + b"--\r\n"
        )
        return f'multipart/encrypted;protocol="{protocol}";boundary="Encrypted Boundary"', body
