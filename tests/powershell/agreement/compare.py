"""Plays a call in the lab and by the real script over the stubs, and tells where the answers differ."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.exchange import launch
from daemon.lab.lab import Lab
from daemon.lab.organisation import contoso
from daemon.lab.pwsh.shell import Ended, Shell
from daemon.lab.pwsh.world import Database, Server, Site, world_of
from tests.lab.hand_clock import EagerClock
from tests.lab.winrm_client import Client, Output
from tests.powershell.agreement.state import Asked, Comparison, fqdn
from tests.powershell.organisation import ago, at_last

STEP = "i7.3"
#: Two calls of the same thing are not made at the same moment.
_SECONDS_APART = 45
_LONG_AGO = timedelta(days=1)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_TOOK = re.compile(r"It took \d+ s\.")
_MAILBOX = re.compile(r"HealthMailbox[0-9a-f]+")
_GUID = re.compile(r"\b[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)


@dataclass(frozen=True)
class Told:
    """What came of a call: the answer, moments as ages; what was changed; whether the step left its mark."""

    answer: Any
    effects: tuple[str, ...]
    marked: bool


def site_of_the_lab(username: str, password: str) -> Site:
    """The lab's organisation as an inventory has it."""
    organisation = contoso(datetime.now(UTC))
    return Site(
        servers=[
            Server(
                name=machine.name,
                site=machine.site,
                mailbox=machine.mailbox,
                client_access="client_access" in machine.roles,
                dag=machine.dag,
            )
            for machine in organisation.machines.values()
        ],
        databases=[
            Database(name=database.name, servers=[name.partition(".")[0].upper() for name in database.copies])
            for database in organisation.databases.values()
        ],
        username=username,
        password=password,
    )


def by_the_lab(comparison: Comparison, folder: Path) -> Told:
    """What the lab says and does."""
    clock = EagerClock()
    lab = Lab(folder, clock)
    clock.timeline = lab.simulation.timeline
    with lab:
        for broken in comparison.state.broken:
            lab.break_server(fqdn(broken.server), broken.fault, **broken.options)
        for asked in comparison.state.first:
            _call(lab, asked, "i7.1")
        clock.advance(lab.simulation, comparison.state.passes)
        before = len(lab.effects())
        executor = comparison.asked.executor
        output = _call(lab, comparison.asked, STEP)
        return Told(
            _told(output.exit_code, output.stdout),
            tuple(f"{effect.effect} {effect.server}" for effect in lab.effects()[before:]),
            (fqdn(executor), STEP) in lab.simulation.marks,
        )


def _call(lab: Lab, asked: Asked, step: str) -> Output:
    now = lab.clock.now() + lab.simulation.machine(fqdn(asked.executor)).skew
    wrong = "not the password" if asked.logon == "wrong" else None
    client = Client(lab, logon=asked.logon != "none", second_hop_password=wrong)
    return client.call(asked.executor, asked.script, step, **at_last(dict(asked.args), now))


#: What the lab's record calls the effects of the stubs' journal; a stop and the start after it are one restart.
_NAMES = {
    ("DatabaseCopyActivationDisabledAndMoveNow", "True"): "stop_activation",
    ("DatabaseCopyActivationDisabledAndMoveNow", "False"): "allow_activation",
    ("ProtocolLogEnabled", "True"): "protocol_log_on",
    ("ProtocolLogEnabled", "False"): "protocol_log_off",
}


def by_the_script(comparison: Comparison, shell: Shell, folder: Path) -> Told:
    """What the real script says and does over the stubs."""
    folder.mkdir()
    host = fqdn(comparison.asked.executor)
    site = site_of_the_lab("CONTOSO\\exmedic", "Pa55-of-the-lab")
    world = world_of(site, host=host)
    for row in world["exchange"]["MonitoringProbeResult"]:
        row.update(ExecutionStartTime=ago(2), ExecutionEndTime=ago(0))  # it runs when it is asked for
    comparison.state.world(world)
    name, args = comparison.asked.script, at_last(dict(comparison.asked.args))
    password = site.password if comparison.asked.logon == "right" else "not the password"
    logon = None if comparison.asked.logon == "none" else launch.Logon(site.username, password)
    ended = shell.run(launch.launch(name, STEP, args, logon), at_last(world), folder)
    marks = [path for path in (folder / "ProgramData").rglob("*") if path.is_file()]
    return Told(_told(ended.exit_code, ended.stdout), tuple(dict.fromkeys(_effects(ended, host))), bool(marks))


