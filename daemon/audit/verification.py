"""Is the audit trail whole? The chain is walked, and compared with its copies in the journal."""

from collections.abc import AsyncIterable
from dataclasses import dataclass

from daemon.audit.follower import _BATCH
from daemon.domain.audit import AuditKind, AuditRow, chain_hash
from daemon.domain.retention import AuditCut
from daemon.domain.store import TrailStore


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
    begins: int = 0  #: the first row that has one, counted from the cut; 0 if none has
    cut: int = 0  #: the last row that was forgotten, with all before it

    @property
    def gaps(self) -> int:
        """Rows without a copy behind the first one that has one: what the journal lost, not what it forgot."""
        return self.missing - (self.begins - 1) if self.begins else 0


async def verify_chain(store: TrailStore, copies: AsyncIterable[tuple[int, str]] | None = None) -> Verdict:
    """Recompute the whole chain, then compare it with its copies (number and hash, in any order).

    It begins behind the cut, for which a row of the chain must vouch. Both are streamed: what is kept is a byte a row.
    The finding is the first row that is wrong.
    """
    cut, last, head, finding = await _walked(store)
    compared, seen = 0, bytearray(last - cut.seq + 1)
    page: dict[int, str] = {}
    async for seq, copy in copies or _nothing():
        if seq <= cut.seq:
            continue
        if seq not in page:
            page = {row.seq: row.hash for row in await store.audit_after(seq - 1, _BATCH)}
        reason = _differs(page.get(seq), copy)
        if reason and seq <= (await store.audit_cut()).seq:
            continue  # forgotten since the walk
        if not reason:
            compared += 1
            seen[seq - cut.seq if seq <= last else 0] = 1
        elif finding is None or seq < finding.seq:
            finding = Finding(seq, reason)
    begins = max(seen.find(1, 1), 0)
    return Verdict(
        rows=last - cut.seq,
        head=head,
        compared=compared,
        finding=finding,
        missing=seen[1:].count(0),
        begins=begins,
        cut=cut.seq,
    )


async def _walked(store: TrailStore) -> tuple[AuditCut, int, str, Finding | None]:
    """The cut, the last good row with its hash, and the first bad one. Anew where the daemon has forgotten meanwhile.

    It ends: retention cuts every ten minutes at most, and never what is younger than a day.
    """
    while True:
        cut = await store.audit_cut()
        walked = await _walked_from(store, cut)
        if walked[2] is None or await store.audit_cut() == cut:
            return cut, *walked


async def _walked_from(store: TrailStore, cut: AuditCut) -> tuple[int, str, Finding | None]:
    count, head, vouched = cut.seq, cut.hash, not cut.seq
    while rows := await store.audit_after(count, _BATCH):
        for row in rows:
            reason = _wrong(row, count + 1, head)
            if reason:
                return count, head, Finding(count + 1, reason)
            count, head = row.seq, row.hash
            vouched |= row.entry.kind is AuditKind.PRUNED and row.entry.fields.get("cut_hash") == cut.hash
    if not vouched:
        return count, head, Finding(cut.seq, f"rows up to {cut.seq} were removed, and no row of the chain says so")
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
