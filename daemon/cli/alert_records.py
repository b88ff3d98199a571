"""`exmedic alert list`, `show`, `rejected` and `replay`: what came in, by the store, with or without a daemon."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.alerts.forms.known import Names
from daemon.alerts.payloads import Payloads
from daemon.alerts.telling import told_payload
from daemon.app.offline import reading, runbooks
from daemon.app.publishing import publish_raw
from daemon.cli.console import DEFAULT_CONFIG, Config, clock_time, out
from daemon.cli.site import mistakes_told, site
from daemon.config.settings import Settings
from daemon.domain.alerts import AlertStatus, Payload, StoredAlert
from daemon.domain.errors import OperatorError

SAMPLE = 200  #: characters of a payload in a list
SHOWN = 64 * 1024  #: and of one that is shown

Limit = Annotated[int, typer.Option(min=1, help="How many, newest first.")]
Found = tuple[StoredAlert, Payload | None]


def list_(
    config: Config = DEFAULT_CONFIG,
    status: Annotated[AlertStatus | None, typer.Option(help="Only alerts of this status.")] = None,
    limit: Limit = 50,
) -> None:
    """List alerts, newest first: what each says, and what became of it."""
    settings, _ = site(config)
    for alert, _payload in asyncio.run(_newest(settings, status, limit)) or _none("no alerts"):
        _print_head(alert)


def rejected(config: Config = DEFAULT_CONFIG, limit: Limit = 50) -> None:
    """List the alerts that could not be understood, newest first: why not, and how each begins."""
    settings, _ = site(config)
    found = asyncio.run(_newest(settings, AlertStatus.REJECTED, limit))
    for alert, payload in found or _none("no alert was rejected"):
        _print_head(alert)
        if payload is not None:
            sample = told_payload(payload.kept, SAMPLE)
            out.print(f"         {payload.size} bytes: {escape(sample)}", style="dim", soft_wrap=True)


def show(
    number: Annotated[int, typer.Argument(help="The alert's number, from `exmedic alert list`.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Show one alert: what was understood of it, what became of it, and its payload without its secrets."""
    settings, _ = site(config)
    alert, payload = asyncio.run(_one(settings, number))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _fields(alert):
        table.add_row(name, escape(value))
    out.print(table)
    if payload is not None:
        cut = "" if payload.whole else f", of which {len(payload.kept)} are kept"
        out.print(f"payload of {payload.size} bytes{cut}:")
        out.print(escape(told_payload(payload.kept, SHOWN)), soft_wrap=True)


def replay(
    numbers: Annotated[list[int], typer.Argument(help="Numbers of rejected alerts, from `exmedic alert rejected`.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Take rejected alerts in after all, once what was wrong is mended: each is published again on its topic.

    Nothing is published unless all of them can be understood now.
    """
    settings, _ = site(config)
    found = asyncio.run(_several(settings, numbers))
    with mistakes_told():
        reader = Payloads(settings.bus, settings.alerts, Names(runbooks(settings)))
    ready = [(alert, _understood(reader, alert, payload)) for alert, payload in found]
    for alert, payload in ready:
        asyncio.run(publish_raw(settings, alert.topic, [payload]))
        out.print(f"published {alert.id} again on {escape(alert.topic)}; see `exmedic alert list`", soft_wrap=True)


def _understood(reader: Payloads, alert: StoredAlert, payload: Payload | None) -> bytes:
    """The payload of a rejected alert that can be understood by now.

    Raises:
        OperatorError: it was not rejected, is not kept as a whole, or is still not understood.
    """
    if alert.status is not AlertStatus.REJECTED:
        raise OperatorError(f"alert {alert.id} was not rejected: it is {alert.status.value}; nothing was published")
    if payload is None or not payload.whole:
        raise OperatorError(f"of alert {alert.id} only the beginning is kept, so it cannot be taken in any more")
    wrong = next((part.rejection for part in reader.parts(alert.topic, payload.kept) if part.rejection), "")
    if wrong:
        raise OperatorError(f"alert {alert.id} would be rejected again: {wrong}; nothing was published")
    return payload.kept


async def _newest(settings: Settings, status: AlertStatus | None, limit: int) -> list[Found]:
    async with reading(settings) as store:
        found = await store.alerts(status, limit)
        wanted = status is AlertStatus.REJECTED
        return [(alert, await store.payload(alert.id) if wanted else None) for alert in found]


async def _one(settings: Settings, number: int) -> Found:
    return (await _several(settings, [number]))[0]


async def _several(settings: Settings, numbers: Sequence[int]) -> list[Found]:
    async with reading(settings) as store:
        found = []
        for number in numbers:
            alert = await store.alert(number)
            if alert is None:
                raise OperatorError(f"there is no alert {number}; `exmedic alert list` has those that are kept")
            found.append((alert, await store.payload(number)))
        return found


def _none(words: str) -> list[Found]:
    out.print(words)
    return []


def _what(stored: StoredAlert) -> str:
    alert = stored.alert
    if alert is None:
        return f"on {stored.topic}"
    return f"{alert.monitor or alert.health_set or alert.summary} on {alert.server or 'no server'}"


def _print_head(alert: StoredAlert) -> None:
    status = f"[bold red]{alert.status.value}[/]" if alert.status is AlertStatus.REJECTED else alert.status.value
    out.print(f"{alert.id} {clock_time(alert.received_at)} {status}  {escape(_what(alert))}", soft_wrap=True)
    told = f"incident {alert.incident_id}" if alert.incident_id else alert.reason
    out.print(f"         {escape(told)}", style="dim", soft_wrap=True)


def _fields(stored: StoredAlert) -> list[tuple[str, str]]:
    alert, fields = stored.alert, [("alert", str(stored.id)), ("status", stored.status.value)]
    fields += [("reason", stored.reason)] if stored.reason else []
    fields += [("incident", stored.incident_id)] if stored.incident_id else []
    fields += [("received", f"{clock_time(stored.received_at)} UTC, {stored.seen} times"), ("topic", stored.topic)]
    if alert is None:
        return fields
    return [
        *fields,
        ("source", f"{alert.source.value} {alert.source_id}"),
        ("server", ", ".join(alert.names) or alert.server),
        ("health set", alert.health_set or "none that is known"),
        ("monitor", alert.monitor or "none that is known"),
        ("state", f"{alert.state or 'not told'}{', which means that it is over' * alert.closed}"),
        ("owner", alert.owner or "nobody"),
        ("maintenance", "yes, at its source" if alert.in_maintenance else "no"),
        ("raised at", clock_time(alert.raised_at) or "not told"),
        ("summary", alert.summary),
    ]