def _effects(ended: Ended, host: str) -> Iterator[str]:
    stopped = any(line["effect"] == "stop" for line in ended.effects)
    for line in ended.effects:
        kind = str(line["effect"])
        if kind == "set":
            yield f"{_NAMES[str(line['property']), str(line['value'])]} {line['server']}"
        elif kind == "stop" or (kind == "start" and not stopped):
            yield f"restart {host}"
        elif kind != "start":
            yield f"{kind} {line['server']}"


def _told(exit_code: int, stdout: bytes) -> Any:  # noqa: ANN401 - any JSON
    if exit_code != 0:
        return {"exit_code": exit_code}
    envelope = json.loads(stdout)
    clock = datetime.fromisoformat(envelope["clock"])
    kept = {name: envelope[name] for name in ("host", "ok", "result", "error")}
    return _plain(kept, clock)


def _plain(value: Any, clock: datetime) -> Any:  # noqa: ANN401 - any JSON
    """The same without what differs each time: moments become ages, ids their form."""
    if isinstance(value, Mapping):
        told = {name: _plain(each, clock) for name, each in value.items()}
        if "pid" in told:
            told["pid"] = "a process" if told["pid"] else "none"
        return {**told, **_log(told)} if "columns" in told else told
    if isinstance(value, list):
        return [_plain(each, clock) for each in value]
    if not isinstance(value, str):
        return value
    if _MOMENT.fullmatch(value):
        return _age(clock - datetime.fromisoformat(value))
    return _TOOK.sub("It took some seconds.", _GUID.sub("a GUID", value))


_NUMBERED = (("sessionid", "session {}"), ("cip", "127.0.0.1:{}"))


def _log(told: dict[str, Any]) -> dict[str, Any]:
    """The rows of a log, with what is any number there in the order in which it comes first."""
    columns, rows = [name.lower() for name in told["columns"]], [list(row) for row in told["rows"]]
    for name, form in _NUMBERED if rows else ():
        at = columns.index(name)
        known: dict[str, str] = {}
        for row in rows:
            row[at] = known.setdefault(row[at], form.format(len(known) + 1))
    return {
        "rows": [
            [_MAILBOX.sub("HealthMailbox", cell) if isinstance(cell, str) else cell for cell in row] for row in rows
        ]
    }


@dataclass(frozen=True)
class Age:
    """Seconds before the answer; below zero after it."""

    seconds: float

    def like(self, other: "Age") -> bool:
        """Whether both may be the same moment, told by two calls."""
        return abs(self.seconds - other.seconds) <= _SECONDS_APART


def _age(span: timedelta) -> Age | str:
    if abs(span) > _LONG_AGO:
        return "days ago" if span > timedelta(0) else "in days"
    return Age(span.total_seconds())


def differences(lab: Told, script: Told) -> dict[str, tuple[Any, Any]]:
    """By path: what the lab says there, and what the script says."""
    found = dict(_differences("answer", lab.answer, script.answer))
    if lab.effects != script.effects:
        found["effects"] = (lab.effects, script.effects)
    if lab.marked != script.marked:
        found["marked"] = (lab.marked, script.marked)
    return found


def _differences(path: str, lab: Any, script: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:  # noqa: ANN401 - any JSON
    if isinstance(lab, dict) and isinstance(script, dict):
        for name in [*lab, *(name for name in script if name not in lab)]:
            yield from _differences(f"{path}.{name}", lab.get(name, "(none)"), script.get(name, "(none)"))
    elif isinstance(lab, list) and isinstance(script, list) and len(lab) == len(script):
        for number, (one, other) in enumerate(zip(lab, script, strict=True)):
            yield from _differences(f"{path}[{number}]", one, other)
    elif isinstance(lab, Age) and isinstance(script, Age):
        if not lab.like(script):
            yield path, (lab, script)
    elif type(lab) is not type(script) or lab != script:
        yield path, (lab, script)
