"""What it means that a broker refuses a connection or ends it, and what to change: MQTT 5.0, section 2.4."""

from daemon.config.settings import BusSettings

UNSUPPORTED_VERSION = 132
TAKEN_OVER = 142  #: another client came with the same client id


def todo(code: int | None, settings: BusSettings) -> str:
    """What somebody must change, at the broker or in `[bus]`; empty where trying again is enough."""
    user, client = settings.username or "nobody", settings.client_id
    advice = {
        UNSUPPORTED_VERSION: "the broker does not speak MQTT 5: switch that on there, or name one that does as host",
        133: f"the broker does not allow the client id {client}: allow it there, or set another as client_id",
        134: f"the user name {user} or its password is wrong: correct username and password, or the user at the broker",
        135: f"the broker does not let the user {user} in: let it, or correct username and password",
        138: f"the broker has banned the user {user} or this machine: lift that there",
        TAKEN_OVER: f"another client has come with the client id {client}, such as a second daemon: stop one of them, "
        "or give each its own client_id; until then they throw each other out and share the alerts by chance",
        144: f"the broker does not allow the last will on {settings.prefix}/status: let the user {user} write it",
        154: "the broker does not keep retained messages, by which exmedic tells its status: switch them on there "
        "(mosquitto: retain_available true)",
        155: "the broker allows only QoS 0, where alerts may be lost: allow 1 there (mosquitto: max_qos 1)",
    }
    return advice.get(code or 0, "")
