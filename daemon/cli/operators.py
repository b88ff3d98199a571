"""Commands that change something: they go to the running daemon over its socket, in the name of who gives them."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from daemon.app.offline import DATABASE, may_run, reading
from daemon.app.pausing import pause_on_disk, resume_on_disk
from daemon.cli.console import DEFAULT_CONFIG, Config, errors, out, site
from daemon.cli.status import paused_in_words, print_ledger, print_status
from daemon.config.settings import Settings, whereabouts
from daemon.domain.errors import ConfigError, OperatorError
from daemon.operators.socket import ANSWER_WITHIN, ask, user_name

CONFIRMED_WITHIN = 5.0  #: seconds that a daemon has to confirm a pause which is on the disk already
UNCONFIRMED = 4  #: exit code
_UNCONFIRMED = (
    "[bold red]exmedic:[/] paused on disk: wrote {file}; the daemon has not confirmed: a step past its last look may "
    "still start. Pause once more to have it confirmed, or kill the daemon: it starts paused. ({why})"
)

Reason = Annotated[str, typer.Option(help="Why; it goes on record.")]
Server = Annotated[str, typer.Option("--server", help="Only this server of the inventory.")]
Dag = Annotated[str, typer.Option("--dag", help="Only this DAG of the inventory.")]
State = Annotated[str, typer.Option(help="The state that you mean, from the page; left out: what it asks now.")]


def pause(config: Config = DEFAULT_CONFIG, reason: Reason = "", server: Server = "", dag: Dag = "") -> None:
    """Pause everything, a server or a DAG: once this returns 0, no effect starts there, undo included.

    Reads and deadlines go on. The pause file is written first, whether a daemon runs, hangs or is away; a running one
    is asked to confirm. Exit code 4: it is on the disk, and not confirmed within 5 seconds. A step past its last look
    may still start then; none after it, and none after the next start of the daemon.
    """
    where, obstacle, file = whereabouts(config), "", None
    try:
        file = pause_on_disk(config, f"by {user_name(os.getuid())}: {reason or 'no reason given'}", server, dag)
    except (ConfigError, OperatorError) as error:
        obstacle = str(error)
    request = {"command": "pause", "reason": reason, "server": server, "dag": dag}
    try:
        answer = _asked(where.socket, request, CONFIRMED_WITHIN)
    except OperatorError as error:
        if file is None:
            raise OperatorError(f"{error}. It is not on the disk either: {obstacle}") from error
        if isinstance(error, _NotRunningError) and not may_run(where.data):
            # The file is what the next one looks for.
            out.print(f"[yellow]paused[/]: the daemon does not run; wrote {escape(str(file))}", soft_wrap=True)
            return
        errors.print(
            _UNCONFIRMED.format(file=escape(str(file)), why=escape(str(error))), highlight=False, soft_wrap=True
        )
        raise typer.Exit(UNCONFIRMED) from error
    what = f"{answer['scope']} " if answer.get("scope") else ""
    out.print(f"[yellow]paused[/] {escape(what + str(answer['paused']))}")


def resume(config: Config = DEFAULT_CONFIG, server: Server = "", dag: Dag = "") -> None:
    """Resume everything, or the server or DAG that was paused by itself: effects may start again.

    A server or DAG that was paused by itself stays so when everything is resumed.
    """
    settings, _ = site(config)
    part = {"command": "resume_scope", "server": server, "dag": dag}
    try:
        answer = steer(settings, part if server or dag else {"command": "resume"})
    except _NotRunningError:
        switch = resume_on_disk(config, server, dag)
        answer = {"paused": switch.reason(), "paused_scopes": switch.standing()}
    out.print("[green]resumed[/]")
    if answer.get("paused") or answer.get("paused_scopes"):
        out.print(f"still paused: {escape(paused_in_words(answer))}", soft_wrap=True)


def release(
    server: Annotated[str, typer.Argument(help="The server's name, or the id of a shared cause (c-...).")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Release a server from quarantine, or the incidents of a shared cause, after you have looked at it.

    A server is quarantined when the answer to a restart, move or reboot was lost and no evidence shows what became
    of it. Until it is released, nothing more is done to it.

    A shared cause holds all its incidents. Once it is released, those go on with their next look, each by itself;
    incidents that are opened later are held anew if they are many.
    """
    settings, _ = site(config)
    answer = steer(settings, {"command": "release", "server": server})
    out.print(f"[green]released[/] {answer['released']}")


