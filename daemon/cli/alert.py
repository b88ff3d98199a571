"""`exmedic alert`: publish a test alert, say what would become of a payload, print the schema of the native form."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.alerts.forms.known import Names
from daemon.alerts.forms.native import native_schema
from daemon.alerts.payloads import Payloads
from daemon.alerts.publisher import script
from daemon.alerts.trial import REJECTED, Tried, tried
from daemon.app.offline import runbooks
from daemon.app.publishing import publish_alert
from daemon.cli import alert_records
from daemon.cli.console import DEFAULT_CONFIG, Config, clock_time, out
from daemon.cli.site import mistakes_told, site

app = typer.Typer(
    no_args_is_help=True,
    help="What came in and what became of it; try a payload without sending it; publish a test alert.",
)
app.command("list")(alert_records.list_)
app.command()(alert_records.show)
app.command()(alert_records.rejected)
app.command()(alert_records.replay)


@app.command()
def send(
    server: Annotated[str, typer.Argument(help="The server's name, as an alert would spell it.")],
    monitor: Annotated[str, typer.Option(help="The monitor that is unhealthy.")] = "PopDeepTestMonitor",
    health_set: Annotated[str, typer.Option(help="Its health set.")] = "POP.Protocol",
    closed: Annotated[bool, typer.Option("--closed", help="Say that the problem is over.")] = False,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Publish a test alert in the native form, as any source could."""
    settings, _ = site(config)
    alert = {
        "id": f"test-{uuid.uuid4()}",
        "server": server,
        "health_set": health_set,
        "monitor": monitor,
        "raised_at": datetime.now(UTC).isoformat(),
        "closed": closed,
        "summary": "test alert by `exmedic alert send`",
    }
    topic = asyncio.run(publish_alert(settings, alert))
    out.print(f"published {alert['id']} on {topic}")


@app.command("try")
def try_(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="The payload as it would be published; - for stdin.")],
    topic: Annotated[str, typer.Option(help="The topic that it came by. Default: one of SCOM's form.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON an alert.")] = False,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Say what would become of a payload, as if nothing were open. Nothing is sent, and no daemon is asked.

    Exits with 1 if any of its alerts would be rejected.
    """
    settings, inventory = site(config)
    with mistakes_told():
        definitions = runbooks(settings)
    topic = topic or settings.bus.scom.replace("#", "try").replace("+", "try")
    parts = Payloads(settings.bus, settings.alerts, Names(definitions)).parts(topic, file.read())
    found = tried(parts, inventory, definitions, settings.alerts)
    for number, each in enumerate(found, start=1):
        if as_json:
            typer.echo(json.dumps(each.as_json(), ensure_ascii=False))
        else:
            out.print(_field_by_field(each, f"alert {number} of {len(found)} on {topic}"))
    if any(each.outcome == REJECTED for each in found):
        raise typer.Exit(1)


def _field_by_field(each: Tried, title: str) -> Table:
    rows = Table(title=escape(title), title_justify="left", box=None, show_header=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    alert, told = each.alert, each.as_json()
    if alert is not None and alert.server:
        named = ", ".join(alert.names or (alert.server,))
        rows.add_row("server", escape(f"{told['server']} (it names {named})"))
        rows.add_row("health set", escape(alert.health_set or "none that is known"))
        rows.add_row("monitor", escape(alert.monitor or "none that is known: the health set is verified whole"))
        rows.add_row("runbook", escape(each.runbook or "none"))
        rows.add_row("state", escape(f"{alert.state or 'not told'}{', which means that it is over' * alert.closed}"))
        rows.add_row("owner", escape(alert.owner or "nobody"))
        rows.add_row("maintenance", "yes, at its source" if alert.in_maintenance else "no")
        rows.add_row("raised at", clock_time(alert.raised_at) or "not told, or not readable")
        rows.add_row("summary", escape(alert.summary))
        rows.add_row("key", escape(told["key"] or "none"))
    rows.add_row("outcome", f"{each.outcome}: {_MEANS[each.outcome]}")
    if each.reason:
        rows.add_row("reason", escape(each.reason))
    return rows


_MEANS = {
    "open": "opens an incident",
    "join": "joins the incident that an earlier one opens",
    "look": "opens an incident that only looks",
    "suppressed": "nothing is done",
    "human": "no incident is opened, and somebody is told",
    "rejected": "it is not understood, and somebody is told",
}


@app.command()
def schema() -> None:
    """Print the JSON Schema of the native form."""
    out.print_json(json.dumps(native_schema()))


@app.command()
def publisher() -> None:
    """Print the PowerShell script that publishes SCOM's alerts, to be saved on a management server."""
    typer.get_binary_stream("stdout").write(script())
