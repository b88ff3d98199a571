"""`exmedic check`: configuration, inventory and runbooks."""

import typer

from daemon.app import check_everything
from daemon.cli.console import DEFAULT_CONFIG, Config, out, print_mistakes, site
from daemon.domain import Mode
from daemon.errors import ConfigError
from daemon.inventory import mode_of


def check(config: Config = DEFAULT_CONFIG) -> None:
    """Check configuration, inventory and runbooks, and say what would be allowed where. Nothing is contacted.

    All mistakes are reported at once, each with its file and line. Exit code 2 if there are any.
    """
    mistakes, runbooks = check_everything(config)
    if mistakes:
        print_mistakes(ConfigError(mistakes))
        raise typer.Exit(2)
    settings, inventory = site(config)
    auto = [server.name for server in inventory if mode_of(server, settings.safety) is Mode.AUTO]
    out.print(
        f"[green]good[/] {config}: {len(inventory.servers)} servers, {len(runbooks)} runbooks ({', '.join(runbooks)})"
    )
    if settings.notify.urls is None:
        out.print("[yellow]no notification channel is configured[/]: escalations reach only the bus and the journal")
    out.print(f"mode auto: {', '.join(auto) if auto else 'no server; everything is only observed'}")


COMMANDS = (check,)
