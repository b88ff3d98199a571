"""The audit trail on its way out: what an audit row is in the journal, who copies it there, and how it is verified.

The chain in the store is the record. The journal holds a copy of each row's number and hash, so that a chain that was
rewritten, thinned out or cut off is found by comparing the two.
"""

import asyncio
import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from daemon.domain.audit import GENESIS, AuditEntry, AuditKind, AuditRow, chain_hash
from daemon.domain.errors import SinkDown
from daemon.domain.ports import AuditSink, Clock, Store
from daemon.domain.values import canonical, timestamp
from daemon.runtime.wakeup import POLL, Nudge

IDENTIFIER = "exmedic"  #: SYSLOG_IDENTIFIER of all we write

#: Journal datagrams are not acknowledged, so after a start, and after the sink was down, this many rows before the last
#: one are sent again. What the journal loses is bounded by it: a journald that is killed loses the datagrams that wait
#: in its socket (at most net.unix.max_dgram_qlen, and none under systemd, which keeps the socket open); a power cut
#: loses what it had not synced (5 minutes by default, nothing of priority 2). Rows beyond this many stay lost there,
#: never in the store.
RESEND = 100

_BATCH = 200
_RETRY_FIRST, _RETRY_MOST = 0.5, 30.0  #: seconds between attempts while the sink is down

log = structlog.get_logger("exmedic.audit")

_CRITICAL, _ERROR, _WARNING, _NOTICE, _INFO = "2", "3", "4", "5", "6"  # syslog(3)


@dataclass(frozen=True, slots=True)
class Label:
    """How a kind of audit row shows in the journal. The catalogue (systemd/exmedic.catalog) explains each id."""

    message_id: str  #: 128 random bits, in hex; never to be changed
    priority: str


LABELS: Mapping[AuditKind, Label] = MappingProxyType(
    {
        AuditKind.ALERT_ACCEPTED: Label("64ed09b27afe0aedf55ec436c0d27e44", _INFO),
        AuditKind.ALERT_REJECTED: Label("bd57c8ca9031bbc9aa79d48d3b1a8e38", _WARNING),
        AuditKind.ALERT_JOINED: Label("e22b07dd555da3e42e309e2ba5fcc09a", _INFO),
        AuditKind.ALERT_SUPPRESSED: Label("f960699e26047a3abcf5e2757dc2b1bf", _NOTICE),
        AuditKind.INCIDENT_OPENED: Label("0588c71cc3a3e636a6e84ec22d3ebb8d", _WARNING),
        AuditKind.DECISION: Label("07368d4fe0669c700cee31acda5a183d", _INFO),
        AuditKind.INTENT: Label("71c829f225572dcfbb52dbcfd5700bfe", _NOTICE),
        AuditKind.OUTCOME: Label("a2e5632d12f01d0d12d10324c002c966", _NOTICE),
        AuditKind.WITHDRAWN: Label("7fb7239be612e11332738d1209c1ae6c", _WARNING),
        AuditKind.TRANSITION: Label("bdc4548545a2d1845d0a5d497c14be25", _INFO),
        AuditKind.UNDO_LEFT: Label("0014c34c63619c437dc300864edd3719", _ERROR),
        AuditKind.RESOLVED: Label("6bf623a7ad65de71bb1646b4fde8b0da", _NOTICE),
        AuditKind.ESCALATED: Label("e1b4d7392b4213147c3d1718d1c1cbcb", _CRITICAL),
        AuditKind.CANCELLED: Label("f1b31af1191778872d39f60286ac4069", _WARNING),
        AuditKind.LATCH_LIFTED: Label("825be919723d9ac000a39f633bb38f7a", _NOTICE),
        AuditKind.NOTIFIED: Label("46436e355936b188de9e965130ccbe4c", _NOTICE),
        AuditKind.NOT_NOTIFIED: Label("a078a0c6df22ec9119f35dbed65b5282", _WARNING),
        AuditKind.QUARANTINED: Label("988fc1906dabebce4f6188ea786dce13", _CRITICAL),
        AuditKind.QUARANTINE_LIFTED: Label("1ec741294ae4e0d352fc3202939b3b58", _WARNING),
        AuditKind.CAUSE_FOUND: Label("5d1c0e7f2b8a4c63a0f49e6d73b1c582", _CRITICAL),
        AuditKind.CAUSE_OVER: Label("b7a3f6092c4d4e18935c1de08f62a7d4", _NOTICE),
        AuditKind.PAUSED: Label("60609c486068da74e17603bcf7b1200d", _WARNING),
        AuditKind.RESUMED: Label("2a83d89a22563dae5219e30e1a581c06", _WARNING),
        AuditKind.WINDOW_ADDED: Label("a0f7dd846e3b0645b3a2702b05893289", _NOTICE),
        AuditKind.WINDOW_ENDED: Label("77395353aa6b5c33b402090e693a49d3", _NOTICE),
        AuditKind.STARTED: Label("f6467bb108ffb8f3a190d4b7343056f4", _NOTICE),
        AuditKind.STOPPED: Label("0eb34908e1d34c326c2f13a240904992", _NOTICE),
        AuditKind.STORE_OLDER: Label("6f8617b2fd2fbb0e44a41b7b1b2642f1", _CRITICAL),
        AuditKind.LOGON_REFUSED: Label("4d0b8c1e95f74a2db6a3e1702c58f9d6", _CRITICAL),
        AuditKind.LEDGER_MISMATCH: Label("e3ced12adf3232be92d4caea368fac36", _CRITICAL),
        AuditKind.LEDGER_BALANCED: Label("7bc8d67024d6c195b2af27d4b137b256", _NOTICE),
    },
)

