"""What a lab server reads in its own logs: what Managed Availability did, and its POP protocol log."""

import csv
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import zip_longest

from daemon.lab.faults import Fault, Injected
from daemon.lab.model import Simulation
from daemon.lab.organisation import CTP_MONITOR, DOMAIN, FRONT_END, Machine
from daemon.lab.pop_log import COLUMNS, FOLDER, FRONT, OTHER_COLUMNS, File, Logon, LogWriter, Session
from daemon.lab.script_call import Refusal, Result, ScriptCall, shown
from daemon.lab.windows_answers import cim

#: Reasons of a probe that fails before anybody knows who logs on.
_OF_THE_LOGON = ("Auth", "Monitoring")
_MOST_ROWS = 2000
_MOST_CHARACTERS = 1 << 20


async def recovery_log(call: ScriptCall) -> Result:
    """Managed Availability's recovery actions on the executing server, newest first."""
    hours = call.args.get("hours")
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours < math.inf:
        raise Refusal("broken", "The argument hours must be a positive number.")
    cim(call.executor)
    now = call.simulation.timeline.now()
    actions = [action for action in _actions(call.executor, now) if action[0] >= now - timedelta(hours=hours)]
    return {
        "actions": [told for _, told in sorted(actions, key=lambda action: action[0], reverse=True)],
        "truncated": False,
    }


def _actions(machine: Machine, now: datetime) -> Iterator[tuple[datetime, Result]]:
    for kind in (Fault.RECOVERY_RUNNING, Fault.RECOVERY_DEAD):
        fault = machine.faults.get(kind)
        if fault is not None:
            expected = fault.at + timedelta(minutes=fault.minutes)
            finished = kind is Fault.RECOVERY_RUNNING and expected <= now
            yield fault.at, _action(machine, fault, (fault.at, expected), finished=finished)
    recent = machine.faults.get(Fault.RECOVERY_RECENT)
    if recent is not None:
        end = recent.at - timedelta(minutes=recent.minutes)
        begun = end - timedelta(seconds=20)
        yield begun, _action(machine, recent, (begun, end), finished=True)


def _action(machine: Machine, fault: Injected, span: tuple[datetime, datetime], *, finished: bool) -> Result:
    begun, expected = span
    ended, result = (expected, "Succeeded") if finished else (None, "")
    # A reboot cuts it off, and leaves no end behind in the log.
    if begun < machine.boot_time and (ended is None or machine.boot_time < ended):
        ended, result = machine.boot_time, "the server booted"
    return {
        "action": fault.action,
        "resource": machine.pop_service if fault.action == "RestartService" else machine.name.partition(".")[0],
        "started": shown(machine, begun),
        "ended": shown(machine, ended),
        "expected_end": shown(machine, expected),
        "result": result,
    }


def log_writer(simulation: Simulation, machine: Machine) -> LogWriter:
    """How a server writes its protocol log now."""
    mailbox = [other.name for other in simulation.organisation.machines.values() if other.mailbox]
    backend = machine.backend or machine
    ctp = next((monitor for monitor in machine.monitors if monitor.name == CTP_MONITOR), None)
    served = ctp is None or not machine.sick(ctp)
    differ = machine.faults.get(Fault.LOG_COLUMNS_DIFFER)
    columns = {"order": OTHER_COLUMNS, "twelve": COLUMNS[:-1]}
    return LogWriter(
        server=machine.name,
        domain=DOMAIN,
        probe=probe_session(machine, simulation.timeline.now(), served=served),
        others=[name for name in mailbox if name != backend.name],
        skew=machine.skew,
        columns=COLUMNS if differ is None else columns.get(differ.form, COLUMNS),
        short_lines=differ is not None and differ.form == "short_lines",
    )


def probe_session(machine: Machine, at: datetime, *, served: bool) -> Session:
    """A probe's session, as the front end writes it."""
    user = f"HealthMailbox{zlib.crc32(machine.name.encode()):08x}@{DOMAIN}"
    backend = machine.backend or machine
    named = "" if Fault.LOG_NAMES_NOBODY in machine.faults else backend.name
    return Session(at, user, named, Logon.SERVED if served else _failure(machine, backend))


