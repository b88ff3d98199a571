"""`exmedic lab`: a simulated Exchange organisation to try exmedic on, and the faults to break it with."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.cli.console import name_and_value, out
from daemon.lab.broker import EmbeddedBroker
from daemon.lab.clock import LabClock
from daemon.lab.faults import FAULTS
from daemon.lab.lab import Lab
from daemon.lab.pwsh.finding import ready_shell
from daemon.lab.socket import lab_command

Directory = Annotated[
    Path, typer.Option("--directory", "-d", envvar="EXMEDIC_LAB", help="Where the lab keeps its files and its socket.")
]
DEFAULT_DIRECTORY = Path("exmedic-lab")
Server = Annotated[str, typer.Argument(help="A server of the lab; `exmedic lab servers` lists them.")]

app = typer.Typer(help="A simulated Exchange organisation behind real WinRM endpoints, and an embedded broker.")


@app.callback(invoke_without_command=True)
def lab(
    context: typer.Context,
    directory: Directory = DEFAULT_DIRECTORY,
    speed: Annotated[float, typer.Option(min=1, max=1000, help="How many times faster its clock runs.")] = 1.0,
    pwsh: Annotated[
        bool, typer.Option("--pwsh", help="Run the shipped scripts by a real PowerShell 7, over a played Windows.")
    ] = False,
) -> None:
    """Run the lab until Ctrl-C: servers, a broker, and an exmedic.toml for a daemon that heals them.

    Then, elsewhere: `exmedic run -c exmedic-lab/exmedic.toml`, `exmedic lab break mbx1 restart_cures`,
    `exmedic alert send mbx1 -c exmedic-lab/exmedic.toml`.

    With --pwsh nothing of the scripts is imitated: EXMEDIC_PWSH names a PowerShell 7, or it is pwsh on PATH. A call
    takes one to three seconds then, and the clock is this machine's.
    """
    if context.invoked_subcommand is not None:  # `lab -d DIRECTORY break ...` means that directory too
        context.default_map = {context.invoked_subcommand: {"directory": str(directory)}}
        return
    stop = threading.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: stop.set())
    clock = LabClock.starting_now(speed)
    shell = ready_shell(directory, clock) if pwsh else None
    with EmbeddedBroker() as broker, Lab(directory, clock, shell=shell) as running:
        config = running.write_site(directory, broker.port)
        out.print(f"lab with {len(running.endpoints)} servers, {speed:g} times as fast; broker on port {broker.port}")
        out.print(f"configuration for a daemon: {config}")
        while not stop.wait(0.2) and not running.stopped.is_set():
            pass


@app.command("break")
def break_(
    server: Server,
    fault: Annotated[str, typer.Argument(help="A fault; `exmedic lab faults` lists them.")],
    options: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the fault; repeatable."),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Break a server."""
    command = {"command": "break", "server": server, "fault": fault, "options": dict(map(_option, options or []))}
    lab_command(directory, command)
    out.print(f"broken: {server} ({fault})")


def _option(text: str) -> tuple[str, object]:
    option = name_and_value(text)
    if option is None:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--option")
    return option


@app.command()
def cure(server: Server, directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Take all faults of a server away."""
    lab_command(directory, {"command": "cure", "server": server})
    out.print(f"cured: {server}")


@app.command()
def faults() -> None:
    """List the faults."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for fault, kind in FAULTS.items():
        options = f" [dim](options: {', '.join(kind.options)})[/]" if kind.options else ""
        table.add_row(f"[bold]{fault.value}[/]", escape(kind.description) + options)
    out.print(table)


@app.command()
def servers(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """List the servers and how each stands."""
    answer = lab_command(directory, {"command": "servers"})
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("server", "power", "active databases", "faults", "unhealthy"):
        table.add_column(column)
    standing = answer["servers"]
    for name, server in standing.items() if isinstance(standing, dict) else ():
        lists = (server["active_databases"], server["faults"], server["unhealthy"])
        table.add_row(name, server["power"], *(", ".join(names) for names in lists))
    out.print(table)


@app.command()
def effects(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """List the lab's own record of what was done to its servers."""
    answer = lab_command(directory, {"command": "effects"})
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("at", "server", "effect", "executor", "step", "detail"):
        table.add_column(column)
    record = answer["effects"]
    for effect in record if isinstance(record, list) else ():
        table.add_row(*(str(effect[name]) for name in ("at", "server", "effect", "executor", "step", "detail")))
    out.print(table)
