"""How exmedic connects: the daemon and who only publishes alike, so that a broker refuses both or neither."""

import ssl
from collections.abc import Callable

import aiomqtt
from aiomqtt import ProtocolVersion, Will
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from daemon.config.settings import BusSettings, BusTls, Secret

_KEEPALIVE = 30  #: seconds; a dead connection is noticed within twice this
_RECEIVE_MAXIMUM = 500  #: unacknowledged messages the broker may send us at once; bounds our memory

#: Bytes of a packet that we tell the broker to take at most. The last resort: what is larger, it drops without a word.
MAXIMUM_PACKET = 16 * 1024 * 1024


def tls_context(tls: BusTls | None) -> ssl.SSLContext | None:
    """How to talk TLS to the broker; None: not at all."""
    if tls is None:
        return None
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def new_client(
    settings: BusSettings, read_secret: Callable[[Secret], str], *, identifier: str, will: Will, session: int
) -> aiomqtt.Client:
    """A client that is not connected yet. `session`: seconds for which the broker keeps it; 0 begins a new one.

    Raises:
        ConfigError: the password cannot be read.
        OSError: a certificate cannot be.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SessionExpiryInterval = session
    properties.ReceiveMaximum = _RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAXIMUM_PACKET
    return aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.username,
        password=read_secret(settings.password) if settings.password else None,
        identifier=identifier,
        protocol=ProtocolVersion.V5,
        will=will,
        clean_start=not session,
        timeout=settings.connect_timeout,
        keepalive=_KEEPALIVE,
        properties=properties,
        tls_context=tls_context(settings.tls),
    )
