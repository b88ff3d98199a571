"""What every store writes the same way: the form records take, and what comes with an ingested message."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from daemon.domain.alerts import Alert, AlertStatus, Received
from daemon.domain.audit import AuditEntry, AuditKind, AuditRow, chain_hash
from daemon.domain.commits import Channel, Outgoing, Routing
from daemon.domain.incidents import Step
from daemon.domain.notices import Note, NoticeKind, grouped
from daemon.domain.values import timestamp

Record = TypeVar("Record")

DEAD_LETTER_PAYLOAD = 4096  #: bytes of a rejected payload that its dead letter repeats


_AS_THEY_ARE = frozenset({type(None), bool, int, float})


@cache
def _names(record: type[Any]) -> tuple[str, ...]:
    return tuple(each.name for each in fields(record))


def _text(value: str) -> str:
    # json.loads makes lone surrogates of "\ud800"; they have no UTF-8, so neither SQLite nor the audit hash takes
    # them, and one such message would be delivered, and fail, for ever.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _json(value: object) -> object:
    if type(value) in _AS_THEY_ARE or (type(value) is str and value.isascii()):
        return value
    if isinstance(value, str):
        return _text(str(value))
    if type(value) is dict or isinstance(value, Mapping):  # asking the abstract class takes its time
        return {_text(str(name)): _json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, int | float):
        return value
    raise TypeError(f"{type(value).__name__} {value!r} is not JSON; convert it before it is stored")


def _field(value: object) -> object:
    if type(value) in _AS_THEY_ARE or (type(value) is str and value.isascii()) or isinstance(value, Enum):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple):
        return tuple(storable(item) for item in value) if value else value
    if type(value) is dict or isinstance(value, Mapping):
        return _json(value)
    return storable(value)


def storable(record: Record) -> Record:
    """The record as it reads back from any store: times in UTC, JSON of plain dicts and lists, text that has a UTF-8.

    Raises:
        TypeError: something in a JSON field is not JSON; a mistake of ours.
    """
    if not is_dataclass(record) or isinstance(record, type):
        return record
    return type(record)(**{name: _field(getattr(record, name)) for name in _names(type(record))})


def initial_status(received: Received) -> AlertStatus:
    """Pending only if the message was understood and nothing speaks against it."""
    return AlertStatus.REJECTED if received.rejection or received.alert is None else AlertStatus.PENDING


def initial_reason(received: Received) -> str:
    """Why the message is rejected; empty when it is not."""
    if initial_status(received) is AlertStatus.PENDING:
        return ""
    return received.rejection or "not understood"


def ingested(alert_id: int, received: Received) -> AuditEntry:
    """The audit entry of a message that was stored for the first time."""
    alert = received.alert
    facts: dict[str, Any] = {"alert_id": alert_id, "topic": received.topic, "size": received.size}
    if alert is not None:
        facts |= {"source": alert.source.value, "source_id": alert.source_id, "closed": alert.closed}
        facts |= {"raised_at": timestamp(alert.raised_at) if alert.raised_at else None}
    reason = initial_reason(received)
    if reason:
        facts["reason"] = reason
        message = f"rejected message {alert_id} on {received.topic}: {reason}"
    else:
        message = f"accepted alert {alert_id} on {received.topic}: {_about(alert)}"
    return AuditEntry(
        kind=AuditKind.ALERT_REJECTED if reason else AuditKind.ALERT_ACCEPTED,
        at=received.received_at,
        message=message,
        server=alert.server if alert else "",
        health_set=alert.health_set if alert else "",
        monitor=alert.monitor if alert else "",
        fields=facts,
    )


def rejection(alert_id: int, received: Received) -> Note:
    """What a human is to hear of a rejected message."""
    return Note(
        kind=NoticeKind.REJECTED,
        about=grouped(initial_reason(received)),
        item=received.topic,
        alert=alert_id,
        at=received.received_at,
    )


def _about(alert: Alert | None) -> str:
    if alert is None or not alert.server:
        return alert.suppress if alert else ""
    return f"{alert.monitor or 'whole health set'} ({alert.health_set}) on {alert.server}"


def dead_letter(topic: str, received: Received) -> Outgoing:
    """What is published about a rejected message; `payload` is text of at most 4 KiB, errors replaced."""
    text = received.payload[:DEAD_LETTER_PAYLOAD].decode("utf-8", "replace")
    body = {
        "topic": received.topic,
        "reason": initial_reason(received),
        "size": received.size,
        "payload": text.encode()[:DEAD_LETTER_PAYLOAD].decode("utf-8", "ignore"),
        "received_at": timestamp(received.received_at),
    }
    return Outgoing(channel=Channel.BUS, topic=topic, body=body)


def chained(entries: Iterable[AuditEntry], seq: int, prev_hash: str) -> Iterable[AuditRow]:
    """The rows of these entries behind the row `seq` with hash `prev_hash`."""
    for entry in entries:
        seq += 1
        digest = chain_hash(seq, entry, prev_hash)
        yield AuditRow(seq=seq, entry=entry, prev_hash=prev_hash, hash=digest)
        prev_hash = digest


def same_run(step: Step, stored: Step) -> bool:
    """Whether both are the same run of the same action, whatever has become of it: that part is never rewritten."""
    return all(
        getattr(step, name) == getattr(stored, name)
        for name in ("id", "incident_id", "number", "state", "action", "effect", "server")
    )


def decides(routing: Routing) -> bool:
    """Whether a routing ends an alert's waiting: it joins an incident, or is set aside."""
    return routing.status is not AlertStatus.PENDING and (
        routing.status is not AlertStatus.JOINED or routing.incident_id is not None
    )
