"""Payloads as real routes from SCOM produce them get what a user wants, and the intake counts their alerts."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.alerts.forms.known import Names
from daemon.alerts.intake import Intake
from daemon.alerts.payloads import Payloads
from daemon.alerts.trial import Tried, tried
from daemon.config.alerts import AlertSettings
from daemon.config.settings import BusSettings
from daemon.domain.inventory import Inventory, Role, Server
from daemon.testing.clock import ManualClock
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore
from statemachines.loader import load_runbooks, shipped_directory
from tests.alerts.running import running
from tests.realparts.waiting import eventually

HERE = Path(__file__).parent / "cases"
CASES = tomllib.loads((HERE / "cases.toml").read_text("utf-8"))["case"]
RUNBOOKS = load_runbooks(shipped_directory())
READER = Payloads(BusSettings(), AlertSettings(), Names(RUNBOOKS))


def _servers() -> Iterator[Server]:
    for name in (
        *(f"ex{number:03}.corp.fabrikam.example" for number in range(1, 78)),
        "dup01.a.example",
        "dup01.b.example",
    ):
        yield Server(
            name=name,
            roles=frozenset(Role),
            dag=None,
            site="Lyon",
            endpoint=f"http://{name}:5985/wsman",
            credential="c",
            tags=frozenset(),
        )


SITE = Inventory(tuple(_servers()))


def _became(found: list[Tried]) -> str:
    if len(found) > 1:
        return f"many:{len(found)}"
    told = found[0].as_json()
    if told["outcome"] == "open":
        return f"open:{told['health_set']}/{told['monitor']}@{told['server']}"
    return {"rejected": "human"}.get(told["outcome"], told["outcome"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["about"]))
def test_a_payload_of_a_real_route_becomes_what_a_user_wants(case: dict[str, str]) -> None:
    parts = READER.parts(case["topic"], (HERE / case["file"]).read_bytes())
    found = tried(parts, SITE, RUNBOOKS, AlertSettings())
    assert _became(found) == case["want"], found
    assert all(each.reason or each.outcome == "open" for each in found)


async def test_all_of_them_are_taken_in_and_the_ledger_counts_their_alerts() -> None:
    bus, store = MemoryBus(), MemoryStore()
    await store.open()
    alerts = 0
    for case in CASES:
        payload = (HERE / case["file"]).read_bytes()
        alerts += len(READER.parts(case["topic"], payload))
        bus.inject(case["topic"], payload)
    intake = Intake(bus=bus, store=store, clock=ManualClock(), payloads=READER, nudge=lambda: None)
    async with running(intake):
        await eventually(lambda: bus.unacknowledged == 0, "everything is acknowledged")
    ledger = await store.ledger()
    assert (ledger.accepted, ledger.imbalance) == (alerts, "")
    assert intake.acknowledged == alerts > len(CASES)
