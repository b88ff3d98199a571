"""Whether the store is older than the journal: restored from a backup, cut off, or replaced.

A store that was set back knows nothing of the effects since then, nor of what was left changed on servers. The journal
holds copies of the audit rows, written only after their commit, so a row that is there and not in the store tells.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.errors import OperatorError
from daemon.domain.ports import Clock, KillSwitch
from daemon.domain.store import TrailStore, WatchStore
from daemon.outgoing.messages import older_store_messages

LOOK_BACK = 1000  #: copies in the journal that are looked at, the newest first; many more than are sent again


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of an audit row in the journal."""

    seq: int
    hash: str
    kind: str


async def missing_row(store: TrailStore, newest: AsyncIterable[Copy]) -> int | None:
    """The last row of which the journal has a copy and the store has none, or another row; None if there is none.

    Looks back until the last start that the store knows of: what is older than that start was judged then.
    """
    missing: int | None = None
    cut = await store.audit_cut()
    async for copy in newest:
        if copy.seq <= cut.seq:
            continue  # forgotten on purpose
        stored = [row.hash for row in await store.audit_after(copy.seq - 1, 1) if row.seq == copy.seq]
        if stored != [copy.hash]:
            missing = max(copy.seq, missing or 0)
        elif copy.kind == AuditKind.STARTED:
            break
    return missing


async def pause_if_older(
    store: WatchStore, newest: AsyncIterable[Copy], pause: KillSwitch, clock: Clock, prefix: str
) -> None:
    """Pause and tell a human if the store is older than the journal. A death in between: the next start does it again.

    Raises:
        OperatorError: the pause cannot be made to last, so nothing may be started.
        SinkDown: the journal cannot be read.
    """
    missing = await missing_row(store, newest)
    if missing is None:
        return
    now = clock.now()
    reason = (
        f"The store is older than the journal, which has audit row {missing} and others that the store does not have: "
        "it was restored from a backup, cut off or replaced. What was done to servers since then, and what was left "
        "changed on them, the store does not know. So exmedic has paused itself."
    )
    try:
        await pause.engage("by exmedic: the store is older than the journal; see its escalation, then `exmedic resume`")
    except OSError as error:
        raise OperatorError(
            f"{reason} But the pause file {pause.path} cannot be written ({error.strerror}), so it does not start; "
            "make its directory writable for exmedic's user"
        ) from error
    entry = AuditEntry(kind=AuditKind.STORE_OLDER, at=now, message=reason, fields={"journal_seq": missing})
    await store.commit(Commit(at=now, told=Told(audit=(entry,), outgoing=older_store_messages(prefix, reason, now))))