def _failure(machine: Machine, backend: Machine) -> Logon:
    """How the logon of a failing probe ends. The front end's own sickness shows on the way to the back end."""
    nobody, incurable = machine.faults.get(Fault.LOG_NAMES_NOBODY), machine.faults.get(Fault.INCURABLE)
    if nobody is not None:
        return Logon.REFUSED if nobody.form == "refused" else Logon.TIMED_OUT
    if incurable is not None and incurable.reason in _OF_THE_LOGON:
        return Logon.REFUSED
    behind = Fault.BACKEND_SICK in machine.faults and any(map(backend.hangs, backend.back_end_monitors))
    return Logon.TIMED_OUT if behind else Logon.NOT_PROXIED


async def protocol_log(call: ScriptCall) -> Result:
    """The executing server's protocol log between two moments of its own clock, of the sessions of some users."""
    machine = call.executor
    if call.text("folder").rstrip("\\").lower() != FOLDER.lower() or FRONT_END not in machine.services:
        raise Refusal("not_found", f"This server has no folder {call.text('folder')}.")
    since, until = _moment(call, "since"), _moment(call, "until")
    users = call.args.get("users")
    if not isinstance(users, list) or not users:
        raise Refusal("broken", "The argument users must be a list of patterns.")
    now = call.simulation.timeline.now()
    wide = timedelta(minutes=2)  # a file holds more than what is asked for
    files = machine.pop_log.files(
        now, since - machine.skew - wide, until - machine.skew + wide, log_writer(call.simulation, machine)
    )
    front = [file for file in files if file.series == FRONT]
    return _select(front, since, until, [str(user).lower() for user in users])


def _moment(call: ScriptCall, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(call.text(name))
    except ValueError:
        raise Refusal("broken", f"The argument {name} is not a time in ISO 8601.") from None
    if moment.tzinfo is None:
        raise Refusal("broken", f"The argument {name} has no offset from UTC.")
    return moment


Row = dict[str, str]


def _select(files: Sequence[File], since: datetime, until: datetime, users: Sequence[str]) -> Result:
    """The rows of the users' sessions. A session is one of a series, between two starts of its service."""
    columns: tuple[str, ...] = ()
    found: list[tuple[tuple[str, str, int], Row]] = []
    last: dict[tuple[str, str], int] = {}
    starts: Counter[tuple[str, str]] = Counter()
    for file in files:
        names, rows = _rows(file.text)
        columns = columns or names
        for row in rows:
            if since <= datetime.fromisoformat(row["dateTime"]) <= until:
                key, number = (file.series, row["sessionId"]), int(row["seqNumber"])
                starts[key] += key in last and number <= last[key]
                last[key] = number
                found.append(((*key, starts[key]), row))
    own = {session for session, row in found if _of(users, row)}
    wanted = [[row.get(column, "") for column in columns] for session, row in found if session in own]
    sent: list[list[str]] = []
    size = 0
    for cells in wanted:
        size += sum(len(cell) for cell in cells)
        if len(sent) >= _MOST_ROWS or size > _MOST_CHARACTERS:
            break
        sent.append(cells)
    return {"files": len(files), "columns": columns, "rows": sent, "truncated": len(sent) < len(wanted)}


def _rows(text: str) -> tuple[tuple[str, ...], list[Row]]:
    """The names of a file's columns, and its lines by them; some lines leave out their last cell."""
    lines = text.splitlines()
    head = next(line for line in lines if line.startswith("#Fields: "))
    columns = tuple(head.removeprefix("#Fields: ").split(","))
    cells = csv.reader(line for line in lines if not line.startswith("#"))
    return columns, [dict(zip_longest(columns, each, fillvalue="")) for each in cells]


def _of(users: Sequence[str], row: Row) -> bool:
    """Whether a line is of one of the users: logged on as one, or refused before that was known, and from here."""
    named = row["user"] or (row["parameters"] if row["cIp"].startswith(("127.", "[::1]")) else "")
    return any(fnmatchcase(named.lower(), user) for user in users)
