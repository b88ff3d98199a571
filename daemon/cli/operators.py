"""Commands that change something: they go to the running daemon over its socket, in the name of who gives them."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from daemon.app.pausing import resume_on_disk
from daemon.cli.asking import NotRunningError, asked
from daemon.cli.console import DEFAULT_CONFIG, Config, Dag, Reason, ServerPart, out
from daemon.cli.site import site
from daemon.cli.status import paused_in_words
from daemon.config.settings import Settings

State = Annotated[str, typer.Option(help="The state that you mean, from the page; left out: what it asks now.")]


def steer(settings: Settings, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the running daemon a command.

    Raises:
        OperatorError: none runs, or it said no.
    """
    return asked(settings.socket, request)


def resume(config: Config = DEFAULT_CONFIG, server: ServerPart = "", dag: Dag = "") -> None:
    """Resume everything, or the server or DAG that was paused by itself: effects may start again.

    A server or DAG that was paused by itself stays so when everything is resumed.
    """
    settings, _ = site(config)
    part = {"command": "resume_scope", "server": server, "dag": dag}
    try:
        answer = steer(settings, part if server or dag else {"command": "resume"})
    except NotRunningError:
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
