"""`exmedic demo`: the main job on real input, in under a minute.

A broker, the lab and the daemon, each a process of its own; three servers broken in different ways; the ladders live;
then every action compared between the lab's own record and the audit trail.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from daemon.app.offline import clock_of, reading, verify_audit
from daemon.app.publishing import publish_raw
from daemon.cli.console import coloured, out
from daemon.cli.incidents import print_incidents, print_story
from daemon.config.settings import Settings, load_settings
from daemon.domain.errors import OperatorError
from daemon.domain.incidents import Incident, IncidentStatus, Step, StepStatus, UndoItem, UndoStatus
from daemon.domain.store import IncidentStore
from daemon.lab.socket import lab_command
from daemon.operators.client import ask
from statemachines.actions import Effect

START_WITHIN = 20.0  #: real seconds for each process to come up
STOP_WITHIN = 15.0
DEMO_WITHIN = 150.0  #: real seconds until the demo gives up on the ladders
#: What the lab calls the effect of each action.
EFFECT_NAMES = {
    "restart_service": "restart",
    "stop_activation": "stop_activation",
    "reboot": "reboot",
    "undo": "allow_activation",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A server that the demo breaks, and how its incident must end."""

    server: str
    fault: str
    monitor: str
    ends: IncidentStatus
    told: str


CASES = (
    Broken("mbx1", "restart_cures", "PopDeepTestMonitor", IncidentStatus.RESOLVED, "a restart of the service cures it"),
    Broken("mbx4", "reboot_cures", "PopSelfTestMonitor", IncidentStatus.RESOLVED, "only failover and reboot cure it"),
    Broken("mbx2", "incurable", "PopDeepTestMonitor", IncidentStatus.ESCALATED, "nothing cures it"),
)


def demo(
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="Where to keep its data; a new temporary one if left out.")
    ] = None,
    speed: Annotated[float, typer.Option(min=1, max=200, help="How many times faster the lab's clock runs.")] = 60.0,
) -> None:
    """Break three servers of the lab in different ways, and watch exmedic deal with them.

    Exit code 0 only if the first two were healed, the third was escalated, and the lab's own record agrees with the
    audit trail action by action.
    """
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(1))  # by an exception, so that the children are stopped
    folder = directory or Path(tempfile.mkdtemp(prefix="exmedic-demo-"))
    _make(folder)
    config = folder / "exmedic.toml"
    began = time.monotonic()
    with contextlib.ExitStack() as processes:
        lab = ["lab", "--directory", str(folder), "--speed", str(speed)]
        processes.enter_context(_process(lab, folder / "lab.log", ready=config))
        settings = load_settings(config)
        _explain(folder)
        processes.enter_context(_process(["run", "-c", str(config)], folder / "daemon.log", ready=settings.socket))
        await_subscription(settings.socket, START_WITHIN)
        asyncio.run(_break_and_watch(settings, folder))
        effects = lab_command(folder, {"command": "effects"})["effects"]
    good = asyncio.run(_report(settings, effects if isinstance(effects, list) else []))
    out.print(f"\nTook {time.monotonic() - began:.0f} seconds. Everything is kept in [bold]{folder}[/]; try")
    for command in ("incidents", "show ID", "audit verify"):
        out.print(f"  {_command()} {command} -c {config}", soft_wrap=True)
    if not good:
        raise typer.Exit(1)


def _make(folder: Path) -> None:
    """The directory, without the incidents of an earlier demo, which would pass for those of this one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"the directory {folder} cannot be made: {error.strerror}; choose another") from error
    if (folder / "exmedic.toml").exists():
        raise OperatorError(f"{folder} holds a demo already; choose another directory, or leave --directory out")


def _command() -> str:
    """How the user started us, for commands that can be copied."""
    return sys.argv[0] if "/" in sys.argv[0] else "exmedic"


@contextlib.contextmanager
def _process(arguments: list[str], log: Path, ready: Path) -> Iterator[None]:
    """Run an exmedic command in a process of its own until left; `ready` is a file that shows that it is up."""
    ready.unlink(missing_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
            [sys.executable, "-m", "daemon", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "200"},
            process_group=0,  # Ctrl-C is for us; we stop our children in order
        )
    try:
        deadline = time.monotonic() + START_WITHIN
        while not ready.exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise OperatorError(
                    f"`exmedic {arguments[0]}` did not start; its last words are in {log}:\n{_tail(log)}"
                )
            time.sleep(0.05)
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def await_subscription(control: Path, within: float) -> None:
    """Return when the daemon at a control socket has subscribed: a broker keeps nothing for a session it never saw.

    Raises:
        OperatorError: it has not within so many seconds.
    """
    deadline = time.monotonic() + within
    while ask(control, {"command": "status"})["bus"] != "connected":
        if time.monotonic() > deadline:
            raise OperatorError(f"the daemon did not reach the broker within {within:g} seconds; see daemon.log")
        time.sleep(0.05)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _explain(folder: Path) -> None:
    out.print("[bold]exmedic demo[/]: a broker, a simulated Exchange organisation behind WinRM, and the daemon.")
    for case in CASES:
        lab_command(folder, {"command": "break", "server": case.server, "fault": case.fault})
        out.print(f"  {case.server}: {case.monitor} is unhealthy, and {case.told}")
    out.print(
        "The other monitor of each is unhealthy for the same reason: it gets an incident of its own, which waits.\n"
    )


def _scom(case: Broken, number: int) -> bytes:
    """An alert as SCOM's connector publishes it."""
    return json.dumps({
        "Id": f"0e000000-0000-4000-8000-{number:012}",
        "Name": f"POP.Protocol Health Set unhealthy ({case.monitor}/MSExchangePop3BE) - The POP protocol does not work",
        "ResolutionState": 0,
        "PrincipalName": f"{case.server.upper()}.contoso.lab",
        "Severity": "Error",
        "RepeatCount": 0,
    }).encode()  # fmt: skip


