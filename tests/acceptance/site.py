"""The whole of a site for one test: a lab, a real broker, and the daemon as a process of its own.

Nothing here looks inside the daemon: it is watched by its store, its topics, its notification socket and its log.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.app.offline import reading, verify_audit
from daemon.config.settings import load_settings
from daemon.domain.audit import AuditKind, AuditRow
from daemon.domain.incidents import Incident, IncidentStatus, Key, Step, StepStatus, UndoStatus
from daemon.domain.store import Store
from daemon.lab.faults import Fault
from daemon.lab.lab import Lab
from daemon.runtime.tasks import cancel
from statemachines.actions import Effect
from tests.acceptance.driven import SILENT, TERMINAL, DaemonProcess, Exmedic
from tests.chaos.clock import ForwardLabClock
from tests.realparts.mosquitto import Mosquitto
from tests.realparts.waiting import HANG, eventually

#: What the lab calls the effect of each action.
EFFECTS = {
    "restart_service": "restart",
    "stop_activation": "stop_activation",
    "reboot": "reboot",
    "protocol_log_on": "protocol_log_on",
    "protocol_log_off": "protocol_log_off",
}
#: And putting a setting back.
PUT_BACK = {
    "activation": "allow_activation",
    "protocol_log": "protocol_log_off",
    "pop_restart": "restart",
    "pop_restart_back_end": "restart",
}
MONITOR = "PopDeepTestMonitor"
SPEED = 10.0  #: of the lab's clock, while it is not put forward
#: Real seconds for a call: only a hang lasts so long. With WinRM's idle time it is shorter than any effect's deadline.
PATIENCE = 120.0
BETWEEN_LOOKS = 0.1  #: real seconds between looks whether it is so, while the daemon is at work
CALL_TIMEOUT = 3.0  #: real seconds for one on a clock that only runs fast: what takes longer never comes


def fqdn(server: str) -> str:
    """The lab's full name of a server."""
    return f"{server}.contoso.lab"


@dataclass(slots=True)
class Messages:
    """What a test's own client heard on the bus, in order."""

    all: list[tuple[str, bytes]] = field(default_factory=list)

    def on(self, topic: str) -> list[bytes]:
        """The payloads of one topic."""
        return [payload for heard, payload in self.all if heard == topic]

    def objects(self, topic: str) -> list[dict[str, Any]]:
        """The payloads of one topic, as JSON objects."""
        return [json.loads(payload) for payload in self.on(topic)]


