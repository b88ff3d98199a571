"""Routing a storm: ten thousand alerts for one monitor, beside a bare sqlite3 loop that changes as many rows.

    python benchmarks/storm.py [ALERTS]

The bare loop commits each row by itself, on the same disk and with the same settings.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from rich.console import Console

from daemon.adapters.sqlite.store import SqliteStore
from daemon.alerts.routing import Dispatch
from daemon.domain.alerts import Alert, Received, Source
from daemon.domain.audit import AuditKind
from daemon.domain.inventory import Inventory, Role, Server
from daemon.remediation.incidents.ladders import Ladders
from daemon.remediation.incidents.opening import Family
from daemon.testing.clock import ManualClock

NOW = datetime(2026, 11, 2, tzinfo=UTC)
SERVER = Server(
    name="mbx1.contoso.com",
    roles=frozenset({Role.MAILBOX}),
    dag=None,
    site="Lyon",
    endpoint="http://mbx1.contoso.com:5985/wsman",
    credential="exchange",
    tags=frozenset(),
)


def received(number: int) -> Received:
    alert = Alert(
        source=Source.SCOM,
        source_id=str(number),
        server=SERVER.name,
        health_set="POP.Protocol",
        monitor="PopDeepTestMonitor",
        raised_at=NOW,
        closed=False,
        summary="POP.Protocol Health Set unhealthy (PopDeepTestMonitor/MSExchangePop3BE)",
    )
    return Received(topic="alerts", payload=b"x" * 500, size=500, dedup_key=str(number), received_at=NOW, alert=alert)


def bare_loop(path: Path, rows: int) -> float:
    """Seconds for as many commits of one row."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, content BLOB)")
        started = time.perf_counter()
        for _ in range(rows):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bare (content) VALUES (?)", (b"x" * 500,))
            connection.execute("COMMIT")
        return time.perf_counter() - started


async def routed(path: Path, alerts: int) -> tuple[float, int]:
    """Seconds to route them, and the audit rows of joins."""
    store, ids = SqliteStore(path), count(1)
    await store.open()
    for first in range(0, alerts, 200):
        await store.ingest([received(number) for number in range(first, min(first + 200, alerts))])
    family = Family(
        store=store,
        clock=ManualClock(),
        inventory=Inventory((SERVER,)),
        ladders=Ladders((), store),
        new_id=lambda: f"i{next(ids)}",
        prefix="exmedic",
    )
    dispatch = Dispatch(family, lambda: None)
    started = time.perf_counter()
    while await dispatch.route_pending():
        pass
    took = time.perf_counter() - started
    rows = await store.audit_after(0, 10 * alerts)
    await store.close()
    return took, sum(row.entry.kind is AuditKind.ALERT_JOINED for row in rows)


def main() -> None:
    alerts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as directory:
        took, joins = asyncio.run(routed(Path(directory) / "exmedic.db", alerts))
        bare = bare_loop(Path(directory) / "bare.db", alerts)
    Console().print(
        f"{alerts:,} alerts of one monitor routed in {took:.2f} s, {joins} audit rows of joins; "
        f"a bare loop of as many commits took {bare:.2f} s, ratio {took / bare:.2f}"
    )


if __name__ == "__main__":
    main()
