"""The daemon's settings: what the administrator writes in exmedic.toml, validated as a whole.

Every field has the default that is safest for the servers. Durations are seconds. Relative paths are relative to
the file that names them. docs/configuration.md explains every field; a test holds the two together.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from daemon.config.alerts import AlertSettings
from daemon.config.fields import Name, PrivateFile, Seconds, Section, SiteDirectory, SiteFile, SitePath
from daemon.config.guardrails import Budgets, Dependencies, Safety, SharedCause, Storms, Timing
from daemon.config.retention import Retention
from daemon.config.roles import Roles
from daemon.config.toml import TomlSource, read_toml
from daemon.config.topics import filter_problem, overlap
from daemon.config.validation import validated
from daemon.config.whereabouts import DEFAULTS
from daemon.config.windows import WindowSettings
from daemon.domain.alerts import Source
from daemon.domain.errors import ConfigError
from daemon.domain.windows import Window
from statemachines.mistake import Mistake

Transport = Literal["ntlm", "kerberos", "credssp", "basic"]

#: The settings in `[bus]` that are topic filters of payload forms.
FORMS: Final = tuple(source.value for source in Source)

_CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its address or as `localhost`; no name is looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Secret(Section):
    """A secret, by where it is kept: a file, or a systemd credential (LoadCredential=) of that name. Never inline."""

    file: PrivateFile | None = None
    credential: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _never_inline(cls, value: object) -> object:
        if isinstance(value, str):
            # Not a word about the value: it is the secret.
            raise ValueError('must say where the secret is kept: { file = "..." } or { credential = "..." }')  # noqa: TRY004 - pydantic reports ValueError only
        return value

    @field_validator("credential")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is not None and not _CREDENTIAL_NAME.fullmatch(value):
            raise ValueError("must be the name of a systemd credential: letters, digits, . _ and -")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.credential is None):
            raise ValueError("must have either file or credential, one of them")
        return self


class BusTls(Section):
    """TLS to the broker. `ca` None uses the system's certificate authorities."""

    ca: SiteFile | None = None
    certificate: SiteFile | None = None
    key: PrivateFile | None = None

    @field_validator("key")
    @classmethod
    def _with_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "certificate" in info.data and (value is None) != (info.data["certificate"] is None):
            raise ValueError("must come with certificate: a client shows both or neither")
        return value


