"""Which passwords were refused: none of them is offered again for a while.

Five to ten refused logons lock an account in most domains, and a daemon that asks every few seconds makes them within
a minute. So the threads that log on ask here first. A password that was not accepted yet is offered by one of them at a
time; a refused one rests, for all servers and incidents. Its file keeps that over a restart: systemd starts a daemon
that fails six times in ten minutes. A password that was changed is another one, and is tried at once.

After the rest another server than the one that refused is asked first. Where it accepts, the password is good, and only
the one that refused is left alone: otherwise one server could take the hands off all the others for ever.
"""

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import structlog
from pydantic import TypeAdapter

REST = timedelta(minutes=15)
ALONE = timedelta(hours=1)  #: how long a server is left alone that refuses what others accept; doubled each time
MOST = 3  #: refusals of an account, with whatever passwords, within this time: then the last one rests for longer
WITHIN = timedelta(hours=1)

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


Offer = tuple[tuple[str, str], Hop, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal of an account's password. `told`: a human was paged for it, or for one before it.

    `rest`: how long there is no logon. `elsewhere`: who has accepted the password since, so that it is only `server`
    that is left alone; it has lied `times`.
    """

    identity: Identity
    hop: Hop
    server: str
    at: datetime
    why: str
    told: bool = False
    rest: timedelta = REST
    elsewhere: str = ""
    times: int = 1

    @property
    def until(self) -> datetime:
        """Until when it rests, or the server alone is left alone."""
        return self.at + (ALONE * 2 ** min(self.times - 1, 4) if self.elsewhere else self.rest)

    def rests(self, now: datetime) -> bool:
        """Whether there is no logon now. A clock that was set back while no daemon ran makes it no longer."""
        return not self.elsewhere and self.at <= now < self.until

    def shuns(self, now: datetime, server: str, hops: Collection[Hop], *, others: bool) -> bool:
        """Whether `server` is left alone: it has refused, and another is to tell whether the password is good."""
        end = self.until if self.elsewhere else self.until + self.rest
        return server == self.server and self.hop in hops and (others or bool(self.elsewhere)) and self.at <= now < end

    def same(self, identity: Identity) -> bool:
        """Whether it was about the same password of the same account."""
        return self.identity.account == identity.account

    def concerns(self, identity: Identity) -> bool:
        """Whether what becomes of this password replaces it: it is the same, or the credential has another one now."""
        return self.same(identity) or self.identity.credential == identity.credential

    def __str__(self) -> str:
        who, until = self.identity, f"{self.until:%Y-%m-%d %H:%M} UTC"
        credential = f"[credentials.{who.credential}] ({who.username})"
        if self.elsewhere:
            return (
                f"{self.server} is left alone until {until}: at {self.at:%H:%M} it refused {credential}, which "
                f"{self.elsewhere} accepts ({self.why}); check its clock, its secure channel to the domain and its "
                "NTLM policy, and whether the account was locked then"
            )
        return (
            f"no logon with {credential} until {until}: refused at {self.at:%H:%M} by {self.server} ({self.why}); "
            f"correct {who.place}: another password is tried at once"
        )


class NoLogon(Exception):  # noqa: N818 - what is withheld, not a fault
    """There is no logon now. `refusal`: why; None when the time ran out while others tried the same password."""

    def __init__(self, refusal: Refusal | None) -> None:
        self.refusal = refusal
        super().__init__(str(refusal or "waited for the first logon with this credential, which did not end in time"))


class Logons:
    """Asked by every thread before it logs on. `file` None: not kept."""

    def __init__(self, now: Callable[[], datetime], file: Path | None = None, rest: timedelta = REST) -> None:
        self._now = now
        self._file = file
        self._rest = rest
        self._changed = threading.Condition()
        self._kept = _read(file)
        self._seen = _stamp(file)
        self._proven: set[tuple[tuple[str, str], Hop]] = set()
        self._trying: set[Offer] = set()
        self._refused = 0  #: how often, to tell what was accepted since from what was before

    def identity(self, credential: str, username: str, place: str, password: str) -> Identity:
        """What is offered with this password."""
        salt = bytes.fromhex(self._kept.salt)
        mark = hashlib.blake2b(password.encode(), key=salt, digest_size=2).hexdigest()
        return Identity(credential=credential, username=username, place=place, mark=mark)

    def resting(self) -> list[Refusal]:
        """The refusals because of which there is no logon now, be it on one server."""
        now = self._now()
        with self._changed:
            self._look()
            return [each for each in self._kept.refusals if each.at <= now < each.until]

    def untold(self) -> list[Refusal]:
        """The refusals of which nobody was told."""
        with self._changed:
            return [each for each in self._kept.refusals if not each.told]

    def tell(self, told: Refusal) -> None:
        """A human was told: of the same password not again until it was accepted, and of one server only once."""
        with self._changed:
            refusals = self._kept.refusals
            alike = [each.same(told.identity) and each.elsewhere == told.elsewhere for each in refusals]
            self._keep([replace(each, told=each.told or same) for each, same in zip(refusals, alike, strict=True)])

    def begin(
        self, identity: Identity, server: str, hops: Collection[Hop], seconds: float, *, others: bool = True
    ) -> "Logon":
        """Wait for one's turn, at most `seconds`. Whoever gets it ends it with `Logon.leave`.

        `others`: this password is offered to other servers too, so that one of them can tell whether it is good.

        Raises:
            NoLogon: it may not be tried now.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                self._look()
                now, ours = self._now(), [each for each in self._kept.refusals if each.same(identity)]
                for each in ours:
                    if each.rests(now) or each.shuns(now, server, hops, others=others):
                        raise NoLogon(each)
                doubtful = self._doubtful(identity, server, hops, ours)
                if not doubtful & self._trying:
                    break
                if (left := end - time.monotonic()) <= 0:
                    raise NoLogon(None)
                self._changed.wait(left)
            self._trying |= doubtful
            return Logon(self, identity, server, doubtful, self._refused)

    def accepted(self, identity: Identity, hop: Hop, server: str, since: int) -> None:
        """A password was accepted by a logon that began after `since` refusals; after a later one it proves nothing."""
        with self._changed:
            if since != self._refused:
                return
            self._proven.add((identity.account, hop))
            left = [_accepted(each, identity, hop, server) for each in self._kept.refusals]
            if left != self._kept.refusals:
                self._keep([each for each in left if each is not None])

    def refused(self, identity: Identity, hop: Hop, server: str, why: str) -> None:
        """A password was refused."""
        with self._changed:
            now, before = self._now(), self._kept.refusals
            self._refused += 1
            self._proven -= {(identity.account, each) for each in Hop}
            user = identity.account[0]
            recent = [*(at for at in self._kept.recent.get(user, []) if now - WITHIN < at <= now), now]
            self._kept.recent[user] = recent
            longer = recent[-MOST] + WITHIN - now if len(recent) >= MOST else self._rest
            lied = next((each for each in before if each.same(identity) and _lies(each, server, hop)), None)
            told = any(each.told for each in before if each.same(identity) and (not each.elsewhere or each is lied))
            refusal = Refusal(
                identity=identity,
                hop=hop,
                server=server,
                at=now,
                why=why,
                told=told,
                rest=max(self._rest, longer),
                times=lied.times + 1 if lied else 1,
            )
            liars = [each for each in before if each.same(identity) and each.elsewhere and each is not lied]
            self._keep([*(each for each in before if not each.concerns(identity)), *liars, refusal])
            self._changed.notify_all()

    def leave(self, offers: Collection[Offer]) -> None:
        """Let the next one try."""
        with self._changed:
            self._trying -= set(offers)
            self._changed.notify_all()

    def _doubtful(
        self, identity: Identity, server: str, hops: Collection[Hop], refusals: Collection[Refusal]
    ) -> set[Offer]:
        """What is offered by one thread at a time: to a server; to Exchange where it has refused what others accept.

        And anywhere, as long as nobody has accepted it.
        """
        account = identity.account
        by_itself = {Hop.SERVER} | {each.hop for each in refusals if each.elsewhere and each.server == server}
        here = {(account, hop, server) for hop in hops if hop in by_itself}
        return here | {(account, hop, "") for hop in hops if (account, hop) not in self._proven}

    def _look(self) -> None:
        """Take over what another process, as `exmedic doctor`, has kept since."""
        stamp = _stamp(self._file)
        if stamp not in (self._seen, None):
            self._kept, self._seen = _read(self._file), stamp

    def _keep(self, refusals: list[Refusal]) -> None:
        """Remember these and no others, over a restart as well. Dies it before: one more logon, or one more page."""
        self._kept.refusals = refusals
        if self._file is None:
            return
        part = self._file.with_name(f".{self._file.name}.part")
        try:
            part.touch(mode=0o600)
            part.write_bytes(_KEPT.dump_json(self._kept))
            if os.geteuid() == 0:  # the doctor of an administrator must not take the file from the daemon
                owner = (self._file if self._file.exists() else self._file.parent).stat()
                os.chown(part, owner.st_uid, owner.st_gid)
            part.replace(self._file)
        except OSError as error:
            _log.warning("logons_not_kept", file=str(self._file), reason=error.strerror)
        self._seen = _stamp(self._file)


class Logon:
    """One logon of one thread: accepted, refused, or broken off before anybody could tell."""

    def __init__(
        self, logons: Logons, identity: Identity, server: str, doubtful: Collection[Offer], since: int
    ) -> None:
        self._logons = logons
        self._identity = identity
        self._server = server
        self._doubtful = set(doubtful)
        self._since = since

    def accepted(self, hop: Hop) -> None:
        """The password was accepted there: nobody need wait for that any more."""
        offers = {offer for offer in self._doubtful if offer[1] is hop}
        if offers:
            self._doubtful -= offers
            self._logons.accepted(self._identity, hop, self._server, self._since)
            self._logons.leave(offers)

    def refused(self, hop: Hop, why: str) -> None:
        """The password was refused there."""
        self._logons.refused(self._identity, hop, self._server, why)

    def leave(self) -> None:
        """It is over. May be called twice."""
        self._logons.leave(self._doubtful)
        self._doubtful = set()


def _lies(refusal: Refusal, server: str, hop: Hop) -> bool:
    """Whether `server` has refused there what another one accepted."""
    return bool(refusal.elsewhere) and refusal.server == server and refusal.hop is hop


def _accepted(refusal: Refusal, identity: Identity, hop: Hop, server: str) -> Refusal | None:
    """What is left of a refusal once `server` accepts a password: None where it is over."""
    if refusal.hop is not hop or not refusal.concerns(identity):
        return refusal
    if not refusal.same(identity) or refusal.server == server:
        return None
    if refusal.elsewhere:
        return refusal
    return replace(refusal, elsewhere=server, told=refusal.told and refusal.times > 1)


@dataclass(slots=True)
class _Kept:
    """What the file holds. The salt is not secret, and another one makes every password another.

    `recent`: when the passwords of an account were refused within the last hour.
    """

    salt: str
    refusals: list[Refusal]
    recent: dict[str, list[datetime]] = field(default_factory=dict)


_KEPT = TypeAdapter(_Kept)


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """What changes when a file is written anew; None where there is none."""
    try:
        found = file.stat() if file is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns)


def _read(file: Path | None) -> _Kept:
    """The salt and the refusals in a file; what cannot be read costs one logon a credential."""
    fresh = _Kept(secrets.token_bytes(16).hex(), [])
    if file is None or not file.exists():
        return fresh
    try:
        kept = _KEPT.validate_json(file.read_bytes())
        bytes.fromhex(kept.salt)
    except (OSError, ValueError) as error:
        _log.warning("logons_not_read", file=str(file), reason=type(error).__name__)
        return fresh
    return kept
