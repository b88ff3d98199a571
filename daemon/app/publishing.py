"""Publishes alerts as any source could, to try the way they come in."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.adapters.mqtt.publish import publish_once
from daemon.config.settings import Settings, read_secret
from daemon.domain.errors import BusDown, OperatorError


async def publish_alert(settings: Settings, alert: Mapping[str, Any]) -> str:
    """Publish an alert in the native form; returns the topic."""
    topic = f"{settings.bus.native.removesuffix('#').rstrip('/')}/test"
    await publish_raw(settings, topic, [json.dumps(alert).encode()])
    return topic


async def publish_raw(settings: Settings, topic: str, payloads: Sequence[bytes]) -> None:
    """Publish messages as any source of alerts could.

    Raises:
        OperatorError: the broker cannot be reached.
    """
    try:
        await publish_once(settings.bus, read_secret, topic, payloads)
    except BusDown as error:
        raise OperatorError(f"the broker {error}; is it running, and may this account publish on {topic}?") from error
