"""The POP protocol log of a lab server, as its front end writes it once it was restarted with logging switched on.

Facts: Microsoft, Protocol logging for POP3 and IMAP4 (CSV files, one event a line, the columns named at their head);
the lines of failed logons as public reports have them.
The lines are made when they are read: other people's sessions every few seconds, Managed Availability's own probes,
and those probes that were invoked while the log was on.
"""

import csv
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

FOLDER = r"C:\Program Files\Microsoft\Exchange Server\V15\Logging\Pop3"
COLUMNS = (
    "dateTime",
    "sessionId",
    "seqNumber",
    "sIp",
    "cIp",
    "user",
    "duration",
    "rqsize",
    "rpsize",
    "command",
    "parameters",
    "context",
    "puid",
)  # fmt: skip
#: The same in another order, and one more: readers must go by the names.
OTHER_COLUMNS = ("sessionId", "activityId", "user", "context", "dateTime", *COLUMNS[2:5], *COLUMNS[6:11], "puid")

FRONT = "POP"  #: how the names of the front end's files begin
#: Front and back end write side by side into one folder, and each numbers its sessions from 1 at each start.
SERIES: Mapping[str, str] = MappingProxyType({"MSExchangePOP3": FRONT, "MSExchangePOP3BE": "POPBE"})

_EVERY = 11  #: seconds between two sessions of other users
_PROBE_EVERY = 300  #: seconds between two of Managed Availability's own probes
_LONGEST = timedelta(days=1)  #: of log that is made at once
_PEOPLE = ("alice", "bruno", "chloe", "daniel", "emma", "farid", "gaelle", "hugo", "ines", "jules")


class Logon(StrEnum):
    """How a session's logon ended. Both kinds of failure are seen in public logs."""

    SERVED = "served"
    NOT_PROXIED = "not_proxied"  #: failed on the way to the back end, which is named
    TIMED_OUT = "timed_out"  #: on that way as well: the back end is not named
    REFUSED = "refused"  #: before anybody knew who it was: no line has the user


@dataclass(frozen=True, slots=True)
class Session:
    """One connection: when, whose, and which Mailbox server it was handed on to (empty: that is not in the log)."""

    at: datetime
    user: str
    backend: str
    logon: Logon = Logon.SERVED


@dataclass(slots=True)
class Span:
    """A time in which a service wrote; `ended` None: it still does. `series`: how its files' names begin."""

    series: str
    begun: datetime
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file of the log. Its name tells of which series it is."""

    name: str
    series: str
    text: str


@dataclass(slots=True)
class PopLog:
    """`enabled` is ProtocolLogEnabled; `spans` say when the services really wrote."""

    enabled: bool = False
    spans: list[Span] = field(default_factory=list)
    probes: list[Session] = field(default_factory=list)

    @property
    def writes(self) -> bool:
        """Whether a service writes it now."""
        return any(span.ended is None for span in self.spans)

    def service_started(self, service: str, now: datetime) -> None:
        """The service reads its settings when it starts, and only then."""
        if self.enabled and service in SERIES:
            self.spans.append(Span(SERIES[service], now))

    def service_stopped(self, service: str, now: datetime) -> None:
        """The open file is closed."""
        for span in self.spans:
            if span.series == SERIES.get(service) and span.ended is None:
                span.ended = now

    def files(self, now: datetime, since: datetime, until: datetime, writer: "LogWriter") -> list[File]:
        """The files begun before `until`, the oldest first, one for each start, with what they have of that span."""
        found = []
        for number, span in enumerate(self.spans, start=1):
            if span.begun <= until:
                last = min(span.ended or now, until)
                text = writer.file(span.begun, self._numbered(span, max(span.begun, since), last, writer))
                found.append(File(f"{span.series}{span.begun:%Y%m%d}-{number}.log", span.series, text))
        return found

    def _numbered(self, span: Span, first: datetime, last: datetime, writer: "LogWriter") -> list[tuple[int, Session]]:
        """The sessions of a span with their numbers, which begin with 1 at each start of the service."""
        if first > last:
            return []
        first = max(first, last - _LONGEST)
        before = self._count(span, span.begun, first)
        return list(enumerate(self._sessions(span, first, last, writer), start=before + 1))

    def _count(self, span: Span, first: datetime, last: datetime) -> int:
        """How many sessions there were before `last`."""
        probes = sum(first <= probe.at < last for probe in self.probes) if span.series == FRONT else 0
        end = last - timedelta(microseconds=1)
        return probes + sum(len(_ticks(first, end, every)) for every in (_EVERY, _PROBE_EVERY))

    def _sessions(self, span: Span, first: datetime, last: datetime, writer: "LogWriter") -> list[Session]:
        front = span.series == FRONT
        made = [probe for probe in self.probes if front and first <= probe.at <= last]
        for number in _ticks(first, last, _EVERY):
            name = _PEOPLE[zlib.crc32(f"{writer.server}{span.series}{number}".encode()) % len(_PEOPLE)]
            backend = writer.others[number % len(writer.others)] if front else ""
            made.append(Session(_moment(first, number * _EVERY), f"{name}@{writer.domain}", backend))
        for number in _ticks(first, last, _PROBE_EVERY):
            at = _moment(first, number * _PROBE_EVERY)
            made.append(replace(writer.probe, at=at) if front else Session(at, writer.probe.user, ""))
        return sorted(made, key=lambda session: session.at)


def _address(user: str) -> str:
    """Where a person's mail program runs."""
    return f"10.1.{zlib.crc32(user.encode()) % 250}.7"


