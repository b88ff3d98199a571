"""What operators order about monitors that were set aside: attributed, on record."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import AlertChanges, Aside, Commit, Told
from daemon.domain.errors import OperatorError
from daemon.domain.ports import Clock
from daemon.domain.store import RoutingStore

AT_ONCE = 1000  #: monitors that one commit drops, and one audit row names


async def drop(store: RoutingStore, clock: Clock, user: str, reason: str) -> dict[str, Any]:
    """Drop what waits for room: it is not verified any more. What waits for a maintenance to end stays.

    The alerts themselves stay as they are, suppressed with their reason, so the ledger goes on to balance.

    Raises:
        OperatorError: no reason was given, or nothing waits for room.
    """
    if not reason.strip():
        raise OperatorError("say why with --reason: what is dropped is verified only if another alert comes")
    dropped = 0
    while True:
        # What waits for room is due already, so it comes before what waits for its time.
        waiting = await store.deferred(datetime.max.replace(tzinfo=UTC), AT_ONCE)
        keys = [each.key for each in waiting if each.why is Aside.STORM]
        if not keys:
            break
        now, servers = clock.now(), dict(Counter(key.server for key in keys))
        message = f"{user} drops {len(keys)} monitors that waited for room, on {len(servers)} servers: {reason}"
        fields = {"user": user, "reason": reason, "servers": servers, "monitors": [str(key) for key in keys]}
        entry = AuditEntry(kind=AuditKind.DECISION, at=now, message=message, fields=fields)
        await store.commit(Commit(at=now, alerts=AlertChanges(undefer=tuple(keys)), told=Told(audit=(entry,))))
        dropped += len(keys)
    if not dropped:
        raise OperatorError("no monitor waits for room; `exmedic status` says what was set aside")
    left = len(await store.deferred(datetime.max.replace(tzinfo=UTC), AT_ONCE))
    return {"dropped": dropped, "left": left}
