"""How the daemon stands, for humans: a few lines, and the ledger as sums that must add up."""

import asyncio
from collections.abc import Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Table

from daemon.cli.asking import NotRunningError, asked
from daemon.cli.console import DEFAULT_CONFIG, Config, out
from daemon.config.whereabouts import DATABASE, whereabouts
from daemon.domain.values import moment

if TYPE_CHECKING:
    from daemon.config.settings import Settings

Figures = Mapping[str, Any]


class Standing(IntEnum):
    """How the daemon stands, as the exit code of `exmedic status`."""

    WELL = 0
    MISMATCH = 1  # the ledger does not balance
    NOT_WELL = 3  # it runs, and something must be mended


def status(config: Config = DEFAULT_CONFIG) -> None:
    """Show how the running daemon stands: bus, pause, quarantine, what waits to be sent, and the ledger.

    The ledger is the count of all alerts and incidents: each line must add up. Where no daemon runs, it is read from
    the store. Exit code 1 if no daemon runs or something does not add up, 3 if it runs and is not well: the bus is not
    connected, or the latest alerts were all rejected, so nobody is guarded by them.
    """
    where = whereabouts(config)
    if not where.sure:  # a mistyped --config must not show another daemon: every mistake is told instead
        _settings(config)
    try:
        answer = asked(where.socket, {"command": "status"})
    except NotRunningError:
        _print_stored(config)
        raise
    if standing := print_status(answer):
        raise typer.Exit(standing)


def _settings(config: Path) -> "Settings":
    from daemon.cli.site import site  # noqa: PLC0415 - slow, and a daemon that answers has done it

    return site(config)[0]


def _print_stored(config: Path) -> None:
    """What can be told without a daemon."""
    from daemon.app.offline import reading  # noqa: PLC0415 - nor is the store opened where a daemon answers

    settings = _settings(config)

    async def ledger() -> dict[str, Any]:
        async with reading(settings) as store:
            return (await store.ledger(thorough=True)).as_json()

    if (settings.data / DATABASE).exists():
        print_ledger(asyncio.run(ledger()))


def print_status(answer: Figures) -> Standing:
    """Print what the daemon answered; how it stands."""
    paused, quarantined = paused_in_words(answer), answer.get("quarantined") or ()
    if answer.get("up_since"):
        since = f"{moment(str(answer['up_since'])):%Y-%m-%d %H:%M} UTC"
        out.print(f"exmedic {escape(str(answer.get('version', '')))}, up since {since}", soft_wrap=True)
    _print_bus(answer)
    out.print(f"paused: {f'[yellow]{escape(paused)}[/]' if paused else 'no'}", soft_wrap=True)
    out.print(f"quarantined: {escape(', '.join(map(str, quarantined))) or 'none'}", soft_wrap=True)
    for refusal in answer.get("resting") or ():
        out.print(f"[yellow]{escape(str(refusal))}[/]", soft_wrap=True)
    _print_causes(answer)
    _print_windows(answer)
    out.print(f"waiting to be sent: {_waiting(answer)}", soft_wrap=True)
    rejected = _print_rejected(answer)
    if "ledger" in answer and not print_ledger(answer["ledger"]):
        return Standing.MISMATCH
    return Standing.NOT_WELL if rejected or answer.get("outage") else Standing.WELL


def _print_rejected(answer: Figures) -> bool:
    """Print what is wrong with the latest alerts; whether anything is."""
    for each in answer.get("rejected") or ():
        since = f"{moment(str(each['since'])):%Y-%m-%d %H:%M} UTC"
        text = f"the latest {each['count']} of {each['form']}, since {since}, were all rejected: {each['reason']}"
        out.print(f"alerts: [bold red]NOT OK[/] {escape(text)}; see `exmedic alert rejected`", soft_wrap=True)
    if answer.get("untold"):
        out.print(f"alerts that opened nothing, to be told: {answer['untold']}", soft_wrap=True)
    return bool(answer.get("rejected"))


def paused_in_words(answer: Figures) -> str:
    """What is paused, and why; empty when nothing is."""
    parts: Mapping[str, str] = answer.get("paused_scopes") or {}
    everything = [str(answer["paused"])] if answer.get("paused") else []
    words = "; ".join([*everything, *(f"only {scope} {why}" for scope, why in parts.items() if scope)])
    times = "; ".join(_lasting(each) for each in answer.get("pauses") or () if each.get("since"))
    return f"{words} ({times})" if times else words