class BusSettings(Section):
    """The MQTT broker and the topics: a topic filter for each payload form, None for one that is not expected."""

    host: Name = "127.0.0.1"
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 1883
    client_id: Annotated[str, Field(min_length=1, max_length=64)] = "exmedic"
    username: str | None = None
    password: Secret | None = None
    tls: BusTls | None = None
    session_expiry: Annotated[int, Field(strict=True, ge=3600, le=2**32 - 1)] = 7 * 24 * 3600
    connect_timeout: Seconds = 20.0
    scom: str = "alerts/scom/#"
    native: str = "alerts/exmedic/#"
    logic_apps: str | None = None
    cloudevents: str | None = None
    azure: str | None = None
    alertmanager: str | None = None
    prefix: str = "exmedic"  #: of everything published
    max_payload: Annotated[int, Field(strict=True, ge=64 * 1024, le=8 * 1024 * 1024)] = (
        1024 * 1024
    )  #: bytes of an alert

    @field_validator(*FORMS)
    @classmethod
    def _filter(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if problem := filter_problem(value):
            raise ValueError(problem)
        for name in FORMS:
            other = info.data.get(name)
            if name != info.field_name and other and overlap(value, other):
                raise ValueError(f"must not overlap with bus.{name}: a topic says which form its payloads have")
        return value

    @field_validator("prefix")
    @classmethod
    def _no_loop(cls, value: str, info: ValidationInfo) -> str:
        if filter_problem(value) or not {"#", "+"}.isdisjoint(value):
            raise ValueError("must be a topic, such as exmedic")
        for name in FORMS:
            if (covered := info.data.get(name)) and overlap(covered, f"{value}/#"):
                # A dead letter that comes back is rejected again, which is a dead letter, for ever.
                raise ValueError(f"must not be below bus.{name}: exmedic would receive what it publishes")
        return value

    def filters(self) -> dict[str, str]:
        """The topic filter of each form that is expected, by the form's name."""
        given = {name: getattr(self, name) for name in FORMS}
        return {name: each for name, each in given.items() if each}


class Credential(Section):
    """How to log on to servers.

    `second_hop`: `credential` sends the credential to the script on stdin, `delegated` relies on CredSSP or on
    Kerberos delegation.
    """

    transport: Transport = "ntlm"
    username: Name
    password: Secret | None = None  #: not needed with a Kerberos ticket cache
    second_hop: Literal["credential", "delegated"] = "credential"
    ca: SiteFile | None = None  #: for https endpoints; None uses the system's certificate authorities

    @field_validator("password")
    @classmethod
    def _needed(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        transport = info.data.get("transport", "kerberos")
        if value is None and transport != "kerberos":
            raise ValueError(f"is missing: {transport} cannot log on without one")
        return value

    @field_validator("second_hop")
    @classmethod
    def _possible(cls, value: str, info: ValidationInfo) -> str:
        transport = info.data.get("transport")
        if value == "delegated" and transport in ("ntlm", "basic"):
            raise ValueError(
                f'must be "credential": {transport} delegates nothing, so Exchange would refuse every call'
            )
        if value == "credential" and transport == "kerberos" and info.data.get("password", ...) is None:
            raise ValueError('must be "delegated" where there is no password that could be sent')
        return value


class WinrmSettings(Section):
    """The remote calls. `call_timeout` is the hard deadline of one that reads, `effect_timeout` of one that acts.

    `probe_timeout` is that of a probe: a hung service keeps it for 110 seconds, and Exchange waits up to 300 for it.
    """

    call_timeout: Seconds = 120.0
    probe_timeout: Seconds = 330.0
    effect_timeout: Seconds = 240.0
    connect_timeout: Seconds = 10.0
    threads: Annotated[int, Field(strict=True, ge=1, le=256)] = 16
    attempts: Annotated[int, Field(strict=True, ge=1, le=10)] = 3
    logon_rest: Annotated[float, Field(ge=300, le=86400)] = 900.0


class NotifySettings(Section):
    """Where escalations go. `urls` holds a file with one apprise URL a line; they contain secrets."""

    urls: Secret | None = None


class LabClock(Section):
    """A clock that runs fast, for the lab only: refused unless every endpoint and the broker are on loopback."""

    epoch: AwareDatetime
    speed: Annotated[float, Field(strict=True, ge=1, le=1000)]


class Settings(Section):
    """The whole of exmedic.toml."""

    data: SitePath = DEFAULTS.data  #: the store
    socket: SitePath = DEFAULTS.socket
    journal: SitePath = Path("/run/systemd/journal/socket")  #: where journald listens; not there: standard output
    inventory: SitePath = Path("inventory.toml")
    runbooks: SiteDirectory | None = None  #: the site's own, beside the shipped ones
    bus: BusSettings = BusSettings()
    alerts: AlertSettings = AlertSettings()
    credentials: dict[str, Credential] = Field(default_factory=dict)
    winrm: WinrmSettings = WinrmSettings()
    safety: Safety = Safety()
    timing: Timing = Timing()
    budgets: Budgets = Budgets()
    storms: Storms = Storms()
    shared_cause: SharedCause = SharedCause()
    dependencies: Dependencies = Dependencies()
    windows: tuple[WindowSettings, ...] = ()
    retention: Retention = Retention()
    notify: NotifySettings = NotifySettings()
    roles: Roles | None = None
    lab: LabClock | None = None

    @field_validator("windows")
    @classmethod
    def _told_apart(cls, value: tuple[WindowSettings, ...]) -> tuple[WindowSettings, ...]:
        names = [window.name for window in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"has two of the name {twice}; a hold names its window, so each needs its own")
        return value

    @field_validator("lab")
    @classmethod
    def _lab_broker(cls, value: LabClock | None, info: ValidationInfo) -> LabClock | None:
        bus = info.data.get("bus")
        if value and bus and not is_loopback(bus.host):
            raise ValueError("is refused: a fast clock is for a lab, and bus.host is not on loopback")
        return value


def windows_of(settings: Settings) -> tuple[Window, ...]:
    """The windows of the configuration."""
    return tuple(window.window() for window in settings.windows)


def load_settings(path: Path) -> Settings:
    """The settings in a file.

    Raises:
        ConfigError: everything that is wrong with the file, and with the files it names except the inventory.
    """
    _, settings, mistakes = read_settings(path)
    if settings is None:
        raise ConfigError(mistakes)
    return settings


def read_settings(path: Path) -> tuple[TomlSource, Settings | None, tuple[Mistake, ...]]:
    """A file as TOML, its settings if they can be used, and all its mistakes."""
    source = read_toml(path)
    settings, mistakes = validated(Settings, source, path.absolute().parent)
    return source, settings, mistakes


def read_secret(secret: Secret) -> str:
    """The secret itself, without its final newline. Read at each use, so that a changed password needs no restart.

    Raises:
        ConfigError: it cannot be read. No message, and no exception in its chain, holds any of it.
    """
    file = _place(secret)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError((Mistake(file, 0, f"the secret cannot be read: {error.strerror}"),)) from None
    text = _decoded(data)
    if text is None:
        raise ConfigError((Mistake(file, 0, "the secret is not UTF-8 text; save the file as UTF-8"),))
    text = text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
    if not text:
        raise ConfigError((Mistake(file, 0, "the secret is empty; write it into the file"),))
    return text


def _place(secret: Secret) -> Path:
    if secret.file is not None:
        return secret.file
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        message = (
            f"the systemd credential {secret.credential} cannot be found: CREDENTIALS_DIRECTORY is not set; "
            f"start exmedic from its unit with LoadCredential={secret.credential}:/path/of/the/file"
        )
        raise ConfigError((Mistake(Path(str(secret.credential)), 0, message),))
    return Path(directory) / str(secret.credential)


def _decoded(data: bytes) -> str | None:
    """The text, or None. A UnicodeDecodeError holds the bytes, so none may get into a chain of exceptions."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
