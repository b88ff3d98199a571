"""Pages humans through apprise: mail, chat and pagers. The only module that knows apprise.

The addresses are URLs with secrets in them, so no message here names one, and apprise's own log is switched off.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import apprise
import structlog

from daemon.domain.commits import PageKind
from daemon.domain.errors import ConfigError, NotifyFailed
from statemachines.mistake import Mistake

_DEADLINE = 30.0  #: seconds a channel may take; its thread ends with its own network time-outs
_THREADS = 4

#: By this a service decides whom it wakes. Without a type apprise takes a page for information, which raises no alert.
_TYPES = {
    PageKind.TROUBLE: apprise.NotifyType.FAILURE,
    PageKind.QUESTION: apprise.NotifyType.WARNING,
    PageKind.OVER: apprise.NotifyType.SUCCESS,
}
#: What alerting services call an action on an alert that is there already. Where none is, apprise's plugins for some
#: send no request at all, and report success.
_RAISES_NOTHING = frozenset(
    {"acknowledge", "acknowledgement", "close", "delete", "info", "note", "recovery", "resolve"}
)

# They log the URLs they use: apprise when one fails, urllib3 when an answer is malformed.
for _name in ("apprise", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

_log = structlog.get_logger("exmedic.notify")


class AppriseNotifier:
    """`ports.Notifier` to apprise URLs, one a channel. `source` is the file they are from, for error messages.

    Raises:
        ConfigError: some are not URLs that apprise knows, or would wake nobody; all of them at once.
    """

    def __init__(self, urls: Sequence[str], source: Path = Path("notify.urls")) -> None:
        self._channels = [apprise.Apprise() for _ in urls]
        mistakes = tuple(
            Mistake(source, line, objection)
            for line, (channel, url) in enumerate(zip(self._channels, urls, strict=True), start=1)
            if (objection := _added(channel, url))
        )
        if mistakes:
            raise ConfigError(mistakes)
        # Its own threads: aiomqtt connects through asyncio's, and a hanging mail server must not keep it from that.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notify")

    async def notify(self, title: str, body: str, kind: PageKind) -> None:
        """Send to all channels; returns when each has answered or run out of time, and one has accepted.

        Raises:
            NotifyFailed: none did.
        """
        loop = asyncio.get_running_loop()
        sending = [
            loop.run_in_executor(self._threads, _send, channel, title, body, _TYPES[kind])
            for channel in self._channels  # one by one: they fail one by one
        ]
        if sending:
            await asyncio.wait(sending, timeout=_DEADLINE)
        accepted = [each.done() and each.result() for each in sending]
        for each in sending:
            each.cancel()
        for number, taken in enumerate(accepted, start=1):
            if not taken:
                _log.warning(
                    "channel_failed", channel=number, of=len(accepted), todo="check its line in the URLs' file"
                )
        if not any(accepted):
            raise NotifyFailed(f"none of {len(accepted)} notification channels accepted the message")

    def close(self) -> None:
        """Take no more messages; a channel that hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _added(channel: apprise.Apprise, url: str) -> str:
    """Add a URL to a channel; what is wrong with it, or nothing."""
    if not channel.add(url):
        return "is not an apprise URL (see https://appriseit.com): check its schema and its parts"
    for plugin, kind in product(channel, (PageKind.TROUBLE, PageKind.QUESTION)):  # a line may hold several URLs
        action = _action(plugin, _TYPES[kind])
        if action in _RAISES_NOTHING:
            return f"wakes nobody: its action for a {_TYPES[kind].value} is {action}; leave that out of the URL"
    return ""


def _action(plugin: apprise.NotifyBase, notify_type: apprise.NotifyType) -> str:
    """What an alerting service is asked to do with a page of this type; other plugins have no such choice."""
    action = str(getattr(plugin, "action", "")).lower()
    return str(getattr(plugin, "mapping", {}).get(notify_type, action)).lower() if action == "map" else action


def _send(channel: apprise.Apprise, title: str, body: str, notify_type: apprise.NotifyType) -> bool:
    try:
        text = apprise.NotifyFormat.TEXT
        return bool(channel.notify(title=title, body=body, notify_type=notify_type, body_format=text))
    except Exception as error:  # noqa: BLE001 - plugins raise what they like, with the URL in it
        _log.warning("channel_error", error=type(error).__name__)
        return False
