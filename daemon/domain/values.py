"""JSON, and times as text: what every record is made of."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]  #: a JSON object: str, int, float, bool, None, lists and objects of them


def timestamp(moment: datetime) -> str:
    """A moment as fixed-width ISO 8601 in UTC, which sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment(text: str) -> datetime:
    """The moment that `timestamp` wrote."""
    return datetime.fromisoformat(text)


def canonical(value: object) -> str:
    """JSON with one spelling: sorted keys, no spaces, non-ASCII kept. Hashes are taken over this."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
