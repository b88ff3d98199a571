"""Every form of payload that is read, by the setting in `[bus]` that names its topics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from daemon.alerts.forms import alertmanager, azure, native, scom, wrapped
from daemon.alerts.forms.known import Names
from daemon.alerts.forms.records import Record
from daemon.config.alerts import AlertSettings
from daemon.domain.alerts import Source
from daemon.domain.values import Json

Reading = Callable[[Json, bytes, Names], Record]


@dataclass(frozen=True, slots=True)
class Form:
    """One form. `split` makes a payload of the same form for each alert in a record; `read` reads one of those."""

    told: str  #: what people call it
    looks_like: Callable[[Json], bool]
    read: Reading
    split: Callable[[Json], list[Json]] = lambda record: [record]


def forms(settings: AlertSettings) -> Mapping[Source, Form]:
    """The table, in the order in which a record of another form is recognised: what is wrapped comes after wrappers."""
    webhook = partial(alertmanager.read, settings=settings)
    return {
        Source.LOGIC_APPS: Form("the body of a Logic App", wrapped.is_logic_apps, wrapped.read_body, wrapped.bodies),
        Source.CLOUDEVENTS: Form("a CloudEvent", wrapped.is_cloudevent, wrapped.read_event, wrapped.events),
        Source.AZURE: Form("Azure's common alert schema", azure.looks_like, azure.read),
        Source.ALERTMANAGER: Form("Alertmanager's webhook", alertmanager.looks_like, webhook, alertmanager.alerts),
        Source.NATIVE: Form("exmedic's own form", native.looks_like, native.read),
        Source.SCOM: Form("an alert of SCOM", scom.looks_like, scom.read),
    }
