"""One branch in a world of its own: lab, broker and the doomed daemon, played to its end and reported as facts."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.app.offline import verify_audit
from daemon.config.settings import load_settings
from daemon.domain.incidents import Key, UndoStatus
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from tests.acceptance.driven import CLOCK
from tests.acceptance.scenarios import Scenario, differences
from tests.acceptance.site import SPEED, Messages, Site, assert_same
from tests.chaos.clock import Forward, ForwardLabClock
from tests.chaos.doomed import TRACE
from tests.chaos.judge import Effect, End, Facts
from tests.chaos.points import Point, read
from tests.realparts.mosquitto import Mosquitto


class Nursery:
    """The process that forks daemons; see `tests.chaos.doomed`. It ends with us, by the end of its standard input."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.doomed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._child = 0

    async def _line(self) -> int:
        assert self._process.stdout
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line, "the process that forks daemons has ended"
        return int(line)

    async def start(self, **order: str) -> None:
        """Start a daemon."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._child = await self._line()

    async def ended(self) -> int:
        """How the daemon ended, once it has: its exit code, or minus the signal."""
        code = await self._line()
        self._child = 0
        return code

    def kill(self) -> None:
        """Kill the daemon."""
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self.kill()
        with self._process as process:
            assert process.stdin
            process.stdin.close()


@dataclass(frozen=True, slots=True)
class Played:
    """A run: what is to be judged, and which points were passed. `died`: the ordered kill happened."""

    facts: Facts
    points: Sequence[Point]
    died: bool
    wrong: Sequence[str] = ()  #: in what an undisturbed run is not as its scenarios want it


class Run:
    """One run of one branch. `deadly` is the name of the point at which the daemon is killed, "" for none."""

    def __init__(self, directory: Path, lab: Lab, broker: Mosquitto, branch: Sequence[Scenario], deadly: str) -> None:
        self._directory = directory
        self._site = Site(directory, lab, broker)
        self._branch = branch
        self._deadly = deadly
        # Two looks that fail are enough, and a held incident asks hourly: fewer calls.
        self._site.configure(
            monitor_wait=480.0, probe_failures=2, probe_span=60.0, send_window=300.0, hold_recheck=3600.0
        )

    async def play(self, nursery: Nursery) -> Played:
        """Play it, with the death that was ordered, and collect the facts."""
        site = self._site
        for scenario in self._branch:
            scenario.break_servers(site)
        wrong: list[str] = []
        async with site.messages() as heard:
            life = _Life(site, nursery, {"directory": str(self._directory), "config": str(site.config)}, self._log())
            await life.start(self._deadly)
            try:
                # Before its first subscription the broker would not keep an alert for it.
                await life.until(lambda: b"online" in heard.on("exmedic/status"), "it is online")
                for scenario in self._branch:
                    await scenario.alert(site)
                database = site.directory / "data" / "exmedic.db"
                await life.until(lambda: _is_over(database, len(self._branch)), "every incident has ended")
                await site.eventually(
                    lambda: max(_made(database)) in _heard(heard), "the bus has brought the last message"
                )
                facts = await collect(site, self._branch, heard, self._log())
                if not self._deadly:
                    wrong = await self._wrong(heard)
            finally:
                await life.end()
        return Played(facts, read((self._directory / TRACE).read_text().splitlines()), life.died, wrong)

    async def _wrong(self, heard: Messages) -> list[str]:
        """In what it is not as its scenarios want it."""
        escalations = heard.objects("exmedic/escalations")
        pages = {Key.of(page["server"], page["health_set"], page["monitor"]): str(page["text"]) for page in escalations}
        incidents = {incident.key: incident for incident in await self._site.incidents()}
        found = []
        for scenario in self._branch:
            incident = incidents[scenario.key]
            found += await differences(self._site, scenario, incident, pages.get(scenario.key, ""))
        return found

    def _log(self) -> Path:
        return self._directory / "daemon.log"


class _Life:
    """The daemon's life, or lives: one that was ordered to die is started once more."""

    def __init__(self, site: Site, nursery: Nursery, order: Mapping[str, str], log: Path) -> None:
        self._site = site
        self._nursery = nursery
        self._order = order
        self._log = log
        self._deadly = ""
        self._ending: asyncio.Task[int] | None = None
        self.died = False

    async def start(self, deadly: str) -> None:
        """Start it, to die at that point if one is named."""
        self._deadly = deadly
        self._site.nobody_runs()
        await self._nursery.start(**self._order, log=str(self._log), deadly=deadly)
        self._ending = asyncio.create_task(self._nursery.ended())

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait, with its death and its second life in between if it comes to that."""

        async def so() -> bool:
            await self._revive()
            return condition()

        await self._site.eventually(so, f"{what}; its log: {self._log}")

    async def _revive(self) -> None:
        if self._ending is None or not self._ending.done():
            return
        code = self._ending.result()
        assert self._deadly, f"it ended by itself with {code}"
        assert code == -signal.SIGKILL, f"it ended by itself with {code}"
        self.died = True
        await self.start("")

    async def end(self) -> None:
        """Kill it if it still lives."""
        self._nursery.kill()
        if self._ending is not None:
            await self._ending


def _is_over(database: Path, alerts: int) -> bool:
    """Whether all alerts are routed, no incident is open, and nothing waits to go out."""
    try:
        with contextlib.closing(_reading(database)) as store:
            found = store.execute(_OVER).fetchone()
    except sqlite3.OperationalError:  # it is not there yet, or recovers from the kill
        return False
    return bool(found == (alerts, 0, 0, 0, 0))


_OVER = """
SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM alerts WHERE status = 'pending'),
    (SELECT count(*) FROM incidents WHERE status = 'open'), (SELECT count(*) FROM outbox),
    (SELECT max(seq) FROM audit) - (SELECT coalesce(max(seq), 0) FROM cursors WHERE name = 'journal')
