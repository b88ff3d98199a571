"""`exmedic incidents`, `show` and `audit verify` on a store without a daemon."""

import asyncio
from pathlib import Path

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.config.whereabouts import DATABASE
from daemon.domain.incidents import IncidentStatus
from tests.adapters.sqlite import samples
from tests.cli.conftest import Exmedic

COLUMNS = 80
REASON = "final: unhealthy: probe PopDeepTestProbe: Failed ([Errno 5] no [/] answer), 3 times in 3 minutes"


@pytest.fixture
def stored(config: Path) -> Path:
    """A store with an escalated incident, whose texts are as long, and as strange, as servers make them."""

    async def fill() -> None:
        store = SqliteStore(config.parent / "data" / DATABASE)
        await store.open()
        escalated = samples.incident(status=IncidentStatus.ESCALATED, state="escalated", reason=REASON, latched=True)
        long_row = samples.entry(message=f"verify: unhealthy: {REASON}", incident_id=escalated.id)
        runbook = samples.runbook(escalated.runbook_hash)
        await store.commit(samples.work(incident=escalated, runbook=runbook, audit=(long_row,)))
        await store.close()

    asyncio.run(fill())
    return config


def test_incidents_are_listed_with_how_they_stand_and_why(exmedic: Exmedic, stored: Path) -> None:
    result = exmedic("incidents", "--config", str(stored))
    assert result.code == 0
    assert result.out.startswith("i1 2026-11-02 03:04:05 escalated")
    assert REASON in result.said, "brackets and all"
    assert exmedic("incidents", "--status", "open", "--config", str(stored)).said == "no incidents"


def test_a_timeline_fits_a_terminal_of_80_columns(exmedic: Exmedic, stored: Path) -> None:
    result = exmedic("show", "i1", "--config", str(stored))
    assert result.code == 0
    table = [line for line in result.out.splitlines() if not line.startswith("  final")]  # the terminal wraps that one
    assert max(len(line.rstrip()) for line in table) <= COLUMNS
    assert REASON in result.said
    assert "PopDeepTestMonitor (POP.Protocol) on mbx1.contoso.lab: escalated" in result.said


def test_an_incident_that_does_not_exist_is_named_brackets_and_all(exmedic: Exmedic, stored: Path) -> None:
    result = exmedic("show", "[/]", "--config", str(stored))
    assert result.code == 1
    assert "there is no incident [/]; `exmedic incidents` lists them" in result.said


def test_a_good_trail_is_good_and_a_damaged_store_is_an_error_that_says_what_to_do(
    exmedic: Exmedic, stored: Path
) -> None:
    assert exmedic("audit", "verify", "--config", str(stored)).said.startswith("good 1 rows, chain unbroken")
    (stored.parent / "data" / DATABASE).write_bytes(b"this was a database once" * 1000)
    result = exmedic("audit", "verify", "--config", str(stored))
    assert result.code == 1
    assert "restore a backup" in result.said