MESSAGE_IDS: Mapping[AuditKind, str] = MappingProxyType({kind: each.message_id for kind, each in LABELS.items()})

# journald drops a field whose name it does not like without a word (systemd.journal-fields(7)).
_FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_RENAMED = {"step": "STEP_ID"}
AUDIT_FIELDS = frozenset(
    {
        "MESSAGE",
        "MESSAGE_ID",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
        "INCIDENT_ID",
        "SERVER",
        "HEALTH_SET",
        "MONITOR",
        "AUDIT_SEQ",
        "AUDIT_HASH",
        "AUDIT_KIND",
        "AUDIT_AT",
    },
)


def field_name(name: str, taken: frozenset[str] = AUDIT_FIELDS) -> str:
    """The journal's name for a fact: one that journald keeps, and that is none of those `taken`."""
    upper = _RENAMED.get(name, name.upper())
    if _FIELD.fullmatch(upper) and upper not in taken:
        return upper
    return ("FIELD_" + re.sub(r"[^A-Z0-9_]", "_", upper))[:64]


def misnamed_fields(entry: AuditEntry) -> list[str]:
    """Facts of an entry that do not show under their own name in a journal; a mistake that tests look for."""
    return [name for name in entry.fields if field_name(name) != _RENAMED.get(name, name.upper())]


def journal_fields(row: AuditRow) -> dict[str, str]:
    """An audit row as fields of a journal entry. Facts that are not text are JSON; empty ones are left out."""
    entry = row.entry
    facts = {
        field_name(name): value if isinstance(value, str) else canonical(value)
        for name, value in entry.fields.items()
        if value is not None
    }
    ours = {
        "MESSAGE": entry.message,
        "MESSAGE_ID": LABELS[entry.kind].message_id,
        "PRIORITY": LABELS[entry.kind].priority,
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "INCIDENT_ID": entry.incident_id,
        "SERVER": entry.server,
        "HEALTH_SET": entry.health_set,
        "MONITOR": entry.monitor,
        "AUDIT_SEQ": str(row.seq),
        "AUDIT_HASH": row.hash,
        "AUDIT_KIND": entry.kind.value,
        "AUDIT_AT": timestamp(entry.at),
    }
    return {name: value for name, value in (facts | ours).items() if value}


