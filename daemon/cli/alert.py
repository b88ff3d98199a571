"""`exmedic alert`: publish a test alert, print the schema of the native form."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer

from daemon.alerts.forms.native import native_schema
from daemon.alerts.publisher import script
from daemon.app.publishing import publish_alert
from daemon.cli.console import DEFAULT_CONFIG, Config, out, site

app = typer.Typer(no_args_is_help=True, help="Publish a test alert; print the schema of alerts.")


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


@app.command()
def schema() -> None:
    """Print the JSON Schema of the native form."""
    out.print_json(json.dumps(native_schema()))


@app.command()
def publisher() -> None:
    """Print the PowerShell script that publishes SCOM's alerts, to be saved on a management server."""
    typer.get_binary_stream("stdout").write(script())
