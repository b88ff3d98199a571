"""`exmedic runbooks simulate`: one runbook against the lab's model on virtual time, as a timeline."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.markup import escape
from rich.table import Table

from daemon.app.offline import runbook_places, runbooks
from daemon.cli.console import SiteConfig, errors, name_and_value, out
from daemon.cli.site import mistakes_told, print_mistakes, settings_of
from daemon.domain.audit import AuditKind, AuditRow
from daemon.domain.errors import ConfigError, OperatorError
from daemon.domain.incidents import Incident, IncidentStatus
from daemon.lab.clock import LabClock
from daemon.lab.faults import FAULTS, SICKNESS, Fault, fault_named
from daemon.lab.model import Simulation
from daemon.lab.organisation import Machine, Monitor
from daemon.lab.record import Record
from daemon.simulation.campaign import hush
from daemon.simulation.generate import MISHAPS, OWN_ERRORS
from daemon.simulation.run import Outcome, play
from daemon.simulation.story import Break, Mishap, Publish, Story
from daemon.simulation.world import START
from statemachines.actions import ACTIONS, Effect
from statemachines.loader import Draft, draft
from statemachines.mistake import suggestion
from statemachines.model import Definition, Handled

_ALERT = 60.0  #: seconds after which the alert comes in: the problem was there before
_ALWAYS = 2 * 24 * 3600.0  #: seconds in which mishaps may come about: longer than any ladder
_ESCALATED = 3  #: exit code
_TOLD = {
    AuditKind.INCIDENT_OPENED: "",
    AuditKind.OUTCOME: "",
    AuditKind.WITHDRAWN: "",
    AuditKind.UNDO_LEFT: "bold red",
    AuditKind.QUARANTINED: "bold red",
    AuditKind.QUARANTINE_LIFTED: "",
    AuditKind.RESOLVED: "bold green",
    AuditKind.ESCALATED: "bold red",
    AuditKind.CANCELLED: "bold red",
}
_ENDS = (AuditKind.RESOLVED, AuditKind.ESCALATED, AuditKind.CANCELLED)


class Line(NamedTuple):
    """A line of the timeline. `order` tells apart what happens at the same moment."""

    at: timedelta
    order: int
    server: str
    state: str
    text: str
    style: str


def simulate(
    file: Annotated[Path, typer.Argument(help="A runbook, in use or not yet.")],
    *,
    fault: Annotated[list[str], typer.Option(help="What is wrong, from `exmedic lab faults`; several are possible.")],
    server: Annotated[str, typer.Option(help="The server that breaks; one that the runbook handles if left out.")] = "",
    monitor: Annotated[str, typer.Option(help="The monitor whose alert comes in; the first that fits.")] = "",
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, an option of the fault.")] = None,
    mishap: Annotated[
        list[str] | None, typer.Option(help="PLACE:NTH:KIND, what goes wrong on the way: shell.reboot:1:lost.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Even if the runbook is not proven.")] = False,
    config: SiteConfig = None,
) -> None:
    """Walk a runbook on virtual time: a lab server breaks, its alert comes in, and this is what follows.

    Exit code 0 if it ends resolved, 3 if a human is paged, 1 if a rule of docs/guarantees.md is broken.
    """
    settings = settings_of(config)
    with mistakes_told():
        read = draft(file, *runbook_places(settings))
        others = runbooks(settings)
    _refuse_unproven(read, anyway=anyway)
    lab = Simulation(lambda now: Record(None, now), LabClock(START))
    machine, handled, sick = _where(lab, read.definition, server, monitor)
    breaks = _breaks(lab, machine, sick, fault, [_option(text) for text in option or []])
    mishaps = tuple(_mishap(text) for text in mishap or [])
    story = Story(
        seed=1, events=(*breaks, _alert(machine, handled)), mishaps=mishaps, calm_after=_ALWAYS if mishaps else 0.0
    )
    hush()
    outcome = play(story, (read.definition, *(one for one in others if one.runbook not in read.replaces)))
    what = f"{handled.monitor or handled.health_set} on {machine.name}"
    out.print(f"[bold]{read.definition.runbook}[/]: {escape(what)}, {escape(', '.join(fault))}", soft_wrap=True)
    _print(outcome)
    raise typer.Exit(_exit_code(outcome))


def _refuse_unproven(read: Draft, *, anyway: bool) -> None:
    if not read.unproven:
        return
    print_mistakes(ConfigError(read.unproven))
    if not anyway:
        errors.print("Not proven, so not simulated; --anyway does it all the same.", soft_wrap=True)
        raise typer.Exit(2)


def _where(lab: Simulation, definition: Definition, server: str, monitor: str) -> tuple[Machine, Handled, Monitor]:
    """The server and the monitor of the alert: those asked for, or the first that the runbook handles."""
    wanted = [entry for entry in definition.handles if monitor.lower() in ("", entry.monitor.lower())]
    if not wanted:
        known = [entry.monitor for entry in definition.handles]
        hint = suggestion(monitor, known)
        raise OperatorError(f"{definition.runbook} does not handle {monitor}{hint}; it handles: {', '.join(known)}")
    machines = [lab.machine(server)] if server else list(lab.organisation.machines.values())
    for entry in wanted:
        for machine in machines:
            for known_monitor in machine.monitors if _fits(machine, entry) else ():
                if _watched_by(entry, known_monitor):
                    return machine, entry, known_monitor
    handled = ", ".join(entry.monitor or entry.health_set for entry in wanted)
    where = server or "no server of the lab"
    fitting = [one.name for one in lab.organisation.machines.values() if any(_fits(one, entry) for entry in wanted)]
    raise OperatorError(
        f"{where} has nothing that is handled ({handled}); fitting servers: {', '.join(fitting) or 'none'}"
    )


def _watched_by(entry: Handled, monitor: Monitor) -> bool:
    health_set = monitor.health_set.lower()
    return entry.key in ((health_set, monitor.name.lower()), (health_set, ""))


def _fits(machine: Machine, entry: Handled) -> bool:
    role = entry.role is None or entry.role in machine.roles
    return role and any(_watched_by(entry, monitor) for monitor in machine.monitors)


def _breaks(
    lab: Simulation, machine: Machine, sick: Monitor, faults: list[str], options: list[tuple[str, object]]
) -> tuple[Break, ...]:
    """The faults with their options, tried on a copy of the lab first."""
    kinds = [fault_named(name) for name in faults]
    for name, _ in options:
        if not any(name in FAULTS[kind].options for kind in kinds):
            taken = [each for kind in kinds for each in FAULTS[kind].options]
            raise OperatorError(f"{', '.join(faults)} takes no option {name!r}; it takes: {', '.join(taken) or 'none'}")
    found = []
    for kind in kinds:
        own = {name: value for name, value in options if name in FAULTS[kind].options}
        chosen = _aimed(kind, own, sick)
        lab.inject(machine.name, kind, chosen)
        found.append(Break(at=0.0, server=machine.name, fault=kind, options=tuple(chosen.items())))
    return tuple(found)


def _aimed(kind: Fault, options: dict[str, object], sick: Monitor) -> dict[str, object]:
    """A sickness strikes what the monitor of the alert watches, unless told otherwise."""
    if kind not in SICKNESS or {"service", "monitor"} & options.keys():
        return options
    return {**options, "monitor": sick.name} if sick.counter else {**options, "service": sick.service}


def _option(text: str) -> tuple[str, object]:
    option = name_and_value(text)
    if option is None:
        raise OperatorError(f"{text!r} is not NAME=VALUE")
    return option


def _mishap(text: str) -> Mishap:
    """PLACE:NTH:KIND."""
    place, _, rest = text.partition(":")
    nth, _, kind = rest.partition(":")
    kinds = {name: kinds for _, places, _, kinds in MISHAPS for name in places}
    kinds |= {name: (*kinds[name], *OWN_ERRORS) for name in kinds if name.startswith("shell.")}
    if place not in kinds:
        hint = suggestion(place, kinds)
        raise OperatorError(f"nothing can go wrong at {place!r}{hint}; places: {', '.join(sorted(kinds))}")
    if not nth.isdecimal() or int(nth) == 0:
        raise OperatorError(f"{text!r} is not PLACE:NTH:KIND, such as {place}:1:{kinds[place][0]}")
    if kind not in kinds[place]:
        raise OperatorError(f"at {place} there is no mishap {kind!r}; there are: {', '.join(kinds[place])}")
    return Mishap(place=place, nth=int(nth), kind=kind)


def _alert(machine: Machine, handled: Handled) -> Publish:
    body = {
        "id": "1",
        "server": machine.name,
        "health_set": handled.health_set,
        "monitor": handled.monitor or None,
        "raised_at": START.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "summary": "simulated",
        "closed": False,
    }
    return Publish(at=_ALERT, topic="alerts/exmedic/simulated", payload=json.dumps(body).encode())


def _print(outcome: Outcome) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for column in ("time", "server", "state", "what"):
        table.add_column(column, no_wrap=column != "what", style="dim" if column == "time" else "")
    for line in sorted(_lines(outcome), key=lambda line: line[:2]):
        text = f"[{line.style}]{escape(line.text)}[/]" if line.style else escape(line.text)
        table.add_row(_since(line.at), line.server, escape(line.state), text)
    out.print(table)
    for missed in set(outcome.story.mishaps) - {mishap for _, mishap in outcome.struck}:
        out.print(f"never came about: {escape(str(missed))}", style="yellow", soft_wrap=True)
    for violation in outcome.violations:
        out.print(f"[bold red]BROKEN {escape(str(violation))}[/]", soft_wrap=True)


def _lines(outcome: Outcome) -> Iterator[Line]:
    for row in outcome.state.audit:
        yield from _line(outcome, row)
    for entry in outcome.record:
        at = _after(datetime.fromisoformat(entry.at))
        name = entry.effect.replace("_", " ")
        yield Line(at, 0, _short(entry.server), "", f"on the server: {name}", "cyan")
    for seconds, mishap in outcome.struck:
        yield Line(timedelta(seconds=seconds - _ALERT), 0, "", "", f"mishap: {mishap}", "yellow")


def _line(outcome: Outcome, row: AuditRow) -> Iterator[Line]:
    entry, fields = row.entry, row.entry.fields
    first = next(iter(outcome.state.incidents), "")
    where = _short(entry.server) + ("" if entry.incident_id in ("", first) else f" ({entry.incident_id})")
    at, state = _after(entry.at), str(fields.get("state", ""))
    if entry.kind is AuditKind.STARTED and row.seq > 1:
        yield Line(at, row.seq, "", "", "the daemon is started again", "yellow")
    elif entry.kind is AuditKind.INTENT:
        action = str(fields["action"])
        step = outcome.state.steps[str(fields["step"])]
        known = ACTIONS[action].summary.format_map({**dict.fromkeys(ACTIONS[action].params, "?"), **step.params})
        mark = "DISTURBS" if step.effect is Effect.DISRUPTIVE else "CHANGES"
        yield Line(at, row.seq, where, state, f"{mark}: {known}", "bold magenta")
    elif entry.kind is AuditKind.DECISION and not entry.message.startswith("allowed"):
        yield Line(at, row.seq, where, state, entry.message, "yellow")
    elif entry.kind in _TOLD and entry.incident_id:
        word = f"{entry.kind.value}: " if entry.kind in _ENDS else ""
        yield Line(at, row.seq, where, "" if word else state, f"{word}{entry.message}", _TOLD[entry.kind])


def _after(moment: datetime) -> timedelta:
    return moment - START - timedelta(seconds=_ALERT)


def _short(server: str) -> str:
    return server.partition(".")[0]


def _since(span: timedelta) -> str:
    """Hours, minutes and seconds since the alert."""
    seconds = int(span.total_seconds())
    return f"+{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _exit_code(outcome: Outcome) -> int:
    first: Incident | None = next(iter(outcome.state.incidents.values()), None)
    if outcome.violations or first is None:
        return 1
    return 0 if first.status is IncidentStatus.RESOLVED else _ESCALATED
