"""`exmedic incidents`: the list, and below it what is done about monitors that wait to become one."""

from typing import Annotated

import typer

from daemon.cli.console import DEFAULT_CONFIG, Config, Reason, out
from daemon.cli.incidents import incidents
from daemon.cli.operators import steer
from daemon.cli.site import site
from daemon.domain.errors import OperatorError

app = typer.Typer()
app.callback(invoke_without_command=True)(incidents)


@app.command()
def drop(
    deferred: Annotated[bool, typer.Option("--deferred", help="What waits for room in a storm of alerts.")] = False,
    reason: Reason = "",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Drop monitors that wait for room, in your name and with a reason: they are not verified any more.

    What waits for a maintenance to end stays. Another alert of the same monitor is taken up like any other.
    """
    if not deferred:
        raise OperatorError("say what to drop: --deferred; an incident is ended by `exmedic close`")
    settings, _ = site(config)
    answer = steer(settings, {"command": "drop_deferred", "reason": reason})
    left = f"; {answer['left']} wait for their time" if answer["left"] else ""
    out.print(f"[yellow]dropped[/] {answer['dropped']} monitors that waited for room{left}")