class Site:
    """The parts of one test. The daemon runs on the lab's clock, which the test drives if it can be put forward."""

    def __init__(self, directory: Path, lab: Lab, broker: Mosquitto) -> None:
        self.directory = directory
        self._clock = lab.clock.forward if isinstance(lab.clock, ForwardLabClock) else None
        self._passed = 0.0  #: the last idle time of the daemon that was passed over
        self.lab = lab
        self.broker = broker
        self.config = lab.write_site(directory, broker.port)
        patience = PATIENCE if self._clock else CALL_TIMEOUT
        self._tables: dict[str, dict[str, object]] = {
            "winrm": {
                "call_timeout": patience,
                "probe_timeout": patience,
                "effect_timeout": patience,
                "connect_timeout": patience,
            },
            # A busy machine takes long from the first fact to the sending.
            "timing": {"send_window": 1200.0, "probe_span": 60.0, "facts_age": PATIENCE, "slow_facts_age": PATIENCE},
        }
        self._written = self.config.read_text("utf-8")
        self.configure()
        self.environment: dict[str, str] = {}
        self.user: list[str] = []  #: what is put in front of the daemon's command, to run it as another user
        self._daemons: list[DaemonProcess] = []

    def configure(self, *replacements: tuple[str, str], **timing: float) -> None:
        """Change exmedic.toml: texts of the lab's for others, and settings of the section `timing`."""
        for old, new in replacements:
            assert old in self._written
            self._written = self._written.replace(old, new)
        self._tables["timing"].update(timing)
        lines = [self._written]
        for table, values in self._tables.items():
            lines += [f"[{table}]", *(f"{name} = {value}" for name, value in values.items())]
        self.config.write_text("\n".join(lines), "utf-8")
        load_settings(self.config)

    def expect_answers_within(self, seconds: float) -> None:
        """How long a call may take, in real seconds."""
        self._tables["winrm"].update({"call_timeout": seconds, "probe_timeout": seconds, "effect_timeout": seconds})
        self.configure()

    def route(self, urls: Mapping[str, str]) -> None:
        """Let the inventory name other endpoints for these servers."""
        inventory = self.directory / "inventory.toml"
        text = inventory.read_text("utf-8")
        for server, url in urls.items():
            text = text.replace(self.lab.endpoints[server], url)
        inventory.write_text(text, "utf-8")

    async def daemon(self, *, ready: bool = True) -> DaemonProcess:
        """Start the daemon; it is ready when this returns, unless that is not waited for."""
        log = self.directory / f"daemon-{len(self._daemons) + 1}.log"
        self.nobody_runs()
        started = DaemonProcess(self.config, log, self.environment, self.user, driven=self.driven)
        self._daemons.append(started)
        if ready:
            await started.ready()
        return started

    def close(self) -> None:
        """End what still runs."""
        for daemon in self._daemons:
            daemon.close()

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run `exmedic` with this site's configuration; exit code and all it printed."""
        said = self.directory / f"command-{uuid.uuid4().hex}.txt"
        running = Exmedic([*arguments, "--config", str(self.config)], self.directory, said, TERMINAL)
        await eventually(lambda: running.poll() is not None, f"`exmedic {' '.join(arguments)}` ends")
        return running.wait(HANG), said.read_text("utf-8")

    # Time

    @property
    def driven(self) -> bool:
        """Whether the test drives the clock, and says when the deadlines of calls pass."""
        return self._clock is not None

    async def eventually(self, condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        """Wait for a condition, and let lab time pass while the daemon has nothing to do and the condition is false."""
        if self._clock is None:
            await eventually(condition, what)
            return
        clock, looked = self._clock, 0.0

        async def look() -> bool:
            nonlocal looked
            idle = clock.idle
            waits = idle is not None and idle[0] != self._passed
            if not waits and time.monotonic() < looked + BETWEEN_LOOKS:
                return False
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return True
            looked = time.monotonic()
            if idle and waits and idle == clock.idle:
                self._passed, due = idle
                clock.add(max(0.0, due - self.lab.clock.now().timestamp()))
            return False

        await eventually(look, what)

    def nobody_runs(self) -> None:
        """Forget when the daemon that ran before had its next work."""
        if self._clock:
            self._clock.tell_busy()

    def pass_time(self, seconds: float) -> None:
        """Put the lab's clock forward, whatever the daemon does."""
        assert self._clock, "the clock of this site is not driven"
        self._clock.add(seconds)

    def pass_deadlines(self) -> None:
        """Let the deadlines of all calls under way pass now."""
        assert self._clock, "the clock of this site is not driven"
        self._clock.give_up()

    def silence(self, server: str) -> None:
        """Let a server accept connections and say nothing from now on; nobody waits long for it."""
        self.lab.break_server(server, Fault.SILENT_ENDPOINT)
        with (self.directory / SILENT).open("a") as file:
            file.write(f"{fqdn(server)}\n")

    # Alerts

    async def alert(self, *servers: str, **changes: object) -> None:
        """Publish an alert of each server, each a new one unless `id` and `raised_at` say otherwise.

        A field that is None is left out.
        """
        now = datetime.now(UTC).isoformat()
        bodies = [
            {
                "id": str(uuid.uuid4()),
                "server": server,
                "health_set": "POP.Protocol",
                "monitor": MONITOR,
                "raised_at": now,
                "summary": "an acceptance test says so",
                **changes,
            }
            for server in servers
        ]
        told = [{name: value for name, value in body.items() if value is not None} for body in bodies]
        await self.broker.publish_all([("alerts/exmedic/test", json.dumps(body)) for body in told])

    @contextlib.asynccontextmanager
    async def messages(self) -> AsyncIterator[Messages]:
        """Everything the daemon publishes from now on, retained messages first."""
        heard = Messages()
        async with self.broker.listen("exmedic/#") as inbox:

            async def collect() -> None:
                while True:
                    heard.all.append(await inbox.get())

            collecting = asyncio.create_task(collect())
            try:
                yield heard
            finally:
                await cancel(collecting)

    # What the store says

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The daemon's store, to read."""
        async with reading(load_settings(self.config)) as store:
            yield store

    async def incidents(self) -> list[Incident]:
        """All incidents, oldest first."""
        async with self.store() as store:
            return list(reversed(await store.incidents()))

    async def incident(self, server: str, monitor: str = MONITOR) -> Incident:
        """The only incident of a monitor of a server. Its other monitors may have their own."""
        key = Key.of(fqdn(server), "POP.Protocol", monitor)
        (found,) = [incident for incident in await self.incidents() if incident.key == key]
        return found

    async def steps(self, incident: Incident) -> list[Step]:
        """Its steps."""
        async with self.store() as store:
            return await store.steps(incident.id)

    async def audit(self, kind: AuditKind | None = None) -> list[AuditRow]:
        """The audit trail, or its rows of one kind."""
        async with self.store() as store:
            rows = await store.audit_after(0, 10_000)
        return [row for row in rows if kind is None or row.entry.kind is kind]

    async def until(self, condition: Callable[[Store], Awaitable[bool]], what: str) -> None:
        """Wait until the store shows something."""
        async with self.store() as store:
            await self.eventually(lambda: condition(store), what)

    async def until_ended(self, *servers: str) -> None:
        """Wait until the incident of each of these servers has ended, but not for those of its other monitors."""
        keys = {server: Key.of(fqdn(server), "POP.Protocol", MONITOR) for server in servers}
        seen: dict[str, str] = {}

        async def ended(store: Store) -> bool:
            found = {incident.key: incident for incident in await store.incidents()}
            wanted = [found.get(key) for key in keys.values()]
            seen.update({i.server: f"{i.status} {i.state} {i.waiting_for}" for i in wanted if i is not None})
            return all(incident is not None and incident.status is not IncidentStatus.OPEN for incident in wanted)

        try:
            await self.until(ended, f"{', '.join(servers)} ended")
        except AssertionError as error:
            raise AssertionError(f"{error}; {seen}") from None

    # What the lab says

    def effects(self, server: str) -> list[str]:
        """What was done to a server, by the lab's own record, in order."""
        return [effect.effect for effect in self.lab.effects() if effect.server == fqdn(server)]

    def restarted(self, server: str) -> bool:
        """Whether no service of a server is on its way down or up: what was begun is carried out."""
        with self.lab.simulation.timeline.up_to_date():
            machine = self.lab.simulation.machine(server)
            return machine.runs(*machine.services)

    def effects_of(self, incident: Incident) -> list[str]:
        """What one incident did to its server, by the lab's own record, in order."""
        return [effect.effect for effect in self.lab.effects() if effect.step.startswith(f"{incident.id}-")]

    async def agrees(self) -> None:
        """The lab's record and the store's steps tell the same, action by action, and the audit trail is whole."""
        incidents = await self.incidents()
        steps = [step for incident in incidents for step in await self.steps(incident)]
        async with self.store() as store:
            items = [item for incident in incidents for item in await store.undo_items(incident.id)]
        assert_same(self.lab, steps, frozenset(item.id for item in items if item.status is UndoStatus.LEFT))
        intents = {row.entry.fields["step"] for row in await self.audit(AuditKind.INTENT)}
        assert {effect.step for effect in self.lab.effects()} <= intents
        verdict = await verify_audit(load_settings(self.config), journal=False)
        assert verdict.good, verdict.text


async def has_open_step(store: Store, server: str, action: str) -> bool:
    """Whether a step of that action on that server waits for its outcome."""
    for incident in await store.incidents(IncidentStatus.OPEN):
        step = await store.open_step(incident.id)
        if incident.server == fqdn(server) and step is not None and step.action == action:
            return True
    return False


def assert_same(lab: Lab, steps: Iterable[Step], left: frozenset[str]) -> None:
    """Compare the lab's record with the steps, of which each that is proven to have happened must be in it once.

    A step whose outcome is unknown, or that the server said no to, may have begun: it may be in the record. So may one
    that was to put back what is `left` changed.
    """
    seen: Counter[tuple[str, str, str]] = Counter((e.step, e.effect, e.server) for e in lab.effects())
    told: Counter[tuple[str, str, str]] = Counter()
    perhaps: Counter[tuple[str, str, str]] = Counter()
    for step in steps:
        tried = step.status is not StepStatus.WITHDRAWN and step.outcome != "refused"
        if step.effect is not Effect.READ and step.executor and tried:
            proven = step.status is StepStatus.DONE and step.outcome not in {"unknown", "failed"}
            if step.action == "undo":
                proven = proven and step.params["item"] not in left
            (told if proven else perhaps)[step.id, effect_of(step), step.server] += 1
    assert not seen - told - perhaps, "in the lab's record only"
    assert not told - seen, "in the store only"


def effect_of(step: Step) -> str:
    """What the lab calls what a step did."""
    return EFFECTS[step.action] if step.action != "undo" else PUT_BACK[step.params["item"].rpartition(".")[2]]


def command(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run `exmedic` as a user would; exit code and all it printed, at a terminal of 80 columns."""
    with subprocess.Popen(
        [sys.executable, "-m", "daemon", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **TERMINAL, **(environment or {})},
        text=True,
    ) as running:
        try:
            text, _ = running.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            running.terminate()  # not killed: it may have children of its own to stop
            text, _ = running.communicate(timeout=HANG)
            raise AssertionError(f"`exmedic {' '.join(arguments)}` hangs:\n{text}") from None
    return running.returncode, text