def _ticks(first: datetime, last: datetime, every: int) -> range:
    """The whole multiples of `every` seconds between two moments."""
    return range(-int(-first.timestamp() // every), int(last.timestamp() // every) + 1)


def _moment(like: datetime, timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, like.tzinfo)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWriter:
    """How one server writes its log. `probe`: how Managed Availability's own fare; `others` serve everybody else.

    `skew` is its clock's. `short_lines`: lines leave out the last cell, as those of some versions do.
    """

    server: str
    domain: str
    probe: Session
    others: Sequence[str]
    skew: timedelta
    columns: tuple[str, ...] = COLUMNS
    short_lines: bool = False

    def file(self, begun: datetime, sessions: Sequence[tuple[int, Session]]) -> str:
        """A whole file: its head and the sessions' lines in the order of time."""
        text = io.StringIO(newline="")
        text.write("#Software: Microsoft Exchange Server\r\n#Version: 15.0.0.0\r\n#Log-type: POP3 Log\r\n")
        text.write(f"#Date: {self._time(begun)}\r\n#Fields: {','.join(self.columns)}\r\n")
        lines = sorted(
            (line for number, session in sessions for line in self._lines(number, session)),
            key=lambda line: line["dateTime"],
        )
        columns = self.columns[:-1] if self.short_lines else self.columns
        rows = csv.writer(text, lineterminator="\r\n")
        rows.writerows([line.get(column, "") for column in columns] for line in lines)
        return text.getvalue()

    def _lines(self, number: int, session: Session) -> Iterator[dict[str, str]]:
        # A probe connects from the server itself.
        client = "127.0.0.1" if session.user == self.probe.user else _address(session.user)
        for sequence, (command, parameters, context) in enumerate(_commands(session)):
            known = sequence > _USER and session.logon is not Logon.REFUSED
            yield {
                "dateTime": self._time(session.at + timedelta(milliseconds=40 * sequence)),
                "sessionId": str(number),
                "seqNumber": str(sequence),
                "sIp": "10.1.0.20:995",
                "cIp": f"{client}:{40000 + number % 20000}",
                "user": session.user if known else "",
                "duration": str(3 + sequence),
                "rqsize": str(len(command)),
                "rpsize": "51",
                "command": command,
                "parameters": parameters,
                "context": context,
            }

    def _time(self, moment: datetime) -> str:
        return (moment + self.skew).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


_USER = 2  #: the place of the command `user` in a session: nobody is known before its answer


def _commands(session: Session) -> Iterator[tuple[str, str, str]]:
    yield "OpenSession", "", ""
    yield "capa", "", "R=ok"
    yield "user", session.user, "R=ok"
    yield "pass", "*****", _answer(session)
    if session.logon is Logon.SERVED:
        yield "stat", "", "R=ok"
    yield "quit", "", "R=ok"
    yield "CloseSession", "", ""


def _answer(session: Session) -> str:
    """What the log has behind the password."""
    host, _, domain = session.backend.partition(".")
    proxied = f"Proxy:{host.upper()}.{domain}:1995:SSL"
    match session.logon:
        case Logon.SERVED:
            return f'R=ok;Msg="{proxied}"' if host else "R=ok"
        case Logon.NOT_PROXIED:
            return f'R="-ERR Server Unavailable. 21";Msg="{proxied};ErrMsg=ProxyNotAuthenticated"'
        case Logon.TIMED_OUT:
            return 'R="-ERR Server Unavailable. 21";Msg="ErrMsg=ProxyTimeout"'
        case Logon.REFUSED:
            return 'R="-ERR Logon failure: unknown user name or bad password.";Msg="AuthFailed:LogonDenied"'
