"""A server seen from outside, as a POP3 client sees it: greeting, CAPA, TLS, a login if there is a test mailbox, QUIT.

The only importer of poplib. RFC 1939 (POP3), RFC 2449 (CAPA), RFC 2595 (STLS), RFC 8314 (implicit TLS).
"""

import asyncio
import contextlib
import poplib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from daemon.config.settings import Credential, Secret
from daemon.domain.errors import ConfigError
from daemon.domain.inventory import Inventory, Server
from daemon.domain.ports import OutsideView
from daemon.exchange.logons import REST
from daemon.exchange.struck import struck_out

DEADLINE: Final = 30.0  #: real seconds for the whole look
PATIENCE: Final = 10.0  #: real seconds for each answer
SAID: Final = 200  #: characters of a server's own words that are repeated
ABOUT_THE_PASSWORD: Final = 2  #: servers that refuse a login lately


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    host: str
    port: int
    implicit: bool  #: TLS from the first byte
    user: str = ""
    password: str = field(default="", repr=False)
    context: ssl.SSLContext

    @property
    def login(self) -> tuple[str, int]:
        """What is offered; another password is another login."""
        return self.user, hash(self.password)


class _RefusedError(Exception):
    """A login was refused, in the server's own words."""


class _Logins:
    """Which logins were refused: a refused mailbox is locked after a few.

    A sick server may refuse a right password, so a refusal is about its server; two servers that refuse it, and none
    that accepted it since, are about the password. Kept in memory: a restart costs one login.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._refused: dict[tuple[str, int], dict[str, float]] = {}  #: when, by login and server
        self._doubted: dict[tuple[str, int], set[str]] = {}  #: by whom, since the login was accepted anywhere

    def may(self, login: tuple[str, int], server: str) -> bool:
        """Whether a login may be tried there now."""
        with self._lock:
            soonest = self._now() - REST.total_seconds()
            lately = {where for where, at in self._refused.get(login, {}).items() if at > soonest}
            doubted = lately & self._doubted.get(login, set())
            return server not in lately and len(doubted) < ABOUT_THE_PASSWORD

    def refused(self, login: tuple[str, int], server: str) -> None:
        """It was refused there."""
        with self._lock:
            self._refused.setdefault(login, {})[server] = self._now()
            self._doubted.setdefault(login, set()).add(server)

    def accepted(self, login: tuple[str, int]) -> None:
        """The password is right: who has refused it is alone with that."""
        with self._lock:
            self._doubted.pop(login, None)


class Pop3Client:
    """`ports.Outside` over poplib, which is synchronous: each look has a thread of its own.

    A thread that hangs past the deadline is left behind and ends with its own time-outs; until it does, its server is
    not looked at again, so that a server that drips bytes cannot collect threads. They keep no process from ending.
    """

    def __init__(
        self,
        inventory: Inventory,
        credentials: Mapping[str, Credential],
        read_secret: Callable[[Secret], str],
        deadline: float = DEADLINE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inventory = inventory
        self._credentials = credentials
        self._read_secret = read_secret
        self._deadline = deadline
        self._looking: set[str] = set()  #: servers that a thread is still at
        self._logins = _Logins(now)

    async def look(self, server: str) -> OutsideView:
        """See `ports.Outside.look`."""
        found = self._inventory.find(server)
        if found is None or found.outside is None:
            raise ValueError(f"{server} has no address for a look from outside")
        if found.name in self._looking:
            return OutsideView(good=False, detail=f"{found.outside} still holds the connection of the last look")
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[OutsideView] = loop.create_future()

        def told(view: OutsideView) -> None:
            if not seen.done():
                seen.set_result(view)

        def work() -> None:
            try:
                view = self._look(found)
            finally:
                self._looking.discard(found.name)  # before it is told: whoever hears it may look again
            try:
                loop.call_soon_threadsafe(told, view)
            except RuntimeError:
                return  # the loop is closed: nobody waits for it any more

        self._looking.add(found.name)
        threading.Thread(target=work, name=f"outside {found.name}", daemon=True).start()
        try:
            return await asyncio.wait_for(seen, self._deadline)
        except TimeoutError:
            return OutsideView(good=False, detail=f"{found.outside} did not get done in {self._deadline:.0f} s")

    def _look(self, server: Server) -> OutsideView:
        began = time.monotonic()
        done: list[str] = []
        password = ""
        try:
            target = self._target(server)
            password = target.password
            if target.user and not self._logins.may(target.login, server.name):
                lately = f"within the last {REST.total_seconds() / 60:.0f} minutes"
                return OutsideView(good=False, detail=f"{server.outside}: login refused {lately}, not tried again yet")
            _converse(target, done)
            self._logins.accepted(target.login)
        except _RefusedError as error:
            self._logins.refused(target.login, server.name)
            said = error.__cause__ if isinstance(error.__cause__, poplib.error_proto) else error
            return OutsideView(good=False, detail=f"{server.outside}: {_words(said, password)} after {', '.join(done)}")
        except (poplib.error_proto, OSError, ConfigError, ValueError) as error:
            after = f" after {', '.join(done)}" if done else ""
            return OutsideView(good=False, detail=f"{server.outside}: {_words(error, password)}{after}")
        took = time.monotonic() - began
        return OutsideView(good=True, detail=f"{server.outside}: {', '.join(done)} in {took:.1f} s")

    def _target(self, server: Server) -> _Target:
        url = urlsplit(str(server.outside))
        implicit = url.scheme == "pop3s"
        credential = self._credentials.get(server.outside_login) if server.outside_login else None
        secret = None if credential is None else credential.password
        if credential is not None and secret is None:
            raise ValueError(f"[credentials.{server.outside_login}] has no password to log in with")
        return _Target(
            host=str(url.hostname),
            port=url.port or (995 if implicit else 110),
            implicit=implicit,
            user=credential.username if credential and secret else "",
            password=self._read_secret(secret) if secret else "",
            context=ssl.create_default_context(cafile=credential.ca if credential else None),
        )


class _Closing:
    """poplib leaves the connection open when its constructor does not like the greeting."""

    def __init__(self, host: str, port: int, **rest: Any) -> None:  # noqa: ANN401 - poplib's own
        try:
            super().__init__(host, port, **rest)  # type: ignore[call-arg]  # mixed into poplib's classes only
        except BaseException:
            with contextlib.suppress(AttributeError, OSError):  # it may not have got as far as a connection
                self.close()  # type: ignore[attr-defined]  # as above
            raise


class _Plain(_Closing, poplib.POP3):
    pass


class _Secure(_Closing, poplib.POP3_SSL):
    pass


def _converse(target: _Target, done: list[str]) -> None:
    """Go as far as a client does; `done` grows by what worked."""
    client = _connect(target, done)
    try:
        capabilities = client.capa()
        done.append("CAPA")
        if not target.implicit:
            if "STLS" not in capabilities:
                raise poplib.error_proto("-ERR it offers no STLS, and no password may go without TLS")
            client.stls(target.context)
            done.append(_tls(client))
        if target.user:
            client.user(target.user)
            try:
                client.pass_(target.password)
            except poplib.error_proto as error:
                raise _RefusedError from error
            done.append("login")
        client.quit()
        done.append("QUIT")
    finally:
        with contextlib.suppress(OSError):  # after a failed STLS there is no socket left to close
            client.close()


def _connect(target: _Target, done: list[str]) -> poplib.POP3:
    if not target.implicit:
        client = _Plain(target.host, target.port, timeout=PATIENCE)
        done.append("greeting")
        return client
    secure = _Secure(target.host, target.port, timeout=PATIENCE, context=target.context)
    done.extend([_tls(secure), "greeting"])
    return secure


def _tls(client: poplib.POP3) -> str:
    version = getattr(client.sock, "version", lambda: None)()
    return str(version or "TLS")


def _words(error: Exception, password: str) -> str:
    """What went wrong. A server's own words are cut short and kept printable, and may not repeat the password."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:.0f} s"
    said = error.args[0] if isinstance(error, poplib.error_proto) and error.args else error
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    text = struck_out(text.replace(password, "***") if password else text)
    kind = "it answers" if isinstance(error, poplib.error_proto) else type(error).__name__
    return f"{kind}: {''.join(char if char.isprintable() else '?' for char in text)[:SAID]}"
