"""Alerts that come in: a payload becomes its alerts, each understood or with the reason why not. See docs/alerts.md.

The topic says which form a payload has; nothing is guessed. Whatever the bytes are, nothing else happens and it happens
quickly: anybody who may publish on the bus can send them. Names are checked to be names; that they never become part of
a command does not rest on that, since arguments travel as data.

When an alert was raised decides nothing. A source's clock is no evidence, so an alert from last week or from the
future is taken like any other: the first state of every ladder asks the server itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from daemon.alerts.forms.decoding import json_of, text_of
from daemon.alerts.forms.known import Names
from daemon.alerts.forms.records import payload_key
from daemon.alerts.forms.rejected import Rejected
from daemon.alerts.forms.several import MOST, several
from daemon.alerts.forms.table import Form, forms
from daemon.config.alerts import AlertSettings
from daemon.config.settings import BusSettings
from daemon.config.topics import overlap
from daemon.domain.alerts import Alert, Source
from daemon.domain.values import Json, canonical

_log = structlog.get_logger("exmedic.intake")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One alert of a payload, understood or not. `payload` alone says the same once more on the same topic."""

    payload: bytes
    dedup_key: str
    alert: Alert | None = None
    rejection: str = ""


def source_of(topic: str, settings: BusSettings) -> Source | None:
    """The payload form of a topic, by the topic filters; None when it fits none."""
    return next((Source(name) for name, each in settings.filters().items() if overlap(each, topic)), None)


class Payloads:
    """Reads payloads, by the forms that a site has configured and the names that it knows."""

    def __init__(self, bus: BusSettings, settings: AlertSettings, names: Names) -> None:
        self._bus = bus
        self._names = names
        self._forms = forms(settings)

    def parts(self, topic: str, payload: bytes, *, cut: int | None = None, digest: str = "") -> tuple[Part, ...]:
        """The alerts in a payload; a single part with the reason where it cannot be told how many there are.

        `cut`: of how many bytes the payload is only the beginning, with their `digest`; None: it is all of it.
        """
        source, size = source_of(topic, self._bus), cut or len(payload)
        if size > self._bus.max_payload:
            known = f"{source or 'other'}:sha256:{digest}" if digest else payload_key(source or "other", payload)
            reason = f"the payload has {size} bytes, and max_payload of [bus] allows {self._bus.max_payload}"
            return (Part(payload=payload, dedup_key=known, rejection=f"{reason}; only its beginning is kept"),)
        try:
            return self._parts(topic, payload, source)
        except Rejected as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not be raised, see below
            # It would stop the daemon now and again at each redelivery, for ever. So it becomes a dead letter.
            _log.exception("payload_unreadable", topic=topic)
            reason = f"exmedic failed to read it ({type(error).__name__}); please report this"
        return (Part(payload=payload, dedup_key=payload_key(source or "other", payload), rejection=reason),)

    def _parts(self, topic: str, payload: bytes, source: Source | None) -> tuple[Part, ...]:
        if source is None:
            filters = ", ".join(f"{name} = {each}" for name, each in self._bus.filters().items())
            raise Rejected(f"the topic {topic} fits no topic filter of [bus]: {filters}")
        text = text_of(payload)
        if not text:
            return (_nothing(source, payload, "an empty payload only clears a retained message"),)
        value = json_of(text)
        records = several(value)
        if not records:
            return (_nothing(source, payload, "an array without alerts"),)
        found = tuple(part for record in records for part in self._of(topic, payload, source, record, record is value))
        if len(found) > MOST:
            raise Rejected(f"more than {MOST} alerts in one message; publish fewer")
        return found

    def _of(self, topic: str, payload: bytes, source: Source, record: object, whole: bool) -> Iterator[Part]:
        """The alerts in one record of a payload; `whole`: it is all of the payload."""
        form = self._forms[source]
        written = payload if whole else _written(record)
        try:
            split = form.split(self._of_form(topic, source, record))
        except Rejected as error:
            yield Part(payload=written, dedup_key=payload_key(source, written), rejection=str(error))
            return
        for single in split:
            alone = written if single is record else _written(single)
            yield self._read(source, form, single, alone)

    def _read(self, source: Source, form: Form, single: Json, written: bytes) -> Part:
        try:
            found = form.read(single, written, self._names)
        except Rejected as error:
            return Part(payload=written, dedup_key=payload_key(source, written), rejection=str(error))
        return Part(payload=written, dedup_key=found.dedup_key, alert=found.alert)

    def _of_form(self, topic: str, source: Source, record: object) -> Json:
        """A record of that form, or of none. One of another is refused with what would read it: nothing is guessed."""
        if isinstance(record, str):
            raise Rejected("this is a text that holds something: publish the JSON itself, not what is made of it again")
        if not isinstance(record, dict):
            raise Rejected("the payload is JSON, but not an object, nor an array of objects")
        if self._forms[source].looks_like(record):
            return record
        other = next((name for name, form in self._forms.items() if form.looks_like(record)), None)
        if other is None:
            return record  # so its form says what is missing
        configured = self._bus.filters().get(other.value)
        line = f'{other.value} = "{configured or f"alerts/{other.value}/#"}"'
        how = "publish it there" if configured else "and publish it there"
        raise Rejected(
            f"this is {self._forms[other].told}, and the topic {topic} is read as {self._forms[source].told}: "
            f"{line} in [bus] reads it, {how}"
        )


def _written(record: object) -> bytes:
    return canonical(record).encode("utf-8", "replace")


def _nothing(source: Source, payload: bytes, reason: str) -> Part:
    alert = Alert(
        source=source,
        source_id="",
        server="",
        health_set="",
        monitor="",
        raised_at=None,
        closed=False,
        summary="",
        suppress=reason,
    )
    return Part(payload=payload, dedup_key=payload_key(source, payload), alert=alert)
