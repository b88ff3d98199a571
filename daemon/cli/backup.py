"""`exmedic backup`: a copy of the store, beside the running daemon."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from daemon.app.offline import back_up
from daemon.cli.console import DEFAULT_CONFIG, Config, out
from daemon.cli.site import site
from daemon.config.whereabouts import DATABASE


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write the copy.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Copy the store to FILE, whether the daemon runs or not, and verify the copy.

    FILE is complete or not there at all. A backup that is restored does not know what was done to servers after it was
    made: the daemon notices that by the journal, and pauses itself.
    """
    settings, _ = site(config)
    made = back_up(settings, file, force=force)
    out.print(f"[green]backed up[/] to {escape(str(file))}: {made.text}", soft_wrap=True)
    store = settings.data / DATABASE
    out.print(
        f"To restore: stop exmedic, move {escape(str(store))}* away (all of them), copy this file to "
        f"{escape(str(store))} for exmedic's user, pause, start. See docs/how-to/back-up-and-upgrade.md.",
        soft_wrap=True,
    )
