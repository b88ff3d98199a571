"""The broker is killed, and started again on what it had on its disk, in the middle of a burst and of a ladder."""

import asyncio
import contextlib
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import Any

import aiomqtt
import pytest
from aiomqtt import MqttError, ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from daemon.domain.incidents import Incident, IncidentStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from daemon.runtime.tasks import cancel
from tests.acceptance.site import Site
from tests.docs.markdown import ROOT
from tests.faults.network import Network
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.waiting import eventually

pytestmark = pytest.mark.chaos

#: Seconds before its death from which on a broker with the documented settings may lose what it has acknowledged.
#: mosquitto saves each second, by a clock of whole seconds; and a busy machine may be late.
WINDOW = 3.0

#: Seconds between two alerts of the burst: no more than the daemon routes, or the ladders would begin late.
PACE = 0.02

LADDERS = ("mbx1", "mbx5")


def documented() -> str:
    """The settings of mosquitto that docs/install.md advises."""
    found = re.search(r"```text\n(persistence true\n.*?)```", (ROOT / "docs/install.md").read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def mosquitto(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker as our documentation has it."""
    return start_mosquitto("max_inflight_messages 0", persistence=documented())


class Source:
    """A source of alerts, which sends each until it is acknowledged; no ladder follows from them."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self.acknowledged: dict[str, float] = {}  #: when, by time.monotonic

    async def run(self) -> None:
        """Send one after the other until cancelled."""
        while True:
            with contextlib.suppress(MqttError):
                async with aiomqtt.Client("127.0.0.1", self._broker.port, protocol=ProtocolVersion.V5) as client:
                    while True:
                        await self._send(client)
            await asyncio.sleep(0.05)

    async def _send(self, client: aiomqtt.Client) -> None:
        name = f"burst-{len(self.acknowledged)}"
        alert = {
            "id": name,
            "server": "mail.elsewhere.example",
            "health_set": "POP",
            "monitor": "PopCtpMonitor",
            "raised_at": "2026-11-23T00:00:00Z",
        }
        await client.publish("alerts/exmedic/burst", json.dumps(alert), qos=1)
        self.acknowledged[name] = time.monotonic()
        await asyncio.sleep(PACE)


class Follower:
    """Hears everything the daemon publishes, over all deaths of the broker, by a session that the broker keeps."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self.subscribed = asyncio.Event()
        self.heard: list[dict[str, Any]] = []

    async def run(self) -> None:
        """Listen until cancelled."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = 3600
        while True:
            with contextlib.suppress(MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1",
                    self._broker.port,
                    identifier="follower",
                    protocol=ProtocolVersion.V5,
                    clean_start=False,
                    properties=properties,
                ) as client:
                    await client.subscribe("exmedic/#", qos=1)
                    self.subscribed.set()
                    async for message in client.messages:
                        if b'"seq":' in bytes(message.payload):  # not the status, nor a canary
                            self.heard.append(json.loads(message.payload))
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(*parts: Source | Follower) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
        assert not any(task.done() for task in tasks), tasks
    finally:
        await cancel(*tasks)


def stored(site: Site) -> set[str]:
    """The ids of the alerts in the store."""
    with closing(sqlite3.connect(site.directory / "data" / "exmedic.db")) as connection:
        return {json.loads(payload)["id"] for (payload,) in connection.execute("SELECT payload FROM alerts")}


async def test_a_broker_killed_in_a_burst_and_a_ladder_loses_nothing_older_and_the_outbox_goes_on_in_order(
    site: Site,
) -> None:
    source, follower = Source(site.broker), Follower(site.broker)
    daemon = await site.daemon()
    async with running(source, follower):
        await site.eventually(follower.subscribed.is_set, "it is subscribed")
        for server in LADDERS:
            site.lab.break_server(server, Fault.RESTART_CURES)
            await older_than_the_window(source)
            heard = len(follower.heard)
            await site.alert(server)
            # the default keeps this round's value; mypy cannot tell the type of such a lambda
            await eventually(lambda heard=heard: len(follower.heard) > heard, "the ladder begins")  # type: ignore[misc]
            outages = daemon.words().count("bus_down")
            site.broker.kill()
            killed = time.monotonic()
            # the default keeps this round's value; mypy cannot tell the type of such a lambda
            await eventually(lambda outages=outages: daemon.words().count("bus_down") > outages, "it is noticed")  # type: ignore[misc]
            site.broker.restart()
            safe = {name for name, at in source.acknowledged.items() if at < killed - WINDOW}
            # the default keeps this round's value; mypy cannot tell the type of such a lambda
            await eventually(lambda safe=safe: safe <= stored(site), "what was acknowledged is stored")  # type: ignore[misc]
        await site.until_ended(*LADDERS)
        incidents = [await site.incident(server) for server in LADDERS]
        await eventually(lambda: all(published(follower, each) for each in incidents), "their ends are published")
    numbers = list(dict.fromkeys(told["seq"] for told in follower.heard))
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "in order but for repetitions, and none is missing"
    assert [incident.status for incident in incidents] == [IncidentStatus.RESOLVED] * len(LADDERS)
    assert [site.effects(server) for server in LADDERS] == [["restart"]] * len(LADDERS)
    await site.agrees()


async def older_than_the_window(source: Source) -> None:
    """Return when the broker may lose the end of the burst only."""
    began, sent = time.monotonic(), len(source.acknowledged)
    await eventually(lambda: time.monotonic() > began + WINDOW, "the window has passed")
    assert len(source.acknowledged) > sent, "the burst goes on"


def published(follower: Follower, incident: Incident) -> bool:
    """Whether the end of an incident was heard on the bus."""
    return any(told.get("status") == incident.status for told in follower.heard if told.get("incident") == incident.id)


@pytest.mark.parametrize("out", [True, False], ids=["both ways", "only the way back"])
async def test_a_connection_to_the_broker_that_loses_everything_is_left_and_made_anew(
    site: Site, network: Network, out: bool
) -> None:
    port = await network.port("127.0.0.1", site.broker.port)
    site.configure((f"port = {site.broker.port}", f"port = {port}"))
    site.lab.break_server("mbx1", Fault.RESTART_CURES)
    follower = Follower(site.broker)
    daemon = await site.daemon()
    async with running(follower):
        await site.eventually(follower.subscribed.is_set, "it is subscribed")
        await site.alert("mbx1")
        await site.until(has_incident, "the alert has arrived")
        network.cut(out=out)
        await site.until_ended("mbx1")  # nobody waits for the broker
        await site.alert("mbx3")
        await eventually(lambda: "bus_down" in daemon.words(), "it notices, although no socket closes")
        network.heal()
        await site.until_ended("mbx3")
        incident = await site.incident("mbx3")
        await eventually(lambda: published(follower, incident), "all is published")
    numbers = list(dict.fromkeys(told["seq"] for told in follower.heard))
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert site.effects("mbx1") == ["restart"]
    assert daemon.process.poll() is None
    await site.agrees()


async def has_incident(store: Store) -> bool:
    return bool(await store.incidents())
