"""The systemd journal by its native protocol, and back out of it with journalctl.

The protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL) is one datagram an entry, so writing it needs no library; a folder
named systemd at the root of this project would shadow the one that there is.
"""

import array
import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from daemon.audit.journal_fields import AUDIT_FIELDS, IDENTIFIER, MESSAGE_IDS, field_name, journal_fields
from daemon.audit.restored_store import Copy
from daemon.domain.audit import AuditRow
from daemon.domain.errors import SinkDown
from daemon.domain.values import canonical

SOCKET = Path("/run/systemd/journal/socket")

_FULL_DEADLINE = 2.0  #: seconds a full socket may take to accept an entry
_SEND_BUFFER = 8 * 1024 * 1024  # as sd_journal_send has it; what does not fit goes through a memfd
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_TAKEN = AUDIT_FIELDS - {"INCIDENT_ID", "SERVER", "HEALTH_SET", "MONITOR"}  # a log line may be about these as well
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)


def serialize(fields: Mapping[str, str]) -> bytes:
    """One entry as a datagram. Values with line breaks carry their length."""
    parts = []
    for name, value in fields.items():
        data = value.encode("utf-8", "replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


class JournalSocket:
    """A connection to journald that never blocks. It connects when first used, and again after an error."""

    def __init__(self, path: Path = SOCKET) -> None:
        self.path = path
        self._socket: socket.socket | None = None

    def send(self, entry: bytes) -> None:
        """Hand one entry over.

        Raises:
            BlockingIOError: the socket is full.
            OSError: journald is not there.
        """
        connected = self._socket or self._connect()
        try:
            connected.send(entry)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                self.close()
                raise
            self._send_sealed(connected, entry)

    async def writable(self) -> None:
        """Return when the socket takes an entry again."""
        if self._socket is None:
            return
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        watched = self._socket.fileno()
        loop.add_writer(watched, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(watched)

    def close(self) -> None:
        """Give the socket up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            connecting.connect(str(self.path))
        except OSError:
            connecting.close()
            raise
        self._socket = connecting
        return connecting

    @staticmethod
    def _send_sealed(connected: socket.socket, entry: bytes) -> None:
        # journald takes only a memfd that nobody can change while it reads.
        with open(os.memfd_create("exmedic-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(entry)
            file.flush()
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            connected.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))])


class JournalSink:
    """`ports.AuditSink` into the journal. Datagrams are not acknowledged: the follower's re-sending bounds the loss."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._socket = JournalSocket(path)

    async def emit(self, row: AuditRow) -> None:
        """Hand a row over. Waits a little for a journal that is busy, never for one that is stuck.

        Raises:
            SinkDown: there is no journald, or it takes nothing.
        """
        entry = serialize(journal_fields(row))
        try:
            async with asyncio.timeout(_FULL_DEADLINE):
                await self._send(entry)
        except TimeoutError as error:
            raise SinkDown(f"journald has not read from {self._socket.path} for {_FULL_DEADLINE:g} s") from error
        except OSError as error:
            raise SinkDown(f"journald does not answer at {self._socket.path}: {error.strerror}") from error

    def close(self) -> None:
        """Give the socket up."""
        self._socket.close()

    async def _send(self, entry: bytes) -> None:
        while True:
            try:
                self._socket.send(entry)
            except BlockingIOError:
                await self._socket.writable()
            else:
                return


class JournalHandler(logging.Handler):
    """The daemon's own log, natively into the journal: each fact of a structlog event becomes a field.

    It never blocks. Entries that a full or absent journal does not take are counted in the next one that it does take.
    """

    def __init__(self, path: Path = SOCKET) -> None:
        super().__init__()
        self._socket = JournalSocket(path)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        try:
            fields = self._fields(record)
        except Exception:  # noqa: BLE001 - a log line that cannot be formatted must not stop a ladder
            self.handleError(record)
            return
        try:
            self._socket.send(serialize(fields))
            self._lost = 0
        except OSError:
            self._lost += 1

    def close(self) -> None:
        """See `logging.Handler.close`."""
        self._socket.close()
        super().close()

    def _fields(self, record: logging.LogRecord) -> dict[str, str]:
        message = self.format(record)
        facts = record.msg if isinstance(record.msg, dict) else {}
        fields = {
            field_name(str(name), _TAKEN): value if isinstance(value, str) else canonical(_plain(value))
            for name, value in facts.items()
            if not str(name).startswith("_")
        }
        ours = {
            "MESSAGE": message,
            "PRIORITY": _priority(record.levelno),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "LOGGER": record.name,
        }
        lost = {"LOST_ENTRIES": str(self._lost)} if self._lost else {}
        return fields | ours | lost


def _plain(value: object) -> object:
    try:
        canonical(value)
    except (TypeError, ValueError):
        return str(value)
    return value


def _priority(level: int) -> str:
    for least, priority in ((logging.CRITICAL, "2"), (logging.ERROR, "3"), (logging.WARNING, "4"), (logging.INFO, "6")):
        if level >= least:
            return priority
    return "7"


async def journal_copies(*, namespace: str | None = None, uid: int | None = None) -> AsyncIterator[tuple[int, str]]:
    """The number and hash of every copy of an audit row in the journal, in the journal's order, repetitions included.

    `uid`: only entries that a process of this user wrote, which the journal itself vouches for.

    Raises:
        SinkDown: journalctl is missing or cannot read the journal.
    """
    async for copy in _copies([], namespace, uid):
        yield copy.seq, copy.hash


async def newest_copies(limit: int, *, namespace: str | None = None, uid: int | None = None) -> AsyncIterator[Copy]:
    """The last `limit` copies in the journal, the newest first; otherwise like `journal_copies`."""
    kinds = [f"MESSAGE_ID={each}" for each in MESSAGE_IDS.values()]  # the daemon's own log has none of them
    async for copy in _copies(["--reverse", f"--lines={limit}", *kinds], namespace, uid):
        yield copy


async def _copies(wanted: Sequence[str], namespace: str | None, uid: int | None) -> AsyncIterator[Copy]:
    command = ["journalctl", "-o", "json", "--no-pager", "--quiet", "--output-fields=AUDIT_SEQ,AUDIT_HASH,AUDIT_KIND"]
    command += [f"--namespace={namespace}"] if namespace else []
    command += [f"SYSLOG_IDENTIFIER={IDENTIFIER}"] + ([] if uid is None else [f"_UID={uid}"])
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, *wanted, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise SinkDown(f"journalctl cannot be run: {error.strerror}; install systemd's journalctl") from error
    if process.stdout is None or process.stderr is None:
        raise SinkDown("journalctl gave no output to read")
    try:
        async for line in process.stdout:
            copy = _copy(line)
            if copy is not None:
                yield copy
        complaint = (await process.stderr.read()).decode("utf-8", "replace").strip()
        if await process.wait() != 0:
            raise SinkDown(f"journalctl failed: {complaint}; run it as root or as a member of systemd-journal")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _copy(line: bytes) -> Copy | None:
    entry = json.loads(line)
    seq, copied = entry.get("AUDIT_SEQ"), entry.get("AUDIT_HASH")
    if isinstance(seq, str) and seq.isascii() and seq.isdigit() and isinstance(copied, str):
        return Copy(int(seq), copied, str(entry.get("AUDIT_KIND")))
    return None  # a line of the daemon's own log
