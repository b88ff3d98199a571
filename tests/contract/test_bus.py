"""What every bus does: the same tests against a real broker and against the bus in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.adapters.mqtt.bus import MqttBus
from daemon.config.settings import BusSettings, Secret
from daemon.config.topics import overlap
from daemon.domain.errors import BusDown
from daemon.domain.ports import Bus, Delivery
from daemon.testing.memory_bus import MemoryBus
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.waiting import HANG, eventually


class World(Protocol):
    """A bus, and what surrounds it."""

    @property
    def bus(self) -> Bus:
        """The bus under test."""

    async def inject(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish as somebody else."""

    async def go_down(self) -> None:
        """Part the bus from its broker."""

    async def go_up(self) -> None:
        """Bring them together again."""

    async def retained(self, topic: str) -> bytes:
        """What a late subscriber gets."""


class MemoryWorld:
    def __init__(self) -> None:
        self.bus = MemoryBus()

    async def inject(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.bus.inject(topic, payload, retain=retain)

    async def go_down(self) -> None:
        self.bus.go_down()

    async def go_up(self) -> None:
        self.bus.go_up()

    async def retained(self, topic: str) -> bytes:
        return self.bus.retained[topic]


class MosquittoWorld:
    def __init__(self, broker: Mosquitto) -> None:
        self.broker = broker
        self.bus = MqttBus(BusSettings(port=broker.port), no_secret)
        self._running: asyncio.Task[None] | None = None

    async def inject(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await self.broker.publish(topic, payload, retain=retain)

    async def go_down(self) -> None:
        if self._running:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def go_up(self) -> None:
        self._running = asyncio.create_task(self.bus.run())
        await eventually(lambda: self.bus.connected, "the bus is connected")

    async def retained(self, topic: str) -> bytes:
        return await self.broker.retained(topic)


def no_secret(secret: Secret) -> str:
    raise AssertionError(f"nobody needs {secret} here")


@pytest.fixture(params=["memory", "mosquitto"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    real = MosquittoWorld(request.getfixturevalue("mosquitto"))
    try:
        await real.go_up()
        yield real
    finally:
        await real.go_down()


async def take(deliveries: AsyncIterator[Delivery], count: int) -> list[Delivery]:
    async with asyncio.timeout(HANG):
        return [await anext(deliveries) for _ in range(count)]


@pytest.mark.parametrize("payload", [b"{}", b"", b"\xff\xfe not text", b"x" * 1_000_000])
async def test_a_message_arrives_as_it_was_sent(world: World, payload: bytes) -> None:
    await world.inject("alerts/scom/site1", payload)
    (delivery,) = await take(world.bus.deliveries(), 1)
    assert (delivery.topic, delivery.payload) == ("alerts/scom/site1", payload)


async def test_messages_of_both_forms_arrive_in_order(world: World) -> None:
    for number in range(40):
        await world.inject(f"alerts/{'scom' if number % 2 else 'exmedic'}/x", str(number).encode())
    assert [int(each.payload) for each in await take(world.bus.deliveries(), 40)] == list(range(40))


async def test_what_was_not_acknowledged_comes_again_and_nothing_else(world: World) -> None:
    for number in range(4):
        await world.inject("alerts/scom/x", str(number).encode())
    first = await take(world.bus.deliveries(), 4)
    for delivery in first[:2]:
        await delivery.ack()
    await world.go_down()
    await world.go_up()
    await world.inject("alerts/scom/x", b"last")
    assert [each.payload for each in await take(world.bus.deliveries(), 3)] == [b"2", b"3", b"last"]


async def test_an_acknowledgement_after_the_connection_is_lost_is_no_acknowledgement(world: World) -> None:
    await world.inject("alerts/scom/x", b"precious")
    (first,) = await take(world.bus.deliveries(), 1)
    await world.go_down()
    await first.ack()
    await world.go_up()
    (again,) = await take(world.bus.deliveries(), 1)
    await first.ack()
    await world.go_down()
    await world.go_up()
    (third,) = await take(world.bus.deliveries(), 1)
    assert again.payload == third.payload == b"precious"


async def test_what_was_sent_while_we_were_away_arrives(world: World) -> None:
    await world.go_down()
    await world.inject("alerts/exmedic/x", b"meanwhile")
    await world.go_up()
    (delivery,) = await take(world.bus.deliveries(), 1)
    assert delivery.payload == b"meanwhile"


async def test_an_undelivered_message_of_a_lost_connection_is_not_seen_twice(world: World) -> None:
    await world.inject("alerts/scom/x", b"once")
    await world.go_down()
    await world.go_up()
    await world.inject("alerts/scom/x", b"end")
    assert [each.payload for each in await take(world.bus.deliveries(), 2)] == [b"once", b"end"]


async def test_a_consumer_that_gives_up_waiting_loses_nothing(world: World) -> None:
    deliveries = world.bus.deliveries()
    waiting = asyncio.ensure_future(anext(deliveries))
    await asyncio.sleep(0)
    waiting.cancel()
    await world.inject("alerts/scom/x", b"later")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (delivery,) = await take(deliveries, 1)
    assert delivery.payload == b"later"


async def test_publishing_while_down_fails_and_works_again_afterwards(world: World) -> None:
    assert world.bus.connected
    await world.go_down()
    assert not world.bus.connected
    with pytest.raises(BusDown):
        await world.bus.publish("exmedic/events", b"{}")
    await world.go_up()
    assert world.bus.connected
    await world.bus.publish("exmedic/events", b"{}")


async def test_a_retained_message_is_there_for_who_comes_late(world: World) -> None:
    await world.bus.publish("exmedic/incidents/1", b"old", retain=True)
    await world.bus.publish("exmedic/incidents/1", b"new", retain=True)
    await world.bus.publish("exmedic/incidents/1", b"passing")
    assert await world.retained("exmedic/incidents/1") == b"new"


async def test_an_alert_that_we_publish_ourselves_comes_back(world: World) -> None:
    await world.bus.publish("alerts/exmedic/test", b"from the command line")
    (delivery,) = await take(world.bus.deliveries(), 1)
    assert delivery.payload == b"from the command line"


async def test_many_publications_at_once_are_all_acknowledged(world: World) -> None:
    async with asyncio.timeout(HANG), asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(world.bus.publish(f"exmedic/x/{number}", b"", retain=True))


PAUSE = "exmedic/control/pause/ada"


async def test_a_pause_comes_beside_the_alerts_and_not_among_them(world: World) -> None:
    await world.inject("alerts/scom/x", b"alert")
    await world.inject(PAUSE, b"pause")
    await world.inject("exmedic/control/pause", b"nobody's")
    pauses = await take(world.bus.pauses(), 2)
    assert [(each.topic, each.payload, each.retained) for each in pauses] == [
        (PAUSE, b"pause", False),
        ("exmedic/control/pause", b"nobody's", False),
    ]
    await world.inject("alerts/scom/x", b"another")
    assert [each.payload for each in await take(world.bus.deliveries(), 2)] == [b"alert", b"another"]


async def test_a_pause_that_was_not_acknowledged_comes_again_also_over_an_outage(world: World) -> None:
    await world.inject(PAUSE, b"done")
    await world.inject(PAUSE, b"not done")
    done, _ = await take(world.bus.pauses(), 2)
    await done.ack()
    await world.go_down()
    await world.inject(PAUSE, b"meanwhile")
    await world.go_up()
    assert [each.payload for each in await take(world.bus.pauses(), 2)] == [b"not done", b"meanwhile"]


async def test_a_retained_pause_says_so_and_so_does_taking_it_off_the_broker(world: World) -> None:
    await world.inject(PAUSE, b"kept", retain=True)
    await world.inject(PAUSE, b"", retain=True)
    await world.inject(PAUSE, b"")
    pauses = await take(world.bus.pauses(), 3)
    assert [(each.payload, each.retained) for each in pauses] == [(b"kept", True), (b"", True), (b"", False)]


async def test_a_retained_pause_that_was_acknowledged_does_not_come_with_each_reconnection(world: World) -> None:
    await world.inject(PAUSE, b"kept", retain=True)
    (kept,) = await take(world.bus.pauses(), 1)
    await kept.ack()
    await world.go_down()
    await world.go_up()
    await world.inject(PAUSE, b"later")
    (later,) = await take(world.bus.pauses(), 1)
    assert later.payload == b"later"


levels = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4)


@given(levels, st.data())
def test_the_memory_broker_matches_topics_as_paho_does(topic_levels: list[str], data: st.DataObject) -> None:
    from aiomqtt import Topic, Wildcard  # noqa: PLC0415 - only the oracle of this test

    topic = "/".join(topic_levels)
    if not topic:
        return
    wanted = data.draw(st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=4))
    topic_filter = "/".join(wanted) + data.draw(st.sampled_from(["", "/#"]))
    if topic_filter:
        assert overlap(topic_filter, topic) == Topic(topic).matches(Wildcard(topic_filter))
