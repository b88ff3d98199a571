"""What one check of the ledger costs beside one commit of the same store, with many alerts and incidents in it.

    python benchmarks/ledger.py [ALERTS] [INCIDENTS]

Ten steps an incident. The check runs on the store's own thread, so commits wait while it does; it runs at most once a
minute, the thorough one once an hour. The last column is the part of the time that the store is busy with it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from daemon.adapters.sqlite import file
from daemon.adapters.sqlite.store import SqliteStore
from daemon.audit.ledger_watch import SOONEST, THOROUGH
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Commit, Told
from daemon.domain.values import timestamp

NOW = datetime(2026, 11, 2, tzinfo=UTC)
ROUNDS = 15


def fill(path: Path, alerts: int, incidents: int) -> None:
    """Write the rows in one transaction; the store itself would take minutes."""
    with closing(file.connect(path)) as connection, file.transaction(connection):
        now = timestamp(NOW)
        connection.executemany(
            "INSERT INTO incidents (id, server, health_set_key, monitor_key, health_set, monitor, status, state,"
            " runbook, facts, opened_at, held_by, waiting_for, reason, latched, verify_requested, close_by, undo_by,"
            " parent, transient, version) VALUES (?, 'mbx1', 'pop', 'm', 'POP', 'M', 'resolved', 'resolved', 'pop',"
            " '{}', ?, '', '', 'healthy', 0, 0, '', '', '', 0, 1)",
            ((f"i{number}", now) for number in range(incidents)),
        )
        connection.executemany(
            "INSERT INTO steps VALUES (?, ?, ?, 'verify', 'verify', 'read', 'mbx1', 'mbx1', '{}', '{}', ?, 'done',"
            " 'healthy', '', '{}', ?, ?, ?)",
            (
                (f"i{n % incidents}.{n}", f"i{n % incidents}", n, "m" * 300, now, now, now)
                for n in range(10 * incidents)
            ),
        )
        connection.executemany(
            "INSERT INTO alerts (dedup_key, topic, payload, size, received_at, alert, status, reason, incident_id)"
            " VALUES (?, 'alerts', ?, 2000, ?, '{}', 'joined', '', ?)",
            ((f"{number:064}", b"x" * 2000, now, f"i{number % incidents}") for number in range(alerts)),
        )
        for name, count in (("alerts joined", alerts), ("incidents resolved", incidents)):
            connection.execute("UPDATE tallies SET value = ? WHERE name = ?", (count, name))
        for name, count in (("accepted", alerts), ("opened", incidents)):
            connection.execute("UPDATE counters SET value = ? WHERE name = ?", (count, name))


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def measure(path: Path) -> Table:
    store = SqliteStore(path)
    opened = await seconds(store.open)
    if (await store.ledger(thorough=True)).imbalance:
        raise AssertionError("the rows that were filled in do not balance")
    entry = AuditEntry(kind=AuditKind.DECISION, at=NOW, message="something was decided")
    commit = Commit(at=NOW, told=Told(audit=(entry,)))
    table = Table("work", "milliseconds", "of one commit", "of the time")
    table.add_row("open, with the check of the whole file", f"{opened * 1000:,.0f}", "", "once")
    for name, work, every in (
        ("check", store.ledger, SOONEST),
        ("thorough check", lambda: store.ledger(thorough=True), THOROUGH),
    ):
        rounds = [(await seconds(work), await seconds(lambda: store.commit(commit))) for _ in range(ROUNDS)]
        took, ratio = median(each[0] for each in rounds), median(a / b for a, b in rounds)
        table.add_row(name, f"{took * 1000:,.1f}", f"{ratio:,.0f} times", f"{took / every:.4%}")
    await store.close()
    return table


def main() -> None:
    alerts, incidents = (int(number) for number in (sys.argv[1:] + ["100000", "10000"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "exmedic.db"
        fill(path, alerts, incidents)
        Console().print(f"{alerts:,} alerts, {incidents:,} incidents, {path.stat().st_size / 1e6:,.0f} MB")
        Console().print(asyncio.run(measure(path)))


if __name__ == "__main__":
    main()
