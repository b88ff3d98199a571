"""`exmedic check`: configuration, inventory and runbooks."""

from rich.markup import escape

from daemon.app.offline import beyond_budgets, check_everything, runbooks
from daemon.cli.console import DEFAULT_CONFIG, Config, out
from daemon.cli.site import mistakes_told, site
from daemon.config.guardrails import ActionClass, Safety
from daemon.domain.errors import ConfigError
from daemon.domain.inventory import Inventory
from daemon.domain.verdicts import Mode
from daemon.operators.authorisation import doubts
from daemon.remediation.guardrails.modes import modes_of


def check(config: Config = DEFAULT_CONFIG) -> None:
    """Check configuration, inventory and runbooks, and say what would be allowed where. Nothing is contacted.

    All mistakes are reported at once, each with its file and line. Exit code 2 if there are any.
    """
    mistakes, names = check_everything(config)
    with mistakes_told():
        if mistakes:
            raise ConfigError(mistakes)
    settings, inventory = site(config)
    out.print(f"[green]good[/] {config}: {len(inventory.servers)} servers, {len(names)} runbooks ({', '.join(names)})")
    if settings.notify.urls is None:
        out.print("[yellow]no notification channel is configured[/]: escalations reach only the bus and the journal")
    for doubt in doubts(settings.roles):
        out.print(f"[yellow]roles[/]: {escape(doubt)}", soft_wrap=True)
    for what in beyond_budgets(runbooks(settings), settings.budgets):
        out.print(f"[yellow]budgets[/]: {escape(what)}", soft_wrap=True)
    _print_modes(inventory, settings.safety)


def _print_modes(inventory: Inventory, safety: Safety) -> None:
    """Who may be acted on, without asking and after asking, and for which actions where not for all."""
    found = {mode: _named(mode, inventory, safety) for mode in (Mode.AUTO, Mode.APPROVE)}
    if not any(found.values()):
        out.print("mode auto: no server; everything is only observed")
    for mode, named in found.items():
        if named:
            out.print(f"mode {mode.value}: {', '.join(named)}")
    for server in inventory:
        modes = modes_of(server, safety)
        if modes[ActionClass.MOVE] is not Mode.OBSERVE and modes[ActionClass.REBOOT] is Mode.OBSERVE:
            out.print(
                f"[yellow]{server.name} may be moved away from, and is never rebooted[/]: its databases would stay "
                "away until somebody reboots it, or a day has passed"
            )


def _named(mode: Mode, inventory: Inventory, safety: Safety) -> list[str]:
    named = []
    for server in inventory:
        actions = [action.value for action, its in modes_of(server, safety).items() if its is mode]
        if actions:
            named.append(server.name if len(actions) == len(ActionClass) else f"{server.name} ({' '.join(actions)})")
    return named
