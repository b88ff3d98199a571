"""`exmedic inventory`: what may be contacted, and the same as Exchange has it."""

import asyncio
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app import servers
from daemon.cli.console import DEFAULT_CONFIG, Config, errors, out
from daemon.cli.site import mistakes_told, print_mistakes, settings_of, site
from daemon.config.guardrails import Safety
from daemon.config.inventory import load_inventory
from daemon.config.inventory_edit import NotEditable, Value, edited, table
from daemon.config.settings import Settings
from daemon.config.toml import read_toml
from daemon.doctor.organisation import Difference, Found, compared, entry, understood
from daemon.domain.errors import ConfigError, OperatorError
from daemon.domain.inventory import Inventory, Server
from daemon.remediation.guardrails.modes import modes_of

app = typer.Typer(no_args_is_help=True, help="The servers that may be contacted, and no others.")


@app.command()
def show(config: Config = DEFAULT_CONFIG) -> None:
    """List the servers of the inventory, and what may be done to each. Nothing is contacted."""
    settings, inventory = site(config)
    rows = Table(box=None)
    for title in ("Server", "Roles", "DAG", "Site", "Mode", "Tags", "Credential"):
        rows.add_column(title, overflow="fold")
    for server in inventory:
        mode, tags = _modes(server, settings.safety), " ".join(sorted(server.tags))
        cells = (server.name, " ".join(sorted(server.roles)), server.dag or "", server.site, mode, tags)
        rows.add_row(*(escape(cell) for cell in (*cells, server.credential)))
    out.print(rows)


def _modes(server: Server, safety: Safety) -> str:
    """The mode of a server; where it depends on the action, each with its actions."""
    by_action = modes_of(server, safety)
    if len(set(by_action.values())) == 1:
        return next(iter(by_action.values())).value
    return "\n".join(
        f"{mode.value}: {' '.join(action.value for action, its in by_action.items() if its is mode)}"
        for mode in dict.fromkeys(by_action.values())
    )


