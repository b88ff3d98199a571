"""What a lab server reads in its own logs: what Managed Availability did, and its POP protocol log."""

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from daemon.lab.faults import Fault, Injected
from daemon.lab.model import Simulation
from daemon.lab.organisation import DOMAIN, FRONT_END, Machine
from daemon.lab.pop_log import COLUMNS, FOLDER, OTHER_COLUMNS, LogWriter
from daemon.lab.script_call import Refusal, Result, ScriptCall, shown

_MOST_ROWS = 2000
_MOST_CHARACTERS = 1 << 20


async def recovery_log(call: ScriptCall) -> Result:
    """Managed Availability's recovery actions on the executing server, newest first."""
    hours = call.args.get("hours")
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours < math.inf:
        raise Refusal("broken", "The argument hours must be a positive number.")
    now = call.simulation.timeline.now()
    actions = [action for action in _actions(call.executor, now) if action[0] >= now - timedelta(hours=hours)]
    return {
        "actions": [told for _, told in sorted(actions, key=lambda action: action[0], reverse=True)],
        "truncated": False,
    }


def _actions(machine: Machine, now: datetime) -> Iterator[tuple[datetime, Result]]:
    running = machine.faults.get(Fault.RECOVERY_RUNNING)
    if running is not None:
        end = running.at + timedelta(minutes=running.minutes)
        yield running.at, _action(machine, running, running.at, end if end <= now else None, expected=end)
    dead = machine.faults.get(Fault.RECOVERY_DEAD)
    if dead is not None:
        yield dead.at, _action(machine, dead, dead.at, None, expected=dead.at + timedelta(minutes=dead.minutes))
    recent = machine.faults.get(Fault.RECOVERY_RECENT)
    if recent is not None:
        end = recent.at - timedelta(minutes=recent.minutes)
        yield end - timedelta(seconds=20), _action(machine, recent, end - timedelta(seconds=20), end, expected=end)


def _action(
    machine: Machine, fault: Injected, begun: datetime, ended: datetime | None, *, expected: datetime
) -> Result:
    return {
        "action": fault.action,
        "resource": machine.pop_service if fault.action == "RestartService" else machine.name.partition(".")[0],
        "started": shown(machine, begun),
        "ended": shown(machine, ended),
        "expected_end": shown(machine, expected),
        "result": "" if ended is None else "Succeeded",
    }


def log_writer(simulation: Simulation, machine: Machine) -> LogWriter:
    """How a server writes its protocol log."""
    mailbox = [other.name for other in simulation.organisation.machines.values() if other.mailbox]
    return LogWriter(
        server=machine.name,
        domain=DOMAIN,
        backend=machine.backend.name if machine.backend is not None else machine.name,
        others=[name for name in mailbox if name != machine.name],
        skew=machine.skew,
        columns=OTHER_COLUMNS if Fault.LOG_COLUMNS_DIFFER in machine.faults else COLUMNS,
        names_backend=Fault.LOG_NAMES_NOBODY not in machine.faults,
    )


async def protocol_log(call: ScriptCall) -> Result:
    """The executing server's protocol log between two moments of its own clock, of the sessions of some users."""
    machine = call.executor
    if call.text("folder").rstrip("\\").lower() != FOLDER.lower() or FRONT_END not in machine.services:
        raise Refusal("not_found", f"{machine.name} has no folder {call.text('folder')}.")
    since, until = _moment(call, "since"), _moment(call, "until")
    users = call.args.get("users")
    if not isinstance(users, list) or not users:
        raise Refusal("broken", "The argument users must be a list of patterns.")
    now = call.simulation.timeline.now()
    wide = timedelta(minutes=2)  # a file holds more than what is asked for
    files = machine.pop_log.files(
        now, since - machine.skew - wide, until - machine.skew + wide, log_writer(call.simulation, machine)
    )
    return _select(files, since, until, users)


def _moment(call: ScriptCall, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(call.text(name))
    except ValueError:
        raise Refusal("broken", f"The argument {name} is not a time in ISO 8601.") from None
    if moment.tzinfo is None:
        raise Refusal("broken", f"The argument {name} has no offset from UTC.")
    return moment


def _select(files: Sequence[str], since: datetime, until: datetime, users: Sequence[object]) -> Result:
    columns: tuple[str, ...] = ()
    found: list[dict[str, str]] = []
    for text in files:
        lines = text.splitlines()
        head = next(line for line in lines if line.startswith("#Fields: "))
        columns = tuple(head.removeprefix("#Fields: ").split(","))
        rows = csv.reader(line for line in lines if not line.startswith("#"))
        found += [dict(zip(columns, row, strict=True)) for row in rows]
    found = [row for row in found if since <= datetime.fromisoformat(row["dateTime"]) <= until]
    patterns = [str(user).lower() for user in users]
    sessions = {
        row["sessionId"]
        for row in found
        if row["user"] and any(fnmatchcase(row["user"].lower(), pattern) for pattern in patterns)
    }
    wanted = [[row[column] for column in columns] for row in found if row["sessionId"] in sessions]
    sent: list[list[str]] = []
    size = 0
    for row in wanted:
        size += sum(len(cell) for cell in row)
        if len(sent) >= _MOST_ROWS or size > _MOST_CHARACTERS:
            break
        sent.append(row)
    return {"files": len(files), "columns": columns, "rows": sent, "truncated": len(sent) < len(wanted)}
