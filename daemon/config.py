"""The daemon's settings: what the administrator writes in exmedic.toml, validated as a whole.

Every field has the default that is safest for the servers. Durations are seconds. Relative paths are relative to
the file that names them.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from daemon.domain import Mode

Transport = Literal["ntlm", "kerberos", "credssp", "basic"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(_Settings):
    """A secret, by where it is kept: a file, or a systemd credential (LoadCredential=) of that name. Never inline."""

    file: Path | None = None
    credential: str | None = None


class BusTls(_Settings):
    """TLS to the broker. `ca` None uses the system's certificate authorities."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class BusSettings(_Settings):
    """The MQTT broker and the topics. `scom` and `native` are topic filters of the two payload forms."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    client_id: Annotated[str, Field(min_length=1, max_length=64)] = "exmedic"
    username: str | None = None
    password: Secret | None = None
    tls: BusTls | None = None
    session_expiry: PositiveInt = 7 * 24 * 3600
    connect_timeout: PositiveFloat = 20.0
    scom: str = "alerts/scom/#"
    native: str = "alerts/exmedic/#"
    prefix: str = "exmedic"  #: of everything published


class Credential(_Settings):
    """How to log on to servers.

    `second_hop`: `credential` sends the credential to the script on stdin, `delegated` relies on CredSSP or on
    Kerberos delegation.
    """

    transport: Transport = "ntlm"
    username: str
    password: Secret | None = None  #: not needed with a Kerberos ticket cache
    second_hop: Literal["credential", "delegated"] = "credential"
    ca: Path | None = None  #: for https endpoints; None uses the system's certificate authorities


class WinrmSettings(_Settings):
    """The remote calls. `call_timeout` is the hard deadline of one call."""

    call_timeout: PositiveFloat = 120.0
    connect_timeout: PositiveFloat = 10.0
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    attempts: Annotated[int, Field(ge=1, le=10)] = 3


class Safety(_Settings):
    """Modes and the kill switch. A server's mode is `auto` only if one of its tags says so."""

    mode: Literal[Mode.OBSERVE] = Mode.OBSERVE
    auto_tags: tuple[str, ...] = ()
    pause_file: Path = Path("pause")


class Timing(_Settings):
    """The waits of a ladder. Deadlines of actions are in statemachines.actions."""

    probe_failures: PositiveInt = 3  #: how often the probe must fail ...
    probe_span: PositiveFloat = 180.0  #: ... over how long
    monitor_wait: PositiveFloat = 900.0  #: how long a passing probe waits for its monitor to agree
    hold_recheck: PositiveFloat = 300.0  #: when a held incident asks again
    hold_deadline: PositiveFloat = 8 * 3600.0  #: when it escalates instead
    observe_deadline: PositiveFloat = 24 * 3600.0  #: how long mode observe watches an unhealthy server
    latch_recheck: PositiveFloat = 1800.0  #: when an escalated incident looks whether it is over
    facts_age: PositiveFloat = 30.0  #: how old a gate's facts may be, in real seconds
    send_window: PositiveFloat = 300.0  #: until when an effect may begin, on the executing server's own clock
    back_apart: PositiveFloat = 60.0  #: how far apart a rebooted server must twice be found back


class NotifySettings(_Settings):
    """Where escalations go. `urls` holds a file with one apprise URL a line; they contain secrets."""

    urls: Secret | None = None


class LabClock(_Settings):
    """A clock that runs fast, for the lab only: refused unless every endpoint and the broker are on loopback."""

    epoch: AwareDatetime
    speed: Annotated[float, Field(ge=1, le=1000)]


class Settings(_Settings):
    """The whole of exmedic.toml."""

    data: Path = Path("/var/lib/exmedic")  #: the store
    socket: Path = Path("/run/exmedic/control.sock")
    inventory: Path = Path("inventory.toml")
    runbooks: Path | None = None  #: the site's own, beside the shipped ones
    bus: BusSettings = BusSettings()
    credentials: dict[str, Credential] = Field(default_factory=dict)
    winrm: WinrmSettings = WinrmSettings()
    safety: Safety = Safety()
    timing: Timing = Timing()
    notify: NotifySettings = NotifySettings()
    lab: LabClock | None = None
