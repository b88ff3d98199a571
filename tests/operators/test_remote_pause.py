"""Pauses over the bus: what they say, what they may not, and when they are acknowledged."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.errors import OperatorError, StoreError
from daemon.domain.pauses import EVERYTHING
from daemon.domain.ports import Delivery
from daemon.operators.remote_pause import PAYLOAD_LIMIT, RemotePause, sender, understood
from daemon.testing.memory_bus import MemoryBus
from tests.remediation.world import MBX1, Daemon, inventory

SERVERS = inventory()
TOPIC = "exmedic/control/pause/ada"


async def never() -> None:
    raise AssertionError("nobody acknowledges here")


def order(payload: bytes, *, retained: bool = False) -> dict[str, str]:
    return understood(SERVERS, Delivery(topic=TOPIC, payload=payload, ack=never, retained=retained))


@contextlib.asynccontextmanager
async def listening(daemon: Daemon, bus: MemoryBus) -> AsyncIterator[None]:
    """The loop on a bus, with the operators' own command behind it."""

    async def pause(user: str, request: Mapping[str, str]) -> object:
        return await daemon.operators.carry_out(user, {**request, "command": "pause"})

    running = asyncio.create_task(RemotePause(bus=bus, inventory=SERVERS, prefix="exmedic", pause=pause).run())
    yield
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def acknowledged(bus: MemoryBus) -> None:
    while bus.unacknowledged:  # noqa: ASYNC110 - a broker tells nobody of its acknowledgements
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("payload", "server", "dag", "reason"),
    [
        (b"", "", "", ""),
        (b"{}", "", "", ""),
        (b'{"server": "MBX1", "reason": "disk"}', "MBX1", "", "disk"),
        (b'{"dag": "dag1"}', "", "dag1", ""),
        (b'{"reason": "storm"}', "", "", "storm"),
        (b'{"server": "mbx9", "reason": "disk"}', "", "", "the inventory has no mbx9, so everything: disk"),
        (b'{"server": "mbx1", "dag": "DAG1", "reason": "both"}', "", "", "both"),
    ],
)
def test_a_message_narrows_the_pause_by_server_or_dag(payload: bytes, server: str, dag: str, reason: str) -> None:
    assert order(payload) == {"server": server, "dag": dag, "reason": reason}


@pytest.mark.parametrize(
    "payload",
    [
        b"please",
        b"\xff\xfe",
        b"[]",
        b'{"server": 7}',
        b'{"server": null}',
        b'{"resume": true}',
        b'{"server": "mbx1", "until": "noon"}',
        b"[" * PAYLOAD_LIMIT,
        b'{"server": "mbx1", "reason": "%s"}' % (b"x" * PAYLOAD_LIMIT),
    ],
)
def test_whatever_is_not_understood_pauses_everything(payload: bytes) -> None:
    assert order(payload) == {"server": "", "dag": "", "reason": "a message that was not understood, so everything"}


@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.text() | st.none() | st.booleans()).map(json.dumps))
def test_no_message_can_order_more_than_a_pause_or_break_the_loop(payload: bytes | str) -> None:
    wanted = order(payload.encode() if isinstance(payload, str) else payload)
    assert wanted.keys() == {"server", "dag", "reason"}
    assert "\n" not in wanted["reason"]


def test_a_retained_message_says_that_it_is_one_and_where() -> None:
    assert order(b'{"server": "mbx1", "reason": "disk"}', retained=True) == {
        "server": "mbx1",
        "dag": "",
        "reason": f"retained message on {TOPIC}, clear it on the broker: disk",
    }


@pytest.mark.parametrize(("topic", "user"), [(TOPIC, "bus:ada"), ("exmedic/control/pause", "bus:?")])
def test_who_paused_is_who_the_topic_says(topic: str, user: str) -> None:
    assert sender("exmedic", topic) == user


async def test_a_pause_over_the_bus_stands_before_it_is_acknowledged_and_is_attributed(daemon: Daemon) -> None:
    bus = MemoryBus()
    async with listening(daemon, bus):
        bus.inject(TOPIC, b'{"server": "mbx1", "reason": "smoke"}')
        await acknowledged(bus)
        assert daemon.pause.standing() == {MBX1: "by bus:ada: smoke"}
        bus.inject("exmedic/control/pause/bob", b"")
        await acknowledged(bus)
    assert daemon.pause.standing()[EVERYTHING] == "by bus:bob: no reason given"
    rows = [row.entry.fields["user"] for row in await daemon.store.audit_after(0, 10)]
    assert rows == ["bus:ada", "bus:bob"]


async def test_taking_a_retained_pause_off_the_broker_pauses_nothing(daemon: Daemon) -> None:
    bus = MemoryBus()
    async with listening(daemon, bus):
        bus.inject(TOPIC, b"", retain=True)
        await acknowledged(bus)
    assert daemon.pause.standing() == {}


async def test_what_does_not_last_stays_with_the_broker_and_what_is_only_not_on_record_does_not() -> None:
    bus, errors = MemoryBus(), iter([OperatorError("the disk is full"), StoreError("the disk is full")])
    heard = asyncio.Semaphore(0)

    async def pause(_user: str, _request: Mapping[str, str]) -> object:
        heard.release()
        raise next(errors)

    running = asyncio.create_task(RemotePause(bus=bus, inventory=SERVERS, prefix="exmedic", pause=pause).run())
    bus.inject(TOPIC, b"not lasting")
    await heard.acquire()
    bus.inject(TOPIC, b"not on record")
    await heard.acquire()
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert bus.unacknowledged == 1