def _lasting(pause: Figures) -> str:
    end = f" until {moment(str(pause['until'])):%Y-%m-%d %H:%M} UTC" if pause.get("until") else ""
    return f"{pause['scope']} since {moment(str(pause['since'])):%Y-%m-%d %H:%M} UTC{end}"


def _print_bus(answer: Figures) -> None:
    outage: Mapping[str, str] | None = answer.get("outage")
    if outage is None:
        out.print(f"bus: {escape(str(answer.get('bus', 'not known')))}")
    else:
        since = f"{moment(outage['since']):%Y-%m-%d %H:%M} UTC"
        todo = outage["todo"] or "it is tried again until it answers"
        text = escape(f"since {since}: {outage['reason']}; {todo}")
        out.print(f"bus: [bold red]not connected[/] {text}", soft_wrap=True)
    if answer.get("takeovers"):
        out.print(
            f"[yellow]another client came with our client id {answer['takeovers']} times since the start[/]: two "
            "daemons throw each other out; stop one of them, or give each its own client_id",
            soft_wrap=True,
        )
    if answer.get("sessions_forgotten"):
        out.print(
            f"[yellow]the broker forgot our session {answer['sessions_forgotten']} times[/]: what came while exmedic "
            "was not connected was lost",
            soft_wrap=True,
        )


def _print_causes(answer: Figures) -> None:
    for cause in answer.get("causes") or ():
        text = f"{cause['id']}: {cause['what']} since {moment(str(cause['since'])):%Y-%m-%d %H:%M} UTC on "
        out.print(f"shared cause [yellow]{escape(text + ', '.join(cause['servers']))}[/]", soft_wrap=True)


def _print_windows(answer: Figures) -> None:
    windows, change = answer.get("windows") or (), answer.get("next_change")
    held = f"[yellow]{escape('; '.join(map(str, windows)))}[/]" if windows else "none"
    then = "" if change is None else f"; next change {moment(str(change)):%Y-%m-%d %H:%M} UTC"
    out.print(f"windows: {held}{then}", soft_wrap=True)
    if answer.get("deferred"):
        out.print(f"monitors set aside, to be verified later: {answer['deferred']}", soft_wrap=True)


def _waiting(answer: Figures) -> str:
    waiting: Mapping[str, int] = answer.get("waiting") or {}
    text = f"{waiting.get('bus', 0)} on the bus, {waiting.get('notify', 0)} notifications"
    if answer.get("notifications", True):
        return text
    return f"{text}; [yellow]no notification channel is configured: escalations reach only the bus and the journal[/]"


def print_ledger(ledger: Figures) -> bool:
    """Print each sum with its verdict, then what does not add up in words; whether all of it does."""
    wrong: Mapping[str, str] = ledger["mismatches"]
    table = Table(box=None, show_header=False, pad_edge=False)
    for title, sum_, names in _sums(ledger):
        good = not [name for name in wrong if name in names or name.partition(" ")[0] in names]
        table.add_row(title, escape(sum_), "[green]OK[/]" if good else "[bold red]MISMATCH[/]")
    out.print("ledger:")
    out.print(table)
    for text in wrong.values():
        out.print(f"[bold red]mismatch[/] {escape(text)}", soft_wrap=True)
    for name in ledger["told"]:
        if name not in wrong:
            out.print(f"[bold red]mismatch[/] {escape(name)}: see its escalation", soft_wrap=True)
    return not wrong and not ledger["told"]


def _sums(ledger: Figures) -> Iterator[tuple[str, str, set[str]]]:
    """Each line, and the mismatches that are shown in it."""
    alerts = " + ".join(f"{status} {number}" for status, number in ledger["alerts"].items())
    incidents = " + ".join(f"{status} {number}" for status, number in ledger["incidents"].items())
    yield (
        f"accepted {ledger['accepted']}",
        f"= stored {ledger['stored']} + repeated {ledger['duplicates']}{_forgotten(ledger.get('dropped'))}",
        {"accepted", "acknowledged"},
    )
    yield f"stored {ledger['stored']}", f"= {alerts}", {"alerts"}
    forgotten = _forgotten(ledger.get("forgotten"))
    yield f"opened {ledger['opened']}", f"= {incidents}{forgotten}", {"opened", "incidents"}


def _forgotten(number: int | None) -> str:
    return f" + forgotten {number}" if number else ""
