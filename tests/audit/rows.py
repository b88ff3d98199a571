"""Audit rows for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime

from daemon.domain.audit import AuditEntry, AuditKind, AuditRow
from daemon.domain.commits import Commit, Told
from daemon.domain.store import Store
from daemon.domain.store_rules import chained
from daemon.domain.values import Json

AT = datetime(2026, 11, 2, 3, 4, 5, 678901, tzinfo=UTC)


def entry(
    message: str = "restart_service: done",
    fields: Json | None = None,
    kind: AuditKind = AuditKind.OUTCOME,
) -> AuditEntry:
    return AuditEntry(
        kind=kind,
        at=AT,
        message=message,
        incident_id="i-1",
        server="mbx1.contoso.com",
        health_set="POP.Protocol",
        monitor="PopSelfTestMonitor",
        fields=fields or {},
    )


def rows(*entries: AuditEntry) -> list[AuditRow]:
    return list(chained(entries, 0, "0" * 64))


async def record(store: Store, entries: Sequence[AuditEntry]) -> None:
    await store.commit(Commit(at=AT, told=Told(audit=tuple(entries))))
