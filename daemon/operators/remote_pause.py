"""Pauses that come over the bus. It may only pause: nothing on the bus resumes, releases or approves.

A message is acknowledged once the pause stands. Dies before: the broker sends it again. Dies between the two, or loses
the connection there: it comes again too, and pauses once more, which is the safe side.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from daemon.config.topics import pause_topic
from daemon.domain.errors import BusDown, OperatorError, StoreError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import scope_of
from daemon.domain.ports import Bus, Delivery

PAYLOAD_LIMIT = 4096  #: bytes; a longer message was not meant for us, and pauses everything unread
TEXT_LIMIT = 120  #: characters of a user or a reason that are kept

_log = structlog.get_logger("exmedic.remote_pause")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePause:
    """The loop that carries out pauses from the bus. `pause` is the operators' command, for a user and a request."""

    bus: Bus
    inventory: Inventory
    prefix: str
    pause: Callable[[str, Mapping[str, str]], Awaitable[object]]

    async def run(self) -> None:
        """Carry out pauses until cancelled."""
        async for delivery in self.bus.pauses():
            if delivery.retained and not delivery.payload:
                _log.info("retained_pause_cleared", topic=delivery.topic)  # somebody took it off the broker
            elif not await self._paused(delivery):
                continue
            try:
                await delivery.ack()
            except BusDown:
                _log.debug("acknowledgement_not_sent", topic=delivery.topic)  # so it comes again
        raise RuntimeError("the bus ended its pauses, which it never does by itself")

    async def _paused(self, delivery: Delivery) -> bool:
        """Pause as a message says; whether that will outlast this process."""
        try:
            await self.pause(sender(self.prefix, delivery.topic), understood(self.inventory, delivery))
        except OperatorError as error:
            # The broker keeps it, and sends it again after the next start.
            _log.error("pause_not_lasting", topic=delivery.topic, why=str(error))
            return False
        except StoreError as error:
            _log.error("pause_not_on_record", topic=delivery.topic, why=str(error))
        return True


def sender(prefix: str, topic: str) -> str:
    """Who paused, as the topic says: as trustworthy as the broker's access rules."""
    return f"bus:{_plain(topic.removeprefix(pause_topic(prefix)).strip('/')) or '?'}"


def understood(inventory: Inventory, delivery: Delivery) -> dict[str, str]:
    """What a message orders: `server`, `dag` and `reason`, as for `exmedic pause`. What is not clear is everything."""
    wanted = _parsed(delivery.payload)
    order = {"reason": "a message that was not understood, so everything"} if wanted is None else dict(wanted)
    server, dag = order.get("server", ""), order.get("dag", "")
    reason = order.get("reason", "")
    if scope_of(inventory, server, dag) is None:
        reason = f"the inventory has no {server or dag}, so everything: {reason}" if not (server and dag) else reason
        server = dag = ""
    if delivery.retained:
        reason = f"retained message on {delivery.topic}, clear it on the broker: {reason}"
    return {"server": server, "dag": dag, "reason": _plain(reason)}


def _parsed(payload: bytes) -> Mapping[str, str] | None:
    """The members of a payload; None: not understood."""
    if not payload:
        return {}
    try:
        wanted = json.loads(payload) if len(payload) <= PAYLOAD_LIMIT else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(wanted, dict) or wanted.keys() - {"server", "dag", "reason"}:
        return None
    return wanted if all(isinstance(value, str) for value in wanted.values()) else None


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:TEXT_LIMIT].strip(" :")
