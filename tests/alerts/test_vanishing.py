"""An alert that names a server of ours, in whatever form, never vanishes unseen."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.alerts.telling import GATHERS, Telling
from daemon.config.guardrails import Storms
from daemon.domain.alerts import AlertStatus
from daemon.domain.commits import Channel
from daemon.domain.notices import DAY
from daemon.testing.clock import ManualClock
from daemon.testing.memory_store import MemoryStore
from tests.remediation.world import CAS1, MBX1, MBX2, Daemon, World, inventory

NAMES = st.sampled_from([MBX1, MBX2, CAS1, "MBX1", "mbx1.elsewhere.example", "scom.contoso.lab", "stranger"])
alerts = st.fixed_dictionaries({
    "names": st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    "hints": st.lists(NAMES, max_size=1).map(tuple),
    "health_set": st.sampled_from(["POP.Protocol", "POP", "OWA", "Invented", ""]),
    "monitor": st.sampled_from(["PopDeepTestMonitor", "OwaCtpMonitor", "Invented", ""]),
    "owner": st.sampled_from(["", "", "ada"]),
    "in_maintenance": st.booleans(),
    "source_id": st.sampled_from(["1", "2"]),
})  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(alerts, min_size=1, max_size=12))
async def test_it_is_an_incident_joins_one_waits_or_a_human_is_told(said: list[dict[str, Any]], tmp_path: Path) -> None:
    store = MemoryStore()
    await store.open()
    daemon = Daemon(World(ManualClock()), store, tmp_path, storms=Storms(fleet=3, site=3, dag=2))
    telling = Telling(store=store, clock=daemon.clock, prefix="exmedic", most=2, committed=lambda: None)
    for number, each in enumerate(said):
        await daemon.alert(each["names"][0], key=f"{number}", **each)
    for seconds in (GATHERS.total_seconds(), DAY.total_seconds(), DAY.total_seconds()):
        daemon.clock.advance(seconds)
        await telling.tell()
    pages = "\n".join(str(row.message.body["text"]) for row in await store.outbox(Channel.NOTIFY, 1000))
    waiting = {each.key.server for each in await store.deferred(daemon.clock.now() + 30 * DAY, 1000)}
    for stored in await store.alerts():
        assert stored.alert is not None
        named = (*stored.alert.names, *stored.alert.hints)
        ours = {server.name for name in named for server in inventory().named(name)}
        if not ours or stored.status in (AlertStatus.JOINED, AlertStatus.PENDING):
            continue  # pending: it waits for one that only looks to end
        assert stored.status is AlertStatus.SUPPRESSED
        told = any(server in pages for server in ours) or bool(ours & waiting) or "has told of it" in stored.reason
        assert told, (stored, pages)
    assert (await store.ledger()).imbalance == ""
    await store.close()
