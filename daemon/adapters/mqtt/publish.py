"""Publishes a few messages as a client that leaves nothing behind: no session, no subscription, no status."""

import secrets
from collections.abc import Callable, Sequence

from aiomqtt import Will

from daemon.adapters.mqtt.client import new_client
from daemon.adapters.mqtt.connection import Connection, LostError
from daemon.config.settings import BusSettings, Secret
from daemon.domain.errors import BusDown
from daemon.domain.ports import Delivery

NO_SUBSCRIBERS = 16  #: MQTT 5.0, section 3.4.2.1: taken, and thrown away


def _not_ours(_delivery: Delivery) -> None:
    """Nothing was subscribed to."""


async def publish_once(
    settings: BusSettings, read_secret: Callable[[Secret], str], topic: str, payloads: Sequence[bytes]
) -> None:
    """Publish at QoS 1; returns when the broker has acknowledged all of them.

    It connects as the daemon does, with a retained last will, so that it does not succeed where the daemon fails.

    Raises:
        BusDown: the broker did not take them all in time, or nobody is there for whom it would keep them; some may have
            been published.
    """
    place = f"{settings.host}:{settings.port}"
    identifier = f"{settings.client_id}-{secrets.token_hex(4)}"
    will = Will(f"{settings.prefix}/canary/{identifier}", b"", qos=1, retain=True)  # empty: it retains nothing
    client = new_client(settings, read_secret, identifier=identifier, will=will, session=0)
    connection = Connection(settings, client, _not_ours, refused={topic})  # a refusal is raised, not logged
    try:
        await connection.open()
    except LostError as error:
        refused = f"{place} refused the connection: {error}; {error.todo}"
        raise BusDown(refused if error.todo else f"{place} cannot be reached: {error}") from error
    try:
        for payload in payloads:
            if await connection.publish(topic, payload, retain=False) == NO_SUBSCRIBERS:
                raise BusDown(
                    f"{place} took a message on {topic} for nobody: no daemon with these settings was ever connected, "
                    "or the broker has forgotten its session"
                )
    finally:
        await connection.close()
