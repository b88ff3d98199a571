"""All windows of a site: those of the configuration, and those added by command."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from daemon.domain.inventory import Server
from daemon.domain.ports import Store
from daemon.domain.windows import Holding, Window, WindowKind, covers, holding

ASK_AGAIN = timedelta(minutes=5)  #: an operator may end a window before its time


async def windows_for(
    configured: Iterable[Window], store: Store, server: Server, since: datetime
) -> tuple[Window, ...]:
    """The windows for a server, among them those that ended after `since`."""
    return tuple(window for window in (*configured, *await store.windows(since)) if covers(window, server))


async def maintenance(configured: Iterable[Window], store: Store, server: Server, now: datetime) -> Holding | None:
    """The maintenance that a server is in, of several the one that ends last."""
    windows = await windows_for(configured, store, server, now)
    return next(iter(holding((each for each in windows if each.kind is WindowKind.MAINTENANCE), now)), None)


def asked_again(until: datetime, now: datetime) -> datetime:
    """When to ask whether a window still holds that is meant to end at `until`."""
    return min(until, now + ASK_AGAIN)
