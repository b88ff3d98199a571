"""Durable units of work per second of the SQLite store, beside a bare sqlite3 loop on the same disk.

    python benchmarks/store.py [DIRECTORY]

The bare loop commits one row of 500 bytes with the same settings: what the disk and SQLite allow at most. Rounds
alternate, so that whatever else the machine does hits both; the middle one counts. DIRECTORY is the disk to measure.
"""

import asyncio
import itertools
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.alerts import Alert, Received, Source
from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.commits import Channel, Commit, Outgoing, Progress, Told
from daemon.domain.incidents import Incident, IncidentStatus, Key, Step, StepStatus
from statemachines.actions import Effect

NOW = datetime(2026, 11, 2, tzinfo=UTC)
ROUNDS = 5
SECONDS = 0.6  # of each round

Work = Callable[[], Awaitable[int]]


def bare_loop(path: Path) -> float:
    """Commits per second of sqlite3 itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, content BLOB)")
        count, started = 0, time.perf_counter()
        while time.perf_counter() < started + SECONDS:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bare (content) VALUES (?)", (b"x" * 500,))
            connection.execute("COMMIT")
            count += 1
        return count / (time.perf_counter() - started)


async def rate(work: Work) -> float:
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + SECONDS:
        count += await work()
    return count / (time.perf_counter() - started)


def transitions(store: SqliteStore) -> Work:
    """One incident, moved on and on: state, step, two audit rows and a message each time."""
    numbers = itertools.count(1)
    incident = Incident(
        id="i1",
        key=Key.of("mbx1.contoso.lab", "POP.Protocol", "PopDeepTestMonitor"),
        health_set="POP.Protocol",
        monitor="PopDeepTestMonitor",
        status=IncidentStatus.OPEN,
        state="verify",
        opened_at=NOW,
        due_at=NOW,
    )

    async def transition() -> int:
        nonlocal incident
        number = next(numbers)
        step = Step(
            id=f"s{number}",
            incident_id=incident.id,
            number=number,
            state="verify",
            action="verify",
            effect=Effect.READ,
            server=incident.server,
            status=StepStatus.DONE,
            started_at=NOW,
            deadline_at=NOW,
        )
        entry = AuditEntry(kind=AuditKind.OUTCOME, at=NOW, message="verify: unhealthy", incident_id=incident.id)
        message = Outgoing(channel=Channel.BUS, topic="exmedic/events", body={"to": "restart"})
        unit = Commit(
            at=NOW,
            progress=Progress(incident=incident, step=step),
            told=Told(audit=(entry, entry), outgoing=(message,)),
        )
        incident = await store.commit(unit) or incident
        return 1

    return transition


def ingests(store: SqliteStore, size: int, *, duplicates: bool = False) -> Work:
    """Batches of alerts, each with its audit row; or the same batch again and again."""
    numbers = itertools.count()
    alert = Alert(
        source=Source.SCOM,
        source_id="5a2f",
        server="MBX1",
        health_set="POP.Protocol",
        monitor="PopDeepTestMonitor",
        raised_at=NOW,
        closed=False,
        summary="POP.Protocol Health Set unhealthy (PopDeepTestMonitor/MSExchangePop3BE)",
    )
    sample = Received(
        topic="alerts/scom/mbx1", payload=b"x" * 2000, size=2000, dedup_key="", received_at=NOW, alert=alert
    )
    always = [replace(sample, dedup_key=f"always {number}") for number in range(size)]

    async def batch() -> int:
        fresh = [replace(sample, dedup_key=f"{size} {next(numbers)}") for _ in range(0 if duplicates else size)]
        return len(await store.ingest(fresh or always))

    return batch


async def measure(directory: Path) -> Table:
    store = SqliteStore(directory / "exmedic.db")
    await store.open()
    subjects = {
        "commit (state, step, 2 audit rows, 1 message)": transitions(store),
        "ingest, batches of 1": ingests(store, 1),
        "ingest, batches of 100": ingests(store, 100),
        "ingest, batches of 100 duplicates": ingests(store, 100, duplicates=True),
    }
    table = Table("unit of work", "per second", "bare commits per second", "ratio")
    for name, work in subjects.items():
        rounds = [(await rate(work), bare_loop(directory / "bare.db")) for _ in range(ROUNDS)]
        ours, bare = median(each[0] for each in rounds), median(each[1] for each in rounds)
        table.add_row(name, f"{ours:,.0f}", f"{bare:,.0f}", f"{median(a / b for a, b in rounds):.2f}")
    await store.close()
    return table


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        Console().print(asyncio.run(measure(Path(directory))))


if __name__ == "__main__":
    main()