@app.command("import")
def import_command(  # noqa: PLR0917 - typer calls it by keyword
    through: Annotated[str, typer.Option(help="The server that is asked.")],
    write: Annotated[bool, typer.Option("--write", help="Write the inventory; without it nothing is changed.")] = False,
    remove: Annotated[
        list[str] | None, typer.Option(help="Take out a server that Exchange does not list; may be repeated.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="For the first import: http(s)://HOST:PORT/wsman of --through.")
    ] = None,
    credential: Annotated[
        str | None, typer.Option(help="For the first import: NAME of a [credentials.NAME] for --through.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Read servers, roles, DAGs and sites from Exchange, and show how the inventory differs. --write makes it agree.

    Comments, endpoints, credentials and tags stay as they are. A new server is reached the way --through is, and has no
    tags, so it is only observed. A server is taken out only if --remove names it. What Exchange does not tell clearly
    is not written, and an answer that is not whole changes nothing: exit code 1.
    """
    settings = settings_of(config)
    before, present = _present(settings)
    asked = _asked(settings, present, through, endpoint, credential)
    answer = asyncio.run(servers.read_organisation(settings, Inventory((asked,)), asked.name))
    topology = understood(answer, asked.name)
    difference = compared(topology, present)
    print_difference(difference, present)
    if topology.doubts:
        for doubt in topology.doubts:
            errors.print(f"[bold red]not whole[/] {escape(doubt)}", highlight=False, soft_wrap=True)
        raise OperatorError(f"the answer of {asked.name} is not whole, so it is no reason to change anything")
    removed = _removed(remove or (), difference)
    if not (difference.added or difference.changed or removed):
        out.print(f"{escape(str(settings.inventory))} agrees with Exchange; nothing to write")
        return
    after = _after(settings, before, difference, removed, asked)
    if not write:
        out.print("Nothing was written. Add --write to make the inventory agree.")
        return
    try:
        servers.replace_inventory(settings, before, after)
    except ConfigError as error:
        errors.print("The inventory would have mistakes, so it was left as it is:")
        print_mistakes(error)
        raise typer.Exit(1) from error
    out.print(f"[green]written[/] {escape(str(settings.inventory))}; a running daemon reads it when it is restarted")


def print_difference(difference: Difference, present: Sequence[Server]) -> None:
    """One line for each server or field: + new, ~ changed, - not in Exchange any more, ! not written."""
    for found in difference.added:
        out.print(f"[green]+[/] {escape(found.name)}  {escape(_told(found))}", soft_wrap=True)
    for change in difference.changed:
        text = f"{change.name}  {change.field}: {_spell(change.before)} -> {_spell(change.after)}"
        out.print(f"[yellow]~[/] {escape(text)}", soft_wrap=True)
    for name in difference.gone:
        text = f"{name}  Exchange does not list it; it stays unless you add --remove {name}"
        out.print(f"[red]-[/] {escape(text)}", soft_wrap=True)
    names = {server.name for server in present}
    for unfit in difference.unfit:
        verdict = "left as it is" if unfit.name in names else "not written"
        out.print(f"[magenta]![/] {escape(f'{unfit.name}  {verdict}: {unfit.reason}')}", soft_wrap=True)


def _told(found: Found) -> str:
    return f"{' '.join(sorted(found.roles))}, {found.dag or 'no DAG'}, site {found.site}, {found.version}"


def _spell(value: Value | None) -> str:
    return "none" if value is None else value if isinstance(value, str) else " ".join(value)


def _present(settings: Settings) -> tuple[bytes | None, tuple[Server, ...]]:
    """The file and its servers; none of both where there is none yet. Mistakes in it are for the administrator."""
    path = settings.inventory
    try:
        before = path.read_bytes()
    except FileNotFoundError:
        return None, ()
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}") from error
    source = read_toml(path)
    if not source.mistakes and not source.values.get("servers"):
        return before, ()
    with mistakes_told():
        return before, load_inventory(path, settings).servers


def _asked(
    settings: Settings, present: tuple[Server, ...], through: str, endpoint: str | None, credential: str | None
) -> Server:
    """The server that is asked: of the inventory, or as the administrator describes it here, under the same rules."""
    known = Inventory(present).find(through)
    if known is not None:
        if endpoint or credential:
            raise typer.BadParameter(f"{known.name} is in the inventory: leave out --endpoint and --credential")
        return known
    if endpoint is None or credential is None:
        raise OperatorError(
            f"{through} is not in {settings.inventory}, so not contacted; for a server that is not there yet give "
            "--endpoint and --credential as well"
        )
    described: dict[str, Value] = {
        "roles": ["client_access"],
        "site": "not told yet",
        "endpoint": endpoint,
        "credential": credential,
    }
    with tempfile.TemporaryDirectory(prefix="exmedic-") as directory:
        file = Path(directory) / "through.toml"
        file.write_text(table(through, described), "utf-8")
        # Of what rules and windows name nothing is known yet.
        alone = settings.model_copy(update={"safety": Safety(), "windows": ()})
        try:
            return load_inventory(file, alone).servers[0]
        except ConfigError as error:
            told = "; ".join(mistake.message for mistake in error.mistakes)
            raise OperatorError(f"{through} as described is not contacted: {told}") from error


def _removed(wanted: Sequence[str], difference: Difference) -> frozenset[str]:
    removed = frozenset(name.lower() for name in wanted)
    if strangers := removed.difference(difference.gone):
        raise OperatorError(
            f"not taken out: {', '.join(sorted(strangers))}; --remove takes full names of the inventory that Exchange "
            "does not list"
        )
    return removed


def _after(
    settings: Settings, before: bytes | None, difference: Difference, removed: frozenset[str], through: Server
) -> bytes:
    """The new content of the file, names spelt as in the old one."""
    text = (before or b"").decode("utf-8")
    mark, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    spelt = {name.lower(): name for name in tomllib.loads(text).get("servers", {})}
    try:
        result = edited(
            text,
            added={found.name: entry(found, through) for found in difference.added},
            changed={spelt[name]: fields for name, fields in difference.fields.items()},
            removed=frozenset(spelt[name] for name in removed),
        )
    except NotEditable as error:
        raise OperatorError(f"{settings.inventory} was not changed: {error}") from error
    return (mark + result).encode()
