"""`exmedic autonomy` on a store without a daemon."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.adapters.sqlite.store import SqliteStore
from daemon.config.whereabouts import DATABASE
from daemon.domain.incidents import IncidentStatus
from daemon.domain.kept import LastLook, Recommendation, Running
from daemon.domain.values import timestamp
from daemon.domain.verdicts import Mode
from tests.adapters.sqlite import samples
from tests.cli.conftest import Exmedic

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)


WOULD = Recommendation(
    state="restart",
    action="restart_service",
    action_class="restart",
    what="restart the Windows service MSExchangePOP3BE",
    service="MSExchangePOP3BE",
    mode=Mode.OBSERVE,
    first=START,
    baseline={"pid": 1, "started_at": timestamp(START - timedelta(days=3)), "clock": timestamp(START)},
)


def look(*, restarted: bool) -> LastLook:
    started = START + timedelta(hours=1) if restarted else START - timedelta(days=3)
    running = Running(service="MSExchangePOP3BE", since=started)
    return LastLook(at=started, boot_time=START - timedelta(days=9), services=(running,))


@pytest.fixture
def stored(config: Path) -> Path:
    """Two incidents of today that were observed, and one of last year."""

    async def fill() -> None:
        store = SqliteStore(config.parent / "data" / DATABASE)
        await store.open()
        now = datetime.now(UTC)
        for number, restarted, opened in ((1, True, now), (2, False, now), (3, True, now - timedelta(days=400))):
            ended = replace(
                samples.on(f"mbx{number}.contoso.lab", f"i{number}"),
                recommended=(WOULD,),
                last_look=look(restarted=restarted),
                status=IncidentStatus.RESOLVED,
                runbook="pop-mailbox",
                opened_at=opened,
                due_at=None,
            )
            await store.commit(samples.work(incident=ended))
        await store.close()

    (config.parent / "data").mkdir(exist_ok=True)
    asyncio.run(fill())
    return config


def test_each_rung_is_told_with_how_often_it_turned_out_how(exmedic: Exmedic, stored: Path) -> None:
    result = exmedic("autonomy", "--config", str(stored))
    assert result.code == 0, result.said
    assert max(len(line.rstrip()) for line in result.out.splitlines()) <= 80
    head, first, second = (line.split() for line in result.out.splitlines())
    assert head[:3] == ["runbook:", "rung", "mode"]
    assert first == ["pop-mailbox:", "restart", "observe", "somebody", "did", "the", "same,", "healthy", "1"]
    assert second == ["healed", "without", "it", "1"]


def test_machines_get_each_incident_with_the_sentence_that_decided(exmedic: Exmedic, stored: Path) -> None:
    result = exmedic("autonomy", "--json", "--since", "1000", "--config", str(stored))
    told = {one["incident"]: one for one in json.loads(result.out)}
    assert {name: one["how"] for name, one in told.items()} == {
        "i1": "somebody did the same, healthy",
        "i2": "healed without it",
        "i3": "somebody did the same, healthy",
    }
    assert told["i1"]["why"] == (
        "MSExchangePOP3BE ran since 2026-10-30 03:00 before, and since 2026-11-02 04:00 afterwards"
    )


def test_where_nothing_was_kept_from_being_done_it_says_so(exmedic: Exmedic, stored: Path) -> None:
    result = exmedic("autonomy", "--since", "0", "--config", str(stored))
    assert (result.code, result.said) == (0, "nothing was kept from being done in the last 0 days")
