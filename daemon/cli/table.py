"""The commands, each with the module that holds it: imported when it is called, and not to be listed."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Listed(NamedTuple):
    """A command as the list of all commands has it."""

    module: str  #: in `daemon.cli`
    told: str  #: the first paragraph of its own help
    function: str = ""  #: there; left out: it has the command's name. Where the module has an `app`, it is that


TABLE: Mapping[str, Listed] = MappingProxyType(
    {
        "run": Listed(
            "run",
            "Run the daemon until SIGTERM, which stops it in stages: no new work, running actions end, all is flushed.",
        ),
        "check": Listed(
            "check",
            "Check configuration, inventory and runbooks, and say what would be allowed where. Nothing is contacted.",
        ),
        "doctor": Listed(
            "doctor",
            "Find out whether exmedic can work with a live server, and what is missing. It only reads.",
        ),
        "incidents": Listed("set_aside", "List incidents, newest first: where each stands and what it waits for."),
        "show": Listed(
            "incidents",
            "Show one incident's timeline from the audit trail: alerts, decisions, intents, outcomes, transitions.",
        ),
        "todo": Listed(
            "todo",
            "Show what waits for you: questions, quarantines, what is left changed, escalations, pauses, "
            "rejected alerts.",
        ),
        "actions": Listed(
            "todo",
            "List what was done to servers, a line each: when, where, what, with which outcome, who asked, "
            "which incident.",
        ),
        "explain": Listed(
            "todo", "Explain an incident in three sentences: what it was about, what was done, and how it stands."
        ),
        "autonomy": Listed(
            "autonomy",
            "Report what modes observe and approve kept from being done, and how it turned out, by runbook and rung.",
        ),
        "pause": Listed(
            "pause",
            "Pause everything, a server or a DAG: once this returns 0, no effect starts there, undo included.",
        ),
        "resume": Listed(
            "operators",
            "Resume everything, or the server or DAG that was paused by itself: effects may start again.",
        ),
        "release": Listed(
            "operators",
            "Release a server from quarantine, or the incidents of a shared cause, after you have looked at it.",
        ),
        "approve": Listed("operators", "Approve what an incident asks for, once and in your name."),
        "decline": Listed(
            "operators",
            "Decline what an incident asks for: nothing is done, and it escalates once it has verified that it "
            "is not over.",
        ),
        "close": Listed(
            "operators",
            "Close an incident in your name: an open one puts back what it changed first; an escalated one lets"
            " go of its key, so that the next alert opens a new incident.",
        ),
        "undo": Listed("operators", "Put back what an incident left changed, in your name."),
        "status": Listed(
            "status",
            "Show how the running daemon stands: bus, pause, quarantine, what waits to be sent, and the ledger.",
        ),
        "backup": Listed("backup", "Copy the store to FILE, whether the daemon runs or not, and verify the copy."),
        "demo": Listed("demo", "Break three servers of the lab in different ways, and watch exmedic deal with them."),
        "simulate": Listed(
            "simulate",
            "Prove the daemon on simulated nights: lost answers, crashes, outages, wrong clocks, operators.",
        ),
        "replay": Listed(
            "replay",
            "Run recorded incidents through a changed runbook, each up to where it would act differently.",
            "replay_command",
        ),
        "alert": Listed(
            "alert",
            "What came in and what became of it; try a payload without sending it; publish a test alert.",
        ),
        "audit": Listed("audit", "The audit trail."),
        "inventory": Listed("inventory", "The servers that may be contacted, and no others."),
        "lab": Listed("lab", "A simulated Exchange organisation behind real WinRM endpoints, and an embedded broker."),
        "window": Listed("windows", "Maintenance, freezes and business hours: when less may be done."),
        "runbooks": Listed("runbooks", "Runbooks: the ladders as data."),
        "scripts": Listed("scripts", "The PowerShell that is sent to servers: fixed files, and no others."),
    }
)


class Commands(TyperGroup):
    """All commands. What is listed is only their names; the one that is called is imported."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - what typer gives a group
        super().__init__(**settings)
        for name, listed in TABLE.items():
            self.add_command(TyperCommand(name, help=listed.told))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer's own click has no public types
        """See click: the command that is called, and its arguments."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and loaded(listed.name or ""), rest


def every() -> dict[str, Any]:
    """All commands themselves, imported, by name."""
    return {name: loaded(name) for name in TABLE}


def loaded(name: str) -> Any:  # noqa: ANN401 - the same
    """The command of a name itself."""
    module = import_module(f"daemon.cli.{TABLE[name].module}")
    holder = typer.Typer(add_completion=False, rich_markup_mode="markdown", callback=lambda: None)
    if hasattr(module, "app"):
        holder.add_typer(module.app, name=name)
    else:
        holder.command(name)(getattr(module, TABLE[name].function or name))
    return typer.main.get_group(holder).commands[name]
