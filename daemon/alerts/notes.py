"""What humans are to hear of an alert that opens nothing."""

from collections.abc import Sequence
from datetime import datetime

from daemon.domain.alerts import Alert
from daemon.domain.inventory import Server
from daemon.domain.notices import Note, NoticeKind


def unhandled(server: Server, health_set: str, monitor: str, alert: int | None, at: datetime) -> Note:
    """No runbook handles a monitor of the server. `alert`: the number of one that names it."""
    item = f"{monitor} ({health_set})" if monitor else f"the health set {health_set or '(none)'}, without a monitor"
    return Note(kind=NoticeKind.UNHANDLED, about=server.name, item=item, alert=alert, at=at)


def unclear(servers: Sequence[Server], alert: Alert, reason: str, number: int, at: datetime) -> Note:
    """It is not clear which of the servers an alert is about."""
    about = ", ".join(sorted(server.name for server in servers))
    what = alert.monitor or alert.health_set or alert.summary
    return Note(kind=NoticeKind.UNCLEAR, about=about, item=f"{what}: {reason}", alert=number, at=at)