"""


def _reading(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True)


def _made(database: Path) -> frozenset[int]:
    """The numbers of all messages to the bus that were ever put into the outbox, from which they are deleted.

    Those to humans share the numbers, and each leaves an audit row when it is over.
    """
    with contextlib.closing(_reading(database)) as store:
        (last,) = store.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        rows = store.execute("SELECT fields FROM audit WHERE kind IN ('notified', 'not_notified')").fetchall()
    return frozenset(range(1, last + 1)) - {json.loads(fields)["outbox_seq"] for (fields,) in rows}


def _heard(heard: Messages) -> frozenset[int]:
    numbers = [json.loads(payload).get("seq") for topic, payload in heard.all if payload.startswith(b"{")]
    return frozenset(number for number in numbers if number is not None)


def _emitted(log: Path) -> frozenset[tuple[int, str]]:
    """Audit rows on the daemon's standard output."""
    rows = [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"time"')]
    return frozenset((row["audit_seq"], row["audit_hash"]) for row in rows if "audit_seq" in row)


def _internal_errors(log: Path) -> tuple[str, ...]:
    return tuple(line for line in log.read_text().splitlines() if '"internal_error"' in line)


def _changed(site: Site) -> frozenset[tuple[str, str]]:
    """What the lab itself shows changed."""
    found = set()
    with site.lab.simulation.timeline.up_to_date():
        for name, machine in site.lab.simulation.organisation.machines.items():
            shown = {
                "activation": machine.activation_blocked and Fault.MAINTENANCE not in machine.faults,
                "protocol_log": machine.pop_log.enabled,
                "pop_restart": machine.pop_log.writes,
                "pop_restart_back_end": machine.pop_log.writes,
            }
            found |= {(name, setting) for setting, is_so in shown.items() if is_so}
    return frozenset(found)


async def collect(site: Site, branch: Sequence[Scenario], heard: Messages, log: Path) -> Facts:
    """The facts of a run that is over."""
    incidents = {incident.id: incident for incident in await site.incidents()}
    steps = {step.id: step for incident in incidents.values() for step in await site.steps(incident)}
    database = site.directory / "data" / "exmedic.db"
    async with site.store() as store:
        items = [item for each in incidents for item in await store.undo_items(each)]
        imbalance = (await store.ledger()).imbalance
        rows = await store.audit_after(0, 100_000)
        quarantines = [each.server for each in await store.quarantines()]
    verdict = await verify_audit(load_settings(site.config), journal=False)
    with contextlib.closing(_reading(database)) as reading:
        claims = [str(scope) for (scope,) in reading.execute("SELECT scope FROM claims")]
        alerts = int(reading.execute("SELECT count(*) FROM alerts").fetchone()[0])
    effects = []
    for done in site.lab.effects():
        step = steps.get(done.step)
        whose = str(incidents[step.incident_id].key) if step else "nobody"
        setting = str(step.params.get("item", "")).rpartition(".")[2] if step else ""
        rung = f"{step.state} {setting}".strip() if step else "nowhere"
        effects.append(Effect(whose, rung, done.effect, done.server, bool(setting)))
    left = {(item.server, item.setting) for item in items if item.status is UndoStatus.LEFT}
    disagreement = ""
    try:
        assert_same(site.lab, steps.values(), frozenset(i.id for i in items if i.status is UndoStatus.LEFT))
    except AssertionError as error:
        disagreement = str(error)
    return Facts(
        wanted=frozenset(str(scenario.key) for scenario in branch),
        ends={str(each.key): End(each.status.value, each.reason) for each in incidents.values()},
        effects=tuple(effects),
        left=frozenset(left),
        changed=_changed(site),
        pending=frozenset((item.server, item.setting) for item in items if item.status is UndoStatus.PENDING),
        claims=tuple(claims),
        quarantines=tuple(quarantines),
        imbalance=imbalance,
        audit="" if verdict.good else verdict.text,
        disagreement=disagreement,
        chain={row.seq: row.hash for row in rows},
        emitted=_emitted(log),
        made=_made(database),
        heard=_heard(heard),
        alerts=alerts,
        internal_errors=_internal_errors(log),
    )


@contextlib.contextmanager
def world(directory: Path) -> Iterator[tuple[Lab, Mosquitto]]:
    """A lab and a broker of their own."""
    directory.mkdir(parents=True)
    broker = Mosquitto(directory / "mosquitto")
    try:
        with Lab(directory, ForwardLabClock(SPEED, Forward(directory / CLOCK))) as lab:
            yield lab, broker
    finally:
        broker.stop()


async def play(directory: Path, branch: Sequence[Scenario], deadly: str, nursery: Nursery) -> Played:
    """One run in a world of its own, in a directory that does not exist yet."""
    with world(directory) as (lab, broker):
        return await Run(directory, lab, broker, branch, deadly).play(nursery)