class AuditFollower:
    """Copies audit rows to a sink: in order, at least once, and behind the ladders' backs, which never wait for it.

    `cursor` names how far it has come, in the store.
    """

    def __init__(
        self,
        *,
        store: Store,
        sink: AuditSink,
        clock: Clock,
        cursor: str = "journal",
        resend: int = RESEND,
        poll: float = POLL,
    ) -> None:
        self._store = store
        self._sink = sink
        self._nudge = Nudge(clock, poll)
        self._cursor = cursor
        self._resend = resend
        self._sent = 0  # the last row the sink took
        self._failures = 0

    def nudge(self) -> None:
        """There may be new rows."""
        self._nudge.ring()

    async def run(self, beat: Callable[[], None], stopping: asyncio.Event) -> None:
        """Follow the chain until told to stop; then what is left goes out if the sink takes it."""
        recorded = self._sent = await self._store.cursor(self._cursor)
        position = max(0, self._sent - self._resend)
        while True:
            beat()
            rows = await self._store.audit_after(position, _BATCH)
            taken = await self._emit(rows)
            if self._sent > recorded:
                await self._store.set_cursor(self._cursor, self._sent)
                recorded = self._sent
            if not taken:
                if stopping.is_set():
                    return
                await self._nudge.wait(min(_RETRY_MOST, _RETRY_FIRST * 2 ** min(self._failures, 10)))
                position = max(0, self._sent - self._resend)  # the other side may have restarted meanwhile
            elif rows:
                position = rows[-1].seq
            elif stopping.is_set():
                return
            else:
                await self._nudge.wait()

    async def _emit(self, rows: Iterable[AuditRow]) -> bool:
        """Hand rows over until the sink refuses one; whether it took all."""
        for row in rows:
            try:
                await self._sink.emit(row)
            except SinkDown as error:
                if self._failures == 0:
                    log.warning("audit_sink_down", reason=str(error), todo="rows stay in the store and are sent later")
                self._failures += 1
                return False
            if self._failures:
                log.info("audit_sink_up", attempts=self._failures)
                self._failures = 0
            self._sent = max(self._sent, row.seq)
        return True


@dataclass(frozen=True, slots=True)
class Finding:
    """The first audit row that is wrong, and how."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. `compared` counts the copies in the journal that agree with the chain.

    A chain that was cut off at its end is found only by its copies: `compared` 0 leaves that open. Rows without a copy
    are no finding: the journal forgets its oldest entries, and acknowledges nothing.
    """

    rows: int
    head: str  #: hash of the last row
    compared: int
    finding: Finding | None
    missing: int = 0  #: rows without a copy
    begins: int = 0  #: the first row that has one; 0 if none has

    @property
    def gaps(self) -> int:
        """Rows without a copy behind the first one that has one: what the journal lost, not what it forgot."""
        return self.missing - (self.begins - 1) if self.begins else 0


async def verify_chain(store: Store, copies: AsyncIterable[tuple[int, str]] | None = None) -> Verdict:
    """Recompute the whole chain, then compare it with its copies (number and hash, in any order).

    Both are streamed: what is kept is a byte a row. The finding is the first row that is wrong.
    """
    count, head, finding = await _walked(store)
    compared, seen = 0, bytearray(count + 1)
    page: dict[int, str] = {}
    async for seq, copy in copies or _nothing():
        if seq not in page:
            page = {row.seq: row.hash for row in await store.audit_after(seq - 1, _BATCH)}
        reason = _differs(page.get(seq), copy)
        if not reason:
            compared += 1
            seen[seq if seq <= count else 0] = 1
        elif finding is None or seq < finding.seq:
            finding = Finding(seq, reason)
    begins = seen.find(1, 1)
    return Verdict(
        rows=count, head=head, compared=compared, finding=finding, missing=seen[1:].count(0), begins=max(begins, 0)
    )


async def _walked(store: Store) -> tuple[int, str, Finding | None]:
    count, head = 0, GENESIS
    while rows := await store.audit_after(count, _BATCH):
        for row in rows:
            reason = _wrong(row, count + 1, head)
            if reason:
                return count, head, Finding(count + 1, reason)
            count, head = row.seq, row.hash
    return count, head, None


async def _nothing() -> AsyncIterable[tuple[int, str]]:
    return
    yield


def _wrong(row: AuditRow, seq: int, prev_hash: str) -> str:
    if row.seq != seq:
        return f"row {seq} was removed: row {row.seq} follows row {seq - 1}"
    if row.prev_hash != prev_hash:
        return f"row {seq} does not continue row {seq - 1}: one of them was replaced"
    if row.hash != chain_hash(row.seq, row.entry, row.prev_hash):
        return f"row {seq} was rewritten: its content does not have its hash"
    return ""


def _differs(stored: str | None, copy: str) -> str:
    if stored is None:
        return "the journal has a copy of this row and the store does not: the chain was cut off, or is another one"
    if stored != copy:
        return "the journal has another hash for this row: the chain was rewritten from here on, or is another one"
    return ""
