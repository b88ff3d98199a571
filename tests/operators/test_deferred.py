"""Operators drop what waits for room: with a reason, on record, and the ledger goes on to balance."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.domain.commits import AlertChanges, Aside, Commit
from daemon.domain.errors import OperatorError
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.adapters.sqlite import samples
from tests.alerts.test_storms_over_time import FEW, RUNBOOKS, come_in, received, several, waiting
from tests.remediation.world import ALONE, MBX1, Daemon, World

ORDER = {"command": "drop_deferred", "reason": "SCOM was tested"}


async def burst(folder: Path) -> Daemon:
    """Three incidents, four monitors that wait for room, and one that waits for a maintenance to end."""
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, folder, storms=FEW, runbooks=RUNBOOKS)
    await come_in(daemon, *several(ALONE, 7))
    patched = replace(samples.deferred(MBX1), why=Aside.MAINTENANCE)
    await store.commit(Commit(at=daemon.clock.now(), alerts=AlertChanges(defer=(patched,))))
    return daemon


async def test_what_waits_for_room_is_dropped_by_name_with_the_reason_and_the_ledger_balances(tmp_path: Path) -> None:
    daemon = await burst(tmp_path)
    assert await daemon.operators.carry_out("ada", ORDER) == {"dropped": 4, "left": 1}
    assert await waiting(daemon.store) == 1, "what waits for a maintenance to end stays"
    row = (await daemon.audit("decision"))[-1].entry
    assert row.message == "ada drops 4 monitors that waited for room, on 1 servers: SCOM was tested"
    assert (row.fields["user"], len(row.fields["monitors"])) == ("ada", 4)
    ledger = await daemon.store.ledger()
    assert (ledger.alerts["joined"], ledger.alerts["suppressed"], ledger.imbalance) == (3, 4, "")


async def test_another_alert_of_what_was_dropped_is_taken_up_like_any_other(tmp_path: Path) -> None:
    daemon = await burst(tmp_path)
    await daemon.operators.carry_out("ada", ORDER)
    daemon.clock.advance(120)
    await come_in(daemon, received(ALONE, "Monitor6"))
    assert "Monitor6" in {each.monitor for each in await daemon.store.incidents()}


@pytest.mark.parametrize(
    ("order", "why"), [({**ORDER, "reason": " "}, "say why"), (ORDER, "no monitor waits for room")]
)
async def test_without_a_reason_or_with_nothing_to_drop_nothing_is_done(
    tmp_path: Path, order: dict[str, str], why: str
) -> None:
    daemon = await burst(tmp_path)
    if why != "say why":
        await daemon.operators.carry_out("ada", ORDER)
    before = await waiting(daemon.store)
    with pytest.raises(OperatorError, match=why):
        await daemon.operators.carry_out("ada", order)
    assert await waiting(daemon.store) == before
