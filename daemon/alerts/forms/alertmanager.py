"""The webhook of Prometheus' Alertmanager: one message for a group of alerts. The labels that count are configured.

Source: Prometheus, "Alerting: configuration", `webhook_config`.
"""

from daemon.alerts.forms.fields import Fields
from daemon.alerts.forms.known import Names
from daemon.alerts.forms.machines import machine
from daemon.alerts.forms.records import Record, payload_key
from daemon.alerts.forms.rejected import Rejected, printable
from daemon.alerts.forms.subjects import NAME, Texts, subject
from daemon.alerts.forms.times import readable
from daemon.config.alerts import AlertSettings
from daemon.domain.alerts import Alert, Source
from daemon.domain.values import Json


def looks_like(record: Json) -> bool:
    """Whether a record is a message of Alertmanager's webhook."""
    return isinstance(record.get("alerts"), list) and (
        "groupKey" in record or "commonLabels" in record or _each(record)
    )


def _each(record: Json) -> bool:
    return all(isinstance(alert, dict) and "labels" in alert for alert in record["alerts"])


def alerts(record: Json) -> list[Json]:
    """A message for each alert of the group. What is said of the group changes with its other alerts, so it is left."""
    return [{"alerts": [alert]} for alert in record["alerts"]]


def read(record: Json, payload: bytes, names: Names, settings: AlertSettings) -> Record:
    """The alert in one of `alerts`.

    Raises:
        Rejected: it has no label that names a server.
    """
    fields = Fields(record["alerts"][0])
    given, notes = Fields(fields.table("labels")), Fields(fields.table("annotations"))
    machines = machine(given.text(settings.server_label))
    if not machines:
        raise Rejected(f"the label {settings.server_label} names no server; alerts.server_label says which label does")
    title = given.text("alertname")
    summary = notes.text("summary") or title
    about = subject(
        Texts(name=summary, description=notes.text("description"), display_name=title, object_name="", full_name=""),
        names,
    )
    health_set, monitor = _name(given, settings.health_set_label), _name(given, settings.monitor_label)
    alert = Alert(
        source=Source.ALERTMANAGER,
        source_id=printable(fields.text("fingerprint")),
        server=machines[0],
        health_set=health_set or about.health_set,
        monitor=monitor or ("" if health_set else about.monitor),
        raised_at=readable(fields.value("startsAt")),
        closed=fields.text("status").lower() == "resolved",
        summary=printable(summary),
        suppress="a Health Set maintenance alert is never remediated" if about.maintenance else "",
        names=machines,
    )
    return Record(alert, payload_key(Source.ALERTMANAGER, payload))


def _name(given: Fields, label: str) -> str:
    value = given.text(label)
    if value and not NAME.fullmatch(value):
        raise Rejected(f"the label {label} must be a name: 1 to 128 letters, digits, _ . or -")
    return value
