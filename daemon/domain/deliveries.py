"""How much of a message from the bus is handed over."""

import hashlib
from collections.abc import Awaitable, Callable

from daemon.domain.ports import Delivery

KEPT = 64 * 1024  #: bytes that are kept of a payload, enough to see what it was meant to be


def delivered(topic: str, payload: bytes, ack: Callable[[], Awaitable[None]], *, retained: bool, most: int) -> Delivery:
    """A message as it is handed over: of a payload with more than `most` bytes only the beginning.

    The rest is let go of at once: hundreds may wait for a store that cannot be used.
    """
    if len(payload) <= most:
        return Delivery(topic=topic, payload=payload, ack=ack, retained=retained)
    digest, beginning = hashlib.sha256(payload).hexdigest(), bytes(payload[:KEPT])
    return Delivery(topic=topic, payload=beginning, ack=ack, retained=retained, cut_from=len(payload), digest=digest)
