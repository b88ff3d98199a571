"""Tells systemd how the daemon stands, through the notification socket (sd_notify(3)). Without one, nothing happens."""

import os
import socket
from collections.abc import Mapping

import structlog

_log = structlog.get_logger("exmedic.systemd")


class ServiceManager:
    """systemd, as far as the daemon talks to it. Never raises and never blocks: its absence must not stop a ladder."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_interval = _watchdog_interval(environment)  #: seconds between feedings; None: not wanted

    def ready(self) -> None:
        """The daemon has started."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        """The daemon has begun to stop."""
        self._tell("STOPPING=1")

    def feed_watchdog(self) -> None:
        """The daemon makes progress."""
        self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address  # abstract namespace
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.setblocking(False)
                notify.sendto(message.encode(), address)
        except OSError as error:
            _log.warning("systemd_not_told", message=message, reason=error.strerror)


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises, if it is meant for this process."""
    wanted, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or (process and process != str(os.getpid())):
        return None
    return int(wanted) / 2 / 1_000_000