def close(
    incident: Annotated[str, typer.Argument(help="The incident's id, from `exmedic incidents`.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Close an incident in your name: an open one puts back what it changed first; an escalated one lets go of its key,
    so that the next alert opens a new incident."""  # noqa: D205, D209 - typer shows the first paragraph in the list
    settings, _ = site(config)
    answer = steer(settings, {"command": "close", "incident": incident})
    out.print(", ".join(f"{name} {value}" for name, value in answer.items()))


def undo(
    incident: Annotated[str, typer.Argument(help="The incident's id, from `exmedic incidents`.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Put back what an incident left changed, in your name.

    An escalation says what it left, and why. Do this once you know that it is safe: the server is looked at, or
    healthy again. A setting that somebody has changed since is left alone.
    """
    settings, _ = site(config)
    answer = steer(settings, {"command": "undo", "incident": incident})
    out.print(f"undoing {answer['undoing']}; {answer['note']}")


def approve(
    incident: Annotated[str, typer.Argument(help="The incident's id, from the page or `exmedic incidents`.")],
    state: State = "",
    reason: Reason = "",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Approve what an incident asks for, once and in your name.

    It verifies afresh, asks all gates again, and acts only if it is still needed and allowed. The approval is for that
    one state, and expires. The next rung asks again.
    """
    settings, _ = site(config)
    answer = steer(settings, {"command": "approve", "incident": incident, "state": state, "reason": reason})
    out.print(f"[green]approved[/] {escape(str(answer['what']))} (incident {answer['incident']}, {answer['state']})")


def decline(
    incident: Annotated[str, typer.Argument(help="The incident's id, from the page or `exmedic incidents`.")],
    state: State = "",
    reason: Reason = "",
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Decline what an incident asks for: nothing is done, and it escalates once it has verified that it is not over."""
    settings, _ = site(config)
    answer = steer(settings, {"command": "decline", "incident": incident, "state": state, "reason": reason})
    out.print(f"[yellow]declined[/] {escape(str(answer['what']))} (incident {answer['incident']}, {answer['state']})")


def status(config: Config = DEFAULT_CONFIG) -> None:
    """Show how the running daemon stands: bus, pause, quarantine, what waits to be sent, and the ledger.

    The ledger is the count of all alerts and incidents: each line must add up. Where no daemon runs, it is read from
    the store. Exit code 1 if no daemon runs or something does not add up, 3 if it runs and is not well: the bus is not
    connected, or the latest alerts were all rejected, so nobody is guarded by them.
    """
    settings, _ = site(config)
    try:
        answer = steer(settings, {"command": "status"})
    except _NotRunningError:
        if (settings.data / DATABASE).exists():
            print_ledger(asyncio.run(_stored_ledger(settings)))
        raise
    if standing := print_status(answer):
        raise typer.Exit(standing)


async def _stored_ledger(settings: Settings) -> dict[str, Any]:
    async with reading(settings) as store:
        return (await store.ledger(thorough=True)).as_json()


class _NotRunningError(OperatorError):
    """No daemon answers."""


def steer(settings: Settings, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the running daemon a command.

    Raises:
        OperatorError: none runs, or it said no.
    """
    return _asked(settings.socket, request)


def _asked(path: Path, request: Mapping[str, Any], within: float = ANSWER_WITHIN) -> dict[str, Any]:
    try:
        return ask(path, request, within)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _NotRunningError(f"no daemon listens at {path}; is it running?") from error
    except PermissionError as error:
        raise OperatorError(f"you may not use {path}: join the daemon's group, or use sudo") from error


COMMANDS = (pause, resume, release, approve, decline, close, undo, status)
