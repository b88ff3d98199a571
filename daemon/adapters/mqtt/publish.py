"""Publishes a few messages as a client that leaves nothing behind: no session, no subscription, no status."""

import secrets
from collections.abc import Callable, Sequence

import aiomqtt

from daemon.adapters.mqtt.bus import tls_context
from daemon.config.settings import BusSettings, Secret
from daemon.domain.errors import BusDown


async def publish_once(
    settings: BusSettings, read_secret: Callable[[Secret], str], topic: str, payloads: Sequence[bytes]
) -> None:
    """Publish at QoS 1; returns when the broker has acknowledged all of them.

    Raises:
        BusDown: the broker did not take them all in time; some may have been published.
    """
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.username,
        password=read_secret(settings.password) if settings.password else None,
        identifier=f"{settings.client_id}-{secrets.token_hex(4)}",
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        timeout=settings.connect_timeout,
        tls_context=tls_context(settings.tls),
    )
    try:
        async with client:
            for payload in payloads:
                await client.publish(topic, payload, qos=1)
    except aiomqtt.MqttError as error:
        raise BusDown(f"{settings.host}:{settings.port} did not take the message: {error}") from error