async def _break_and_watch(settings: Settings, folder: Path) -> None:
    await publish_raw(settings, "alerts/scom/demo", [_scom(case, number) for number, case in enumerate(CASES, 1)])
    deadline = time.monotonic() + DEMO_WITHIN
    clock = clock_of(settings)
    async with reading(settings) as store:
        with Live(console=out, refresh_per_second=8, transient=not out.is_terminal) as live:
            while time.monotonic() < deadline:
                found = await store.incidents()
                live.update(await _view(store, found, clock.now()))
                if len(found) >= len(CASES) and all(i.status is not IncidentStatus.OPEN for i in found):
                    return
                await asyncio.sleep(0.25)
    raise OperatorError(f"the ladders did not end within {DEMO_WITHIN:.0f} seconds; see {folder}/daemon.log")


async def _view(store: IncidentStore, found: list[Incident], now: datetime) -> Table:
    """The ladders as they stand: state, timer, what is being done, what is waited for."""
    title = f"Ladders, {now:%H:%M:%S} of the lab"
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, expand=out.is_terminal, pad_edge=False
    )
    for column, width in (("server", 6), ("monitor", 18), ("state", 16), ("timer", 6)):
        table.add_column(column, min_width=width, max_width=width, no_wrap=True, overflow="ellipsis")
    for column, share in (("done to it", 2), ("waits for, or why", 3)):
        table.add_column(column, ratio=share, no_wrap=True, overflow="ellipsis")
    for incident in sorted(found, key=lambda incident: (incident.server, incident.opened_at)):
        steps = await store.steps(incident.id)
        table.add_row(
            incident.server.partition(".")[0],
            escape(incident.monitor),
            incident.state if incident.status is IncidentStatus.OPEN else coloured(incident.status),
            _timer(incident, now),
            escape(_doing(steps)),
            escape(incident.waiting_for or incident.reason),
        )
    return table


def _timer(incident: Incident, now: datetime) -> str:
    """Seconds of the lab until it is looked at again."""
    if incident.status is not IncidentStatus.OPEN or incident.due_at is None:
        return ""
    return f"{max(0.0, (incident.due_at - now).total_seconds()):.0f} s"


def _doing(steps: list[Step]) -> str:
    done = [step.action for step in steps if step.effect is not Effect.READ and step.status is StepStatus.DONE]
    now = [f"{step.action}..." for step in steps if step.status is StepStatus.OPEN]
    return ", ".join([*now, *reversed(done)])


async def _report(settings: Settings, effects: list[dict[str, str]]) -> bool:
    """The final tables and verdicts; whether everything is as it must be."""
    async with reading(settings) as store:
        found = await store.incidents()
        for incident in sorted(found, key=lambda incident: incident.server):
            out.print()
            print_story(incident, await store.audit_of(incident.id), await store.undo_items(incident.id))
        out.print()
        print_incidents(found)
        out.print()
        ended = _ended_as_told(found)
        same = agree(effects, [step for incident in found for step in await store.steps(incident.id)])
        left = [item for incident in found for item in await store.undo_items(incident.id)]
        out.print(f"left changed, and said so in the escalation: {_names(left, UndoStatus.LEFT)}")
    verdict = await verify_audit(settings, journal=False)
    out.print(f"audit trail: {'[green]good[/]' if verdict.good else '[red]bad[/]'} {verdict.text}")
    return ended and same and verdict.good


def _names(items: list[UndoItem], status: UndoStatus) -> str:
    return ", ".join(f"{item.setting} on {item.server}" for item in items if item.status is status) or "nothing"


def _ended_as_told(found: list[Incident]) -> bool:
    good = True
    for case in CASES:
        ends = [
            incident.status
            for incident in found
            if incident.server.startswith(f"{case.server}.") and incident.monitor == case.monitor
        ]
        right = ends == [case.ends]
        good = good and right
        mark = "[green]as it must be[/]" if right else "[bold red]WRONG[/]"
        out.print(f"{case.server}: {case.told}: {', '.join(ends) or 'no incident'}, {mark}")
    return good


def agree(effects: list[dict[str, str]], steps: list[Step]) -> bool:
    """Whether the lab saw exactly the effects that the store has as done, step by step."""
    seen = Counter((effect["step"], effect["effect"], effect["server"]) for effect in effects)
    told = Counter(
        (step.id, EFFECT_NAMES[step.action], step.server)
        for step in steps
        if step.effect is not Effect.READ and step.status is StepStatus.DONE and step.executor
    )
    for what, missing in (("in the lab's record only", seen - told), ("in the audit trail only", told - seen)):
        for step, effect, server in missing:
            out.print(f"[bold red]{what}[/]: {effect} on {server}, step {step}")
    if seen == told:
        out.print(f"the lab's own record and the audit trail agree: {seen.total()} actions, one by one")
    return seen == told
