"""A process that commits until it is killed: `python -m tests.adapters.sqlite.committer FILE` prints the number of each
commit once it is acknowledged. With a second argument, no file it writes may grow beyond that many bytes."""
# ruff: noqa: T201 - its output is the acknowledgement

import asyncio
import resource
import sys
from pathlib import Path

from daemon.adapters.sqlite.store import SqliteStore
from daemon.domain.errors import StoreError
from daemon.domain.incidents import StepStatus
from tests.adapters.sqlite import samples


async def commit_for_ever(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    incident = await store.incident("i1")
    number = 0 if incident is None else incident.version
    while True:
        current = samples.incident() if incident is None else incident
        number += 1
        step = samples.step(f"s{number}", number=number, status=StepStatus.DONE)
        unit = samples.work(
            incident=current,
            step=step,
            audit=(samples.entry(f"{number} one"), samples.entry(f"{number} two")),
            outgoing=(samples.outgoing(f"t{number}"),),
        )
        incident = await store.commit(unit)
        print(number, flush=True)


async def commit_until_the_disk_is_full(path: Path, limit: int) -> None:
    """Then free it, and go on: the store recovers without being opened again."""
    store = SqliteStore(path)
    await store.open()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    number = 0
    try:
        while True:
            await store.ingest([samples.received(f"k{number}", payload=b"x" * 5000)])
            number += 1
    except StoreError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        stored = (await store.ledger()).stored
        await store.ingest([samples.received("afterwards")])
        print(number, stored, (await store.ledger()).imbalance or "balanced", error, sep="|", flush=True)
    await store.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(commit_until_the_disk_is_full(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        asyncio.run(commit_for_ever(Path(sys.argv[1])))
