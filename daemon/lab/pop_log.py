"""The POP protocol log of a lab server, as its front end writes it once it was restarted with logging switched on.

Facts: Microsoft, Protocol logging for POP3 and IMAP4 (CSV files, one event a line, the columns named at their head).
The lines are made when they are read: other people's sessions every few seconds, Managed Availability's own probes,
and those probes that were invoked while the log was on.
"""

import csv
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

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

_EVERY = 11  #: seconds between two sessions of other users
_PROBE_EVERY = 300  #: seconds between two of Managed Availability's own probes
_LONGEST = timedelta(days=1)  #: of log that is made at once
_PEOPLE = ("alice", "bruno", "chloe", "daniel", "emma", "farid", "gaelle", "hugo", "ines", "jules")


@dataclass(frozen=True, slots=True)
class Session:
    """One connection: when, whose, and which Mailbox server it was handed on to."""

    at: datetime
    user: str
    backend: str
    served: bool = True


@dataclass(slots=True)
class PopLog:
    """`enabled` is ProtocolLogEnabled; `spans` says when the service really wrote (the last may still be open)."""

    enabled: bool = False
    spans: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    probes: list[Session] = field(default_factory=list)

    def service_started(self, now: datetime) -> None:
        """The service reads its settings when it starts, and only then."""
        if self.enabled:
            self.spans.append((now, None))

    def service_stopped(self, now: datetime) -> None:
        """The open file is closed."""
        if self.spans and self.spans[-1][1] is None:
            self.spans[-1] = (self.spans[-1][0], now)

    def files(self, now: datetime, since: datetime, until: datetime, writer: "LogWriter") -> list[str]:
        """The text of each file, a file for each time the service ran, as far as it touches that span."""
        found = []
        for begun, ended in self.spans:
            first, last = max(begun, since), min(ended or now, until)
            if first <= last:
                found.append(writer.file(begun, self._sessions(max(first, last - _LONGEST), last, writer)))
        return found

    def _sessions(self, first: datetime, last: datetime, writer: "LogWriter") -> list[Session]:
        made = [probe for probe in self.probes if first <= probe.at <= last]
        for number in _ticks(first, last, _EVERY):
            name = _PEOPLE[zlib.crc32(f"{writer.server}{number}".encode()) % len(_PEOPLE)]
            backend = writer.others[number % len(writer.others)]
            made.append(Session(_moment(first, number * _EVERY), f"{name}@{writer.domain}", backend))
        made += [
            Session(_moment(first, number * _PROBE_EVERY), writer.probe_user, writer.backend)
            for number in _ticks(first, last, _PROBE_EVERY)
        ]
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
    """How one server writes its log. `backend` serves its probes, `others` everybody else; `skew` is its clock's."""

    server: str
    domain: str
    backend: str
    others: Sequence[str]
    skew: timedelta
    columns: tuple[str, ...] = COLUMNS
    names_backend: bool = True

    @property
    def probe_user(self) -> str:
        """The monitoring mailbox that probes log on to."""
        return f"HealthMailbox{zlib.crc32(self.server.encode()):08x}@{self.domain}"

    def file(self, begun: datetime, sessions: Sequence[Session]) -> str:
        """A whole file: its head and the sessions' lines in the order of time."""
        text = io.StringIO(newline="")
        text.write("#Software: Microsoft Exchange Server\r\n#Version: 15.0.0.0\r\n#Log-type: POP3 Log\r\n")
        text.write(f"#Date: {self._time(begun)}\r\n#Fields: {','.join(self.columns)}\r\n")
        lines = sorted(
            (line for session in sessions for line in self._lines(session)), key=lambda line: line["dateTime"]
        )
        rows = csv.writer(text, lineterminator="\r\n")
        rows.writerows([line.get(column, "") for column in self.columns] for line in lines)
        return text.getvalue()

    def _lines(self, session: Session) -> Iterator[dict[str, str]]:
        name = f"{session.at.timestamp():.3f}{session.user}{session.backend}"
        number = f"{zlib.crc32(name.encode()):016X}"
        port = 40000 + zlib.crc32(name.encode()) % 20000
        # A probe connects from the server itself.
        client = f"{'127.0.0.1' if session.user == self.probe_user else _address(session.user)}:{port}"
        for sequence, (command, parameters, context) in enumerate(self._commands(session)):
            yield {
                "dateTime": self._time(session.at + timedelta(milliseconds=40 * sequence)),
                "sessionId": number,
                "seqNumber": str(sequence),
                "sIp": "10.1.0.20:995",
                "cIp": client,
                "user": session.user if sequence > 1 else "",  # nobody has logged on before
                "duration": str(3 + sequence),
                "rqsize": str(len(command)),
                "rpsize": "51",
                "command": command,
                "parameters": parameters,
                "context": context,
            }

    def _commands(self, session: Session) -> Iterator[tuple[str, str, str]]:
        yield "OpenSession", "", ""
        yield "capa", "", "R=ok"
        yield "user", session.user, "R=ok"
        result = "R=ok" if session.served else 'R="-ERR Server Unavailable. 21"'
        if self.names_backend or session.user != self.probe_user:
            host, _, domain = session.backend.partition(".")
            result += f';Msg="Proxy:{host.upper()}.{domain}:1995:SSL"'
        yield "pass", "*****", result
        if session.served:
            yield "stat", "", "R=ok"
        yield "quit", "", "R=ok"
        yield "CloseSession", "", ""

    def _time(self, moment: datetime) -> str:
        return (moment + self.skew).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
