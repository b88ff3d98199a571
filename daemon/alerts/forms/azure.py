"""Azure's common alert schema, as Azure Monitor and what forwards to it send it.

Source: Microsoft, "Common alert schema for Azure Monitor alerts".
"""

from daemon.alerts.forms.fields import Fields
from daemon.alerts.forms.known import Names
from daemon.alerts.forms.machines import in_path, in_text
from daemon.alerts.forms.records import Record, payload_key
from daemon.alerts.forms.rejected import Rejected, printable
from daemon.alerts.forms.subjects import Texts, subject
from daemon.alerts.forms.times import readable
from daemon.domain.alerts import Alert, Source
from daemon.domain.values import Json


def looks_like(record: Json) -> bool:
    """Whether a record is in Azure's common alert schema."""
    return record.get("schemaId") == "azureMonitorCommonAlertSchema"


def read(record: Json, payload: bytes, names: Names) -> Record:
    """The alert in a record of Azure's.

    Raises:
        Rejected: it names no machine, or has no essentials.
    """
    essentials = Fields(Fields(record).table("data")).table("essentials")
    fields = Fields(essentials)
    if not essentials:
        raise Rejected("data.essentials is missing: this is not the whole of Azure's common alert schema")
    title, description = fields.text("alertRule"), fields.text("description")
    targets = [str(each) for name in ("alertTargetIDs", "configurationItems") for each in _list(fields.value(name))]
    machines = tuple(dict.fromkeys(name for target in targets for name in reversed(in_path(target))))
    hints = tuple(name for name in (*in_text(title), *in_text(description)) if name not in machines)
    if not machines and not hints:
        raise Rejected("neither alertTargetIDs nor configurationItems of data.essentials names a server")
    about = subject(Texts(name=title, description=description, display_name="", object_name="", full_name=""), names)
    alert = Alert(
        source=Source.AZURE,
        source_id=printable(fields.text("alertId").rpartition("/")[2]),
        server=next(iter((*machines, *hints))),
        health_set=about.health_set,
        monitor=about.monitor,
        raised_at=readable(fields.value("firedDateTime")),
        closed=fields.text("monitorCondition").lower() == "resolved",
        summary=printable(about.text),
        suppress="a Health Set maintenance alert is never remediated" if about.maintenance else "",
        names=machines,
        hints=hints,
    )
    return Record(alert, payload_key(Source.AZURE, payload))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]
