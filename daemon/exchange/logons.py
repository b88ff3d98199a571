"""Which passwords were refused: none of them is offered again for a while.

Five to ten refused logons lock an account in most domains, and a daemon that asks every few seconds makes them within
a minute. So the threads that log on ask here first. A password that was not accepted yet is offered by one of them at a
time; a refused one rests, for all servers and incidents. Its file keeps that over a restart: systemd starts a daemon
that fails six times in ten minutes. A password that was changed is another one, and is tried at once.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import structlog
from pydantic import TypeAdapter

REST = timedelta(minutes=15)

_log = structlog.get_logger("exmedic.logons")


class Hop(StrEnum):
    """Where a password is offered. A domain accepts an old one for an hour after the change, but not everywhere."""

    SERVER = "server"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is offered. `mark` is two bytes of a salted hash: enough to see a change, too little to guess from."""

    credential: str  #: its name in the configuration
    username: str
    place: str  #: where the password is kept
    mark: str

    @property
    def account(self) -> tuple[str, str]:
        """What counts towards a lockout: two credentials may share it."""
        return self.username.casefold(), self.mark


Offer = tuple[tuple[str, str], Hop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The last refusal of an account's password. `told`: a human was paged for it, or for one before it."""

    identity: Identity
    hop: Hop
    server: str
    at: datetime
    why: str
    told: bool = False

    @property
    def until(self) -> datetime:
        """Until when it rests."""
        return self.at + REST

    def rests(self, now: datetime) -> bool:
        """Whether there is no logon now. A clock that was set back while no daemon ran makes it no longer."""
        return self.at <= now < self.until

    def same(self, identity: Identity) -> bool:
        """Whether it was about the same password of the same account."""
        return self.identity.account == identity.account

    def concerns(self, identity: Identity) -> bool:
        """Whether what becomes of this password replaces it: it is the same, or the credential has another one now."""
        return self.same(identity) or self.identity.credential == identity.credential

    def __str__(self) -> str:
        who = self.identity
        return (
            f"no logon with [credentials.{who.credential}] ({who.username}) until {self.until:%Y-%m-%d %H:%M} UTC: "
            f"refused at {self.at:%H:%M} by {self.server} ({self.why}); correct {who.place}: another password is tried "
            "at once"
        )


class NoLogon(Exception):  # noqa: N818 - what is withheld, not a fault
    """There is no logon now. `refusal`: why; None when the time ran out while others tried the same password."""

    def __init__(self, refusal: Refusal | None) -> None:
        self.refusal = refusal
        super().__init__(str(refusal or "waited for the first logon with this credential, which did not end in time"))


class Logons:
    """Asked by every thread before it logs on. `file` None: not kept."""

    def __init__(self, now: Callable[[], datetime], file: Path | None = None) -> None:
        self._now = now
        self._file = file
        self._changed = threading.Condition()
        self._salt, self._refusals = _read(file)
        self._proven: set[Offer] = set()
        self._trying: set[Offer] = set()
        self._refused = 0  #: how often, to tell what was accepted since from what was before

    def identity(self, credential: str, username: str, place: str, password: str) -> Identity:
        """What is offered with this password."""
        mark = hashlib.blake2b(password.encode(), key=self._salt, digest_size=2).hexdigest()
        return Identity(credential=credential, username=username, place=place, mark=mark)

    def resting(self) -> list[Refusal]:
        """The refusals because of which there is no logon now."""
        now = self._now()
        with self._changed:
            return [each for each in self._refusals if each.rests(now)]

    def untold(self) -> list[Refusal]:
        """The refusals of which nobody was told."""
        with self._changed:
            return [each for each in self._refusals if not each.told]

    def tell(self, told: Refusal) -> None:
        """A human was told: of the same password not again until it was accepted."""
        with self._changed:
            self._keep([replace(each, told=True) if each.same(told.identity) else each for each in self._refusals])

    def begin(self, identity: Identity, hops: Collection[Hop], seconds: float) -> "Logon":
        """Wait for one's turn, at most `seconds`. Whoever gets it ends it with `Logon.leave`.

        Raises:
            NoLogon: it may not be tried now.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                now = self._now()
                refusal = next((each for each in self._refusals if each.same(identity) and each.rests(now)), None)
                if refusal is not None:
                    raise NoLogon(refusal)
                doubtful = {(identity.account, hop) for hop in hops} - self._proven
                if not doubtful & self._trying:
                    break
                if (left := end - time.monotonic()) <= 0:
                    raise NoLogon(None)
                self._changed.wait(left)
            self._trying |= doubtful
            return Logon(self, identity, doubtful, self._refused)

    def accepted(self, identity: Identity, hop: Hop, since: int) -> None:
        """A password was accepted by a logon that began after `since` refusals; after a later one it proves nothing."""
        with self._changed:
            if since != self._refused:
                return
            self._proven.add((identity.account, hop))
            left = [each for each in self._refusals if each.hop is not hop or not each.concerns(identity)]
            if left != self._refusals:
                self._keep(left)

    def refused(self, identity: Identity, hop: Hop, server: str, why: str) -> None:
        """A password was refused."""
        refusal = Refusal(identity=identity, hop=hop, server=server, at=self._now(), why=why)
        with self._changed:
            self._refused += 1
            self._proven -= {(identity.account, each) for each in Hop}
            told = any(each.told for each in self._refusals if each.same(identity))
            left = [each for each in self._refusals if not each.concerns(identity)]
            self._keep([*left, replace(refusal, told=told)])
            self._changed.notify_all()

    def leave(self, offers: Collection[Offer]) -> None:
        """Let the next one try."""
        with self._changed:
            self._trying -= set(offers)
            self._changed.notify_all()

    def _keep(self, refusals: list[Refusal]) -> None:
        """Remember these and no others, over a restart as well. Dies it before: one more logon, or one more page."""
        self._refusals = refusals
        if self._file is None:
            return
        part = self._file.with_name(f".{self._file.name}.part")
        try:
            part.touch(mode=0o600)
            part.write_bytes(_KEPT.dump_json(_Kept(self._salt.hex(), refusals)))
            part.replace(self._file)
        except OSError as error:
            _log.warning("logons_not_kept", file=str(self._file), reason=error.strerror)


class Logon:
    """One logon of one thread: accepted, refused, or broken off before anybody could tell."""

    def __init__(self, logons: Logons, identity: Identity, doubtful: Collection[Offer], since: int) -> None:
        self._logons = logons
        self._identity = identity
        self._doubtful = set(doubtful)
        self._since = since

    def accepted(self, hop: Hop) -> None:
        """The password was accepted there: nobody need wait for that any more."""
        offer = (self._identity.account, hop)
        if offer in self._doubtful:
            self._doubtful.discard(offer)
            self._logons.accepted(self._identity, hop, self._since)
            self._logons.leave({offer})

    def refused(self, hop: Hop, server: str, why: str) -> None:
        """The password was refused there."""
        self._logons.refused(self._identity, hop, server, why)

    def leave(self) -> None:
        """It is over. May be called twice."""
        self._logons.leave(self._doubtful)
        self._doubtful = set()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the file holds. The salt is not secret, and another one makes every password another."""

    salt: str
    refusals: list[Refusal]


_KEPT = TypeAdapter(_Kept)


def _read(file: Path | None) -> tuple[bytes, list[Refusal]]:
    """The salt and the refusals in a file; what cannot be read costs one logon a credential."""
    fresh = secrets.token_bytes(16)
    if file is None or not file.exists():
        return fresh, []
    try:
        kept = _KEPT.validate_json(file.read_bytes())
        return bytes.fromhex(kept.salt), kept.refusals
    except (OSError, ValueError) as error:
        _log.warning("logons_not_read", file=str(file), reason=type(error).__name__)
        return fresh, []
