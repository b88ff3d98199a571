"""Are the latest alerts all rejected? Then a site believes itself guarded, and is not."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from daemon.domain.alerts import AlertStatus, StoredAlert
from daemon.domain.values import Json, timestamp

LOOKED_AT = 500  #: of the newest alerts
LATEST = 3  #: so many of a form in a row; where fewer ever came, all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejections:
    """The latest alerts of a form, all of which were rejected."""

    form: str
    topic: str  #: of the very latest
    reason: str
    count: int  #: in a row; at least so many
    since: datetime

    def as_json(self) -> Json:
        """For those who ask how the daemon stands."""
        return {
            "form": self.form,
            "topic": self.topic,
            "reason": self.reason,
            "count": self.count,
            "since": timestamp(self.since),
        }


def rejected_lately(newest: Iterable[StoredAlert], form_of: Callable[[str], str | None]) -> list[Rejections]:
    """The forms whose latest alerts were all rejected, of alerts from the newest on; empty when all is well."""
    by_form: defaultdict[str, list[StoredAlert]] = defaultdict(list)
    for alert in newest:
        by_form[form_of(alert.topic) or alert.topic].append(alert)
    return [_of(form, alerts) for form, alerts in by_form.items() if all(map(_rejected, alerts[:LATEST]))]


def _of(form: str, alerts: list[StoredAlert]) -> Rejections:
    count = next((number for number, alert in enumerate(alerts) if not _rejected(alert)), len(alerts))
    first, last = alerts[count - 1], alerts[0]
    return Rejections(form=form, topic=last.topic, reason=last.reason, count=count, since=first.received_at)


def _rejected(alert: StoredAlert) -> bool:
    return alert.status is AlertStatus.REJECTED
