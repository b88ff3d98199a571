"""A ladder in plain English, for those who must agree to it and do not read YAML.

Pure text, made from the data that runs. Lines are (indentation, text); `wrapped` makes them fit a width.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from datetime import timedelta

from daemon.config.guardrails import Timing
from daemon.remediation.actions.preconditions.table import BEFORE, Precondition
from statemachines.actions import ACTIONS, Disruption, Effect
from statemachines.checker import bounds
from statemachines.checker.facts import CHANGED_BY
from statemachines.checker.findings import spell
from statemachines.checker.walk import kinds
from statemachines.diagrams import arrows, deadline, rows, summary
from statemachines.model import ENDS, Definition, Handled, State, UndoPolicy

Line = tuple[int, str]

#: What is asked before an action, by the names of docs/preconditions.md.
ASKED = {
    "restart_service": ("restart",),
    "stop_activation": ("move",),
    "reboot": ("reboot, Mailbox", "reboot, CAS"),
    "protocol_log_on": ("protocol log",),
}
_ON = {
    "restart": "a restart",
    "move": "moving databases away",
    "reboot, Mailbox": "a reboot of a Mailbox server",
    "reboot, CAS": "a reboot of a server that has no Mailbox role",
    "protocol log": "switching the protocol log on",
}
_BESIDES = (
    "exmedic is not paused, and the server is not in quarantine",
    "no maintenance and no freeze is in the way, and in business hours an operator approves moves and reboots",
    "the server is tagged for mode auto; any other is only watched, and what would be done is written down",
    "no other incident works on the server, and before a move or a reboot on none of its DAG or site",
    "the problem was verified within the hour",
)
_NAMES = ("Managed Availability", "Test-")  #: what keeps its capital in the middle of a list
_DISTURBS = {Disruption.RESTART: "RESTART", Disruption.MOVE: "MOVE", Disruption.REBOOT: "REBOOT"}
#: By the setting: what is changed, how it is put back.
_CHANGES = {
    "activation": "database activation is blocked on the server; putting it back allows activation again, it moves no "
    "database back (Exchange 2016 and later bring them home by themselves, every hour by default)",
    "protocol_log": "the POP protocol log is on; putting it back switches it off, and restarts once more what of POP's "
    "services began while it was on",
}
_POLICY = {
    UndoPolicy.ALWAYS: "It is put back whichever way the ladder ends.",
    UndoPolicy.UNLESS_SICK_AFTER_REBOOT: "It is put back whichever way the ladder ends, except on a server that was "
    "rebooted and not found healthy since: there it stays, so that no database comes back to a sick server.",
}
_AFRESH = (
    "Asked afresh, seconds before each step in capitals. Where one does not hold, the step waits or is given up: "
    "docs/preconditions.md says which."
)
_QUARANTINE = (
    "A restart, move or reboot of which it is not known whether it happened is not sent again: the server is in "
    "quarantine, and only read from, until evidence turns up or a human releases it."
)


def explain(definition: Definition, handled: Handled, timing: Timing) -> Iterator[Line]:
    """What a ladder does about one monitor, from what it looks at to when it stops."""
    monitor = handled.monitor or "an alert that names no monitor"
    yield 0, f"What exmedic does about {monitor} of {handled.health_set}: {definition.title}"
    yield 0, f"Runbook {definition.runbook}, after: {definition.source}."
    if handled.role is not None:
        yield 0, f"Only on servers with the role {handled.role}."
    yield from _looks(definition, handled, timing)
    yield from _steps(definition)
    yield from _before(definition, handled)
    yield from _changes(definition)
    yield from _stops()
    yield from _most(definition, timing)


def wrapped(lines: Iterable[Line], width: int) -> Iterator[str]:
    """The lines as text of at most `width`, bullets and numbers hanging."""
    for depth, text in lines:
        mark = re.match(r"(- |\d+\. )?", text)
        hanging = " " * (2 * depth + (len(mark[0]) if mark else 0))
        yield from textwrap.wrap(text, width, initial_indent="  " * depth, subsequent_indent=hanging) or [""]


def _looks(definition: Definition, handled: Handled, timing: Timing) -> Iterator[Line]:
    yield 0, ""
    yield 0, "What it looks at"
    actions = {state.do for state in definition.states.values()}
    span, wait = timing.probe_span / 60, timing.monitor_wait / 60
    if "verify" in actions and handled.probe:
        yield 1, f"The probe {handled.probe} is rerun, and the monitor's own state is read."
        yield 1, f"Unhealthy: the probe failed {timing.probe_failures} times over {span:g} minutes."
        yield 1, f"Healthy: the probe succeeds and the monitor agrees, for which it gets {wait:g} minutes."
    elif "verify" in actions:
        yield (
            1,
            f"The monitor has no probe: its own state is read over {span:g} minutes, and must be the same each time.",
        )
    if "triage" in actions:
        yield 1, "The state of all POP* monitors of the server is read."
    yield 1, "An answer that is empty, stale or unreadable is neither: it is asked again, then a human is paged."


def _steps(definition: Definition) -> Iterator[Line]:
    numbers = {name: number for number, name in enumerate(rows(definition), 1)}
    drawn = arrows(definition)
    yield 0, ""
    yield 0, "What it does, in this order"
    for name, number in numbers.items():
        state = definition.states[name]
        yield 1, f"{number}. {_does(state)} [{name}, within {deadline(state)}]"
        for arrow in sorted((one for one in drawn if one.source == name), key=lambda one: one.target in ENDS):
            if arrow.target != "escalated":
                yield 3, f"{' or '.join(arrow.outcomes)}: {_next(arrow.target, numbers)}"
    yield 1, "Any other outcome of any step: nothing more is tried, and a human is paged."


def _does(state: State) -> str:
    spec = ACTIONS[state.do]
    text = summary(state)
    if spec.disrupts is not None:
        return f"{_DISTURBS[spec.disrupts]}: {text}."
    return f"{'CHANGE: ' if spec.effect is Effect.IDEMPOTENT else ''}{text[0].upper()}{text[1:]}."


def _next(target: str, numbers: dict[str, int]) -> str:
    return "resolved" if target == "resolved" else f"go to {numbers[target]}"


def _before(definition: Definition, handled: Handled) -> Iterator[Line]:
    yield 0, ""
    yield 0, "What must be true before it changes anything"
    asked = _asked(definition, handled)
    if not asked:
        yield 1, "It changes nothing itself."
        return
    yield 1, _AFRESH
    yield 1, "Before each of them:"
    yield from ((2, f"- {text}") for text in _BESIDES)
    by_kinds: dict[tuple[str, ...], list[Precondition]] = {}
    for precondition in dict.fromkeys(one for kind in asked for one in BEFORE[kind]):
        whose = tuple(kind for kind in asked if precondition in BEFORE[kind])
        by_kinds.setdefault(whose, []).append(precondition)
    for whose, preconditions in by_kinds.items():
        if whose != asked:
            yield 1, f"Before {', and before '.join(_ON[kind] for kind in whose)}, besides:"
        yield from ((2, f"- {_said(precondition)}") for precondition in preconditions)


def _asked(definition: Definition, handled: Handled) -> tuple[str, ...]:
    """The kinds of effects that the ladder may come to on the servers where such an alert may come."""
    named = [kind for state in definition.states.values() for kind in ASKED.get(state.do, ())]
    copies = {kind.copies for kind in kinds(handled)}
    never = {"reboot, Mailbox"} if copies == {False} else {"reboot, CAS"} if copies == {True} else set()
    return tuple(kind for kind in dict.fromkeys(named) if kind not in never)


def _said(precondition: Precondition) -> str:
    """The first sentence of its documentation; numbers of rules are for developers."""
    text = re.sub(r" \(rule \d+\)", "", str(precondition.__doc__).partition("\n")[0]).rstrip(".")
    return text if text.startswith(_NAMES) else text[0].lower() + text[1:]


def _changes(definition: Definition) -> Iterator[Line]:
    yield 0, ""
    yield 0, "What it changes and puts back"
    changed = [spec.changes for state in definition.states.values() if (spec := ACTIONS[state.do]).changes]
    if not changed:
        yield 1, "No setting is changed."
        return
    for setting in dict.fromkeys(changed):
        yield 1, f"{setting}: {_CHANGES[setting]}. {_POLICY[definition.undo[setting]]}"
    yield 1, "What is not put back is named to the human, with the reason and the command that puts it back."
    yield 1, "A value that somebody else has changed meanwhile is left alone."


def _stops() -> Iterator[Line]:
    yield 0, ""
    yield 0, "When it stops"
    yield 1, "Resolved: only when the last look found the monitor healthy, and nothing was done to the server since."
    yield 1, "If something had to be put back then, the monitor is verified once more."
    yield 1, "A human is paged: in every other case, with what was tried, what was found and what is left changed."
    yield 1, _QUARANTINE
    yield 1, "`exmedic pause` stops it between any two steps, `exmedic close` ends it and puts back what it changed."


def _most(definition: Definition, timing: Timing) -> Iterator[Line]:
    found = bounds(definition)
    said = str(found)
    yield 0, ""
    yield 0, "How much at most"
    yield 1, f"{said[0].upper()}{said[1:]}, if every step takes until its deadline; putting back is counted."
    if any(CHANGED_BY[setting].undo_disrupts for setting in definition.undo):
        yield 1, "One of the restarts belongs to putting back, and comes only if the protocol log was switched on."
    if found.effects:
        hold = spell(timedelta(seconds=timing.hold_deadline))
        waits = f"Each of the up to {found.effects} changes may have to wait for its preconditions, for at most {hold}"
        yield 1, f"{waits} with all its repetitions; then a human is paged."
    yield 1, "One ladder at a time works on a server, and one in a DAG or site while it moves or reboots."
