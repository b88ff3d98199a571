"""The rules that never break, checked against the model's own truth whenever anything happens, and at the end.

Of rule 11 (secrets) only what a failing probe tells is looked for: our own passwords do not exist in a simulation.
docs/guarantees.md names the tests that hold it.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.config.guardrails import Budgets
from daemon.domain.audit import GENESIS, AuditKind, chain_hash
from daemon.domain.incidents import Incident, IncidentStatus, Step, StepStatus, UndoStatus
from daemon.domain.inventory import scopes
from daemon.domain.ports import Call
from daemon.exchange.launch import NAMES
from daemon.lab.faults import Fault
from daemon.lab.handlers import PROBE_PASSWORD
from daemon.lab.organisation import Machine, Monitor
from daemon.lab.record import RecordedEffect
from daemon.remediation.guardrails.budgets import limits
from daemon.simulation.objections import objections
from daemon.simulation.pace import Pace
from daemon.simulation.pauses import Pauses
from daemon.simulation.story import Break, Cure
from daemon.simulation.unseen import unseen
from daemon.simulation.world import START, Watcher, World
from statemachines.actions import ACTIONS, Disruption, Effect

#: What the model calls the effect of an action, and putting a setting back where that is no restart.
EFFECTS = {name: name for name, spec in ACTIONS.items() if spec.effect is not Effect.READ and not spec.puts_back}
EFFECTS |= {"restart_service": "restart"}
PUT_BACK = {"activation": "allow_activation", "protocol_log": "protocol_log_off"}
CANARY = "$(Restart-Computer)"  #: in the text of every alert: it must never be in a call
NEVER = "-"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken: its number in the design (0: the daemon fell over), when, and how."""

    rule: int
    at: float
    text: str

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.text}"


class Rules(Watcher):
    """Watches a world, and stops its daemon at the first violation. `violations` holds what was found."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: set[tuple[int, str]] = set()
        self._acknowledged = 0
        self._pauses = Pauses()
        self._done: Counter[tuple[str, str]] = Counter()  # effects by step and kind
        self._happened: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)  # by effect
        self._spent: defaultdict[Disruption, list[tuple[datetime, str]]] = defaultdict(list)
        self._broke: set[str] = set()  # steps whose script failed by itself before it had done anything
        self._ended: set[str] = set()
        self._audited = 0
        self._opened = 0
        self._watched: dict[tuple[str, str], tuple[Machine, Monitor]] = {}
        self._pace = Pace()
        self._sick: dict[tuple[str, str], list[tuple[datetime, bool]]] = {}
        self.violations: list[Violation] = []

    def broken(self, rule: int, text: str) -> None:
        """Record a violation."""
        if (rule, text) not in self._seen:
            self._seen.add((rule, text))
            self.violations.append(Violation(rule, self._world.truth.monotonic(), text))
            self._world.note(f"BROKEN {self.violations[-1]}")
            self._world.halt()

    # Told by the world

    def acknowledged(self) -> None:
        """Rule 1."""
        self._acknowledged += 1
        stored = self._world.store.contents.accepted
        if self._acknowledged > stored:
            self.broken(1, f"{self._acknowledged} messages are acknowledged, only {stored} were committed")

    def sent(self, call: Call) -> None:
        """Rules 2, 3, 5 and 10, at the moment a command that may change something goes out."""
        state = self._world.store.contents
        step = state.steps.get(call.step_id)
        if step is None or step.status is not StepStatus.OPEN or step.effect is Effect.READ:
            self.broken(2, f"{call.script} was sent for {call.step_id}, of which no open intent is stored")
            return
        if paused := self._pauses.forbid(self._world.inventory, step.server):
            self.broken(10, f"{call.script} of {call.step_id} was sent to {step.server} while {paused} was paused")
        if step.server in state.quarantines:
            self.broken(3, f"{call.script} of {call.step_id} was sent to {step.server}, which is quarantined")
        server = self._world.inventory.find(step.server)
        if server is None or self._world.inventory.find(call.executor) is None:
            self.broken(5, f"{call.script} of {call.step_id} concerns a server that is not in the inventory")
            return
        for why in objections(self._world, step, server):
            self.broken(0, f"{call.script} of {call.step_id} was sent to {step.server}: {why}")
        for scope in scopes(server, dag_wide=ACTIONS[step.action].dag_wide):
            if state.claims.get(scope) != step.incident_id:
                self.broken(6, f"{call.script} of {call.step_id} was sent without a claim on {scope}")
        if call.script not in NAMES or CANARY in str(call.args):
            self.broken(5, f"{call.script} of {call.step_id} carries text of an alert")

    def effect(self, entry: RecordedEffect) -> None:
        """Rules 3, 4, 6 and 7, at the moment a server is changed."""
        self._world.note(f"the servers: {entry.effect} on {entry.server} by step {entry.step or NEVER}: {entry.detail}")
        if entry.effect == "violation":
            self.broken(7, entry.detail)
            return
        if entry.effect == "reboot" and not entry.detail.endswith("nothing"):
            self.broken(7, f"{entry.server} was rebooted with {entry.detail}")
        if entry.server in self._world.story.observed:
            self.broken(0, f"{entry.effect} on {entry.server}, which may only be observed")
        step = self._world.store.contents.steps.get(entry.step)
        if step is None:
            self.broken(2, f"{entry.effect} on {entry.server} by the step {entry.step}, of which no intent is stored")
            return
        self._done[step.id, entry.effect] += 1
        if self._done[step.id, entry.effect] > 1:
            self.broken(3, f"{entry.effect} of {step.id} happened twice")
        if step.status is StepStatus.WITHDRAWN and step.effect is Effect.DISRUPTIVE:
            self.broken(3, f"{entry.effect} of {step.id} happened although the step was withdrawn")
        self._happened[entry.effect].append((datetime.fromisoformat(entry.at), entry.server))
        self._once_a_state(step)
        self._with_reason(step)
        self._within_budget(step, entry)

    def broke(self, call: Call) -> None:
        """For rule 13."""
        self._broke.add(call.step_id)

    def changed(self) -> None:
        """Rules 4, 6, 8 and 9, after each verb of the store."""
        state = self._world.store.contents
        if len(state.incidents) != self._opened:
            self._opened = len(state.incidents)
            for incident in state.incidents.values():
                self._watch(incident)
        self.asked()
        for row in state.audit[self._audited :]:
            self._world.note(f"audit {row.seq}: {row.entry.message}")
            if "internal error" in row.entry.message:
                self.broken(0, f"a defect of the daemon: {row.entry.message}")
        self._audited = len(state.audit)
        for incident in state.incidents.values():
            self._keeps_its_pace(incident)
            if incident.status is IncidentStatus.OPEN:
                self._waits_rightly(incident)
            elif incident.id not in self._ended:
                self._ended.add(incident.id)
                self._ends_rightly(incident)
            if incident.status is IncidentStatus.OPEN and incident.id in self._ended:
                self._ended.discard(incident.id)  # an operator ordered an undo

    def paused(self, scope: str, *, now: bool) -> None:
        """For rule 10."""
        self._pauses.note(scope, now=now)

    def fell(self, why: str) -> None:
        """A daemon that ends by itself, but for its store, is a defect."""
        self.broken(0, f"the daemon fell over: {why}")

    # Looked at

    def asked(self) -> None:
        """Write down which monitors are ill now, whatever anybody says of them."""
        self._world.simulation.timeline.run_due()
        now = self._world.simulation.timeline.now()
        for key, (machine, monitor) in self._watched.items():
            ill, history = _ill(machine, monitor), self._sick.setdefault(key, [])
            if not history or history[-1][1] is not ill:
                history.append((now, ill))

    def _watch(self, incident: Incident) -> None:
        """From now on, write down how its monitor really is."""
        machine = self._world.simulation.organisation.machines.get(incident.server)
        for monitor in machine.monitors if machine is not None else ():
            if machine is not None and monitor.name.lower() == incident.key.monitor:
                self._watched[incident.server, incident.key.monitor] = (machine, monitor)

    def _was(self, server: str, monitor: str, *, ill: bool, since: datetime) -> bool:
        """Whether a monitor was ill, or well, at any time since then."""
        history = self._sick.get((server, monitor), [])
        return any(
            state is ill and (number + 1 == len(history) or history[number + 1][0] >= since)
            for number, (_, state) in enumerate(history)
        )

    def _once_a_state(self, step: Step) -> None:
        """Rule 3: within an incident, what a state does is done once."""
        if ACTIONS[step.action].puts_back or step.effect is not Effect.DISRUPTIVE:
            return
        others = [
            other.id
            for other in self._world.store.contents.steps_of(step.incident_id)
            if other.state == step.state and other.id != step.id and self._done[other.id, EFFECTS[step.action]]
        ]
        if others:
            self.broken(3, f"{step.action} of {step.id} was done before, as {others[0]}")

    def _with_reason(self, step: Step) -> None:
        """Rule 4: nothing is disrupted on a server whose monitor was never ill while the incident was open."""
        incident = self._world.store.contents.incidents[step.incident_id]
        if ACTIONS[step.action].puts_back or not incident.monitor:
            return
        self.asked()
        opened = self._true(incident.opened_at)
        if not self._was(incident.server, incident.key.monitor, ill=True, since=opened):
            self.broken(4, f"{step.action} of {step.id}, although {incident.key} was never ill")

    def _within_budget(self, step: Step, entry: RecordedEffect) -> None:
        """No budget is overspent, counted by what happened on the servers. Putting back is exempt, and not counted."""
        disruption, server = ACTIONS[step.action].disrupts, self._world.inventory.find(entry.server)
        if disruption is None or server is None or entry.effect != EFFECTS[step.action]:
            return
        self._spent[disruption].append((self._happened[entry.effect][-1][0], entry.server))
        now = self._spent[disruption][-1][0]
        for limit in limits(disruption, server, self._world.inventory, Budgets(), now):
            # A clock that was wrong makes a window shorter by as much, at both of its ends.
            done = [at for at, where in self._spent[disruption] if where in limit.servers]
            count = sum(at > limit.since + 2 * self._wrong for at in done)
            if not limit.of_ladders and count > limit.most:
                self.broken(0, f"{count} {limit.what} happened, {limit.most} are allowed")

    def _keeps_its_pace(self, incident: Incident) -> None:
        if self._pace.spins(incident, self._world.truth.monotonic()):
            self.broken(0, f"incident {incident.id} spins in {incident.state}: {incident.waiting_for}")

    def _waits_rightly(self, incident: Incident) -> None:
        """Rule 6: nobody waits for another incident while holding a claim. Rule 9: nothing waits without a timer."""
        state = self._world.store.contents
        if incident.due_at is None:
            self.broken(9, f"incident {incident.id} is open and waits for nothing")
        step = state.open_step(incident.id)
        if step is None or not ACTIONS[step.action].parks:
            return
        held = [scope for scope, holder in state.claims.items() if holder == incident.id]
        if held:
            self.broken(6, f"incident {incident.id} waits for another one and holds {', '.join(held)}")

    def _ends_rightly(self, incident: Incident) -> None:
        """Rules 3, 8 and 9 of an incident that has just ended."""
        state = self._world.store.contents
        items = [item for item in state.undo.values() if item.incident_id == incident.id]
        if any(item.status is UndoStatus.PENDING for item in items):
            self.broken(8, f"incident {incident.id} ended with something still to be put back")
        if any(holder == incident.id for holder in state.claims.values()):
            self.broken(6, f"incident {incident.id} ended and holds a claim")
        lost = [
            step
            for step in state.steps_of(incident.id)
            if step.effect is Effect.DISRUPTIVE and step.executor and step.outcome == "unknown"
        ]
        for step in lost:
            lifted = any(
                row.entry.kind is AuditKind.QUARANTINE_LIFTED and row.entry.server == step.server for row in state.audit
            )
            if step.server not in state.quarantines and not lifted:
                self.broken(3, f"nobody knows what became of {step.id}, and {step.server} is not quarantined")
        if incident.status is IncidentStatus.RESOLVED:
            self._resolved_rightly(incident)

    def _resolved_rightly(self, incident: Incident) -> None:
        """Rule 9: proven healthy after the last disruptive effect. The proof is the model's, not the daemon's."""
        steps = self._world.store.contents.steps_of(incident.id)
        looks = [step for step in steps if step.action in ("verify", "watch_monitor", "triage")]
        acts = [step for step in steps if step.effect is Effect.DISRUPTIVE and step.status is StepStatus.DONE]
        if not looks or looks[-1].outcome not in ("healthy", "opened"):
            self.broken(9, f"incident {incident.id} is resolved without a verification")
        elif acts and acts[-1].number > looks[-1].number:
            self.broken(9, f"incident {incident.id} is resolved without a verification after {acts[-1].id}")
        elif incident.monitor and not self._was(
            incident.server, incident.key.monitor, ill=False, since=self._true(looks[-1].started_at)
        ):
            self.broken(4, f"incident {incident.id} is resolved, but {incident.key} was ill all the time")

    def _true(self, moment: datetime) -> datetime:
        """A moment of the daemon's clock on the true one, as far back as that clock was ever wrong."""
        return moment - self._wrong

    @property
    def _wrong(self) -> timedelta:
        return timedelta(seconds=self._world.most_wrong)

    # At the end

    def finish(self, published: int, imbalance: str) -> None:
        """What must hold when all is over. `published`: different messages; `imbalance`: the ledger's own words."""
        state = self._world.store.contents
        for incident in state.incidents.values():
            if incident.status is IncidentStatus.OPEN:
                waits = incident.waiting_for or "nothing in particular"
                self.broken(9, f"incident {incident.id} does not end; it is in {incident.state} and waits for {waits}")
        if len(state.alerts) != published or self._world.bus.unacknowledged:
            self.broken(
                1,
                f"{published} messages were published, {len(state.alerts)} are stored, "
                f"{self._world.bus.unacknowledged} still wait at the broker",
            )
        pending = [alert.id for alert in state.alerts.values() if alert.status.value == "pending"]
        if pending:
            self.broken(9, f"alerts that nobody routed: {pending}")
        for why in unseen(self._world, 2 * self._wrong):
            self.broken(14, why)
        for step in state.steps.values():
            self._as_recorded(step)
        self._nothing_forgotten()
        self._everything_told(imbalance)

    def _as_recorded(self, step: Step) -> None:
        """Rules 3 and 13: what the store says of a step is what the servers saw of it.

        An idempotent change that was withdrawn may still happen; that it is put back or told is rule 8.
        """
        if step.effect is Effect.READ or not step.executor:
            return
        kind = EFFECTS.get(step.action) or PUT_BACK.get(str(step.params["item"]).rpartition(".")[2], "restart")
        seen = self._done[step.id, kind]
        if step.status is StepStatus.WITHDRAWN and seen and step.effect is Effect.DISRUPTIVE:
            self.broken(3, f"{step.id} is withdrawn as never done, and the servers saw {kind}")
        if step.id in self._broke and step.outcome == "failed" and not self._befell(step):
            self.broken(13, f"{step.id} failed by an error of ours, and that counts as a no of {step.server}")
        if step.outcome == "refused" and seen and step.effect is Effect.DISRUPTIVE:
            self.broken(13, f"{step.id} is recorded as never tried, and the servers saw {kind}")
        done = step.status is StepStatus.DONE and step.outcome == "done" and step.effect is Effect.DISRUPTIVE
        if done and not seen and not (kind == "restart" and self._befell(step)):
            self.broken(4, f"{step.id} is recorded as done, and no server saw {kind}")

    def _befell(self, step: Step) -> bool:
        """Whether something befell the step's server meanwhile: it may have restarted the service, which is as good."""
        since, until = self._true(step.started_at), (step.ended_at or step.deadline_at) + self._wrong
        befallen = [
            START + timedelta(seconds=event.at)
            for event in self._world.story.events
            if isinstance(event, Break | Cure) and event.server == step.server
        ]
        reboots = [at for at, server in self._happened["reboot"] if server == step.server]
        return any(since <= at <= until for at in (*befallen, *reboots))

    def _nothing_forgotten(self) -> None:
        """Rule 8: what is still changed on a server is on record as left."""
        state = self._world.store.contents
        left = {(item.server, item.setting) for item in state.undo.values() if item.status is UndoStatus.LEFT}
        last: dict[tuple[str, str], RecordedEffect] = {}
        for entry in self._world.simulation.record.effects():
            if entry.effect in ("stop_activation", "allow_activation"):
                last[entry.server, "activation"] = entry
            elif entry.effect in ("protocol_log_on", "protocol_log_off"):
                last[entry.server, "protocol_log"] = entry
        for place, entry in last.items():
            if entry.effect in ("stop_activation", "protocol_log_on") and place not in left:
                self.broken(8, f"{entry.effect} of {entry.step} on {entry.server} was neither undone nor told as left")

    def _everything_told(self, imbalance: str) -> None:
        """The outbox, the journal, the chain and the pages: nothing of them is lost, and nothing tells a password."""
        state = self._world.store.contents
        kept = (state.steps, state.incidents, state.audit, self._world.bus.published, self._world.pages)
        if PROBE_PASSWORD in str(kept):
            self.broken(11, "the password that a probe told was kept or sent")
        if state.outbox:
            waiting = Counter(row.message.channel.value for row in state.outbox.values())
            self.broken(9, f"messages that were never sent: {dict(waiting)}")
        published = list(dict.fromkeys(json.loads(message.payload)["seq"] for message in self._world.bus.published))
        if published != sorted(published):
            self.broken(9, "messages overtook one another on the bus")
        told = {row.entry.fields["outbox_seq"] for row in state.audit if row.entry.kind is AuditKind.NOTIFIED}
        never = set(range(1, state.sent + 1)) - set(published) - told - set(state.outbox)
        if never:
            self.broken(9, f"outgoing messages that were never delivered: {sorted(never)[:5]}")
        if len(self._world.pages) < len(told):
            self.broken(9, f"{len(told)} notifications are on record, the channel took {len(self._world.pages)}")
        if imbalance:
            self.broken(9, f"the ledger does not balance: {imbalance}")
        prev_hash = GENESIS
        for number, row in enumerate(state.audit, start=1):
            if row.seq != number or row.prev_hash != prev_hash or row.hash != chain_hash(number, row.entry, prev_hash):
                self.broken(9, f"the audit chain breaks at row {number}")
                break
            prev_hash = row.hash
        missing = {row.seq for row in state.audit} - {row.seq for row in self._world.rows}
        if missing:
            self.broken(9, f"audit rows that the journal never got: {sorted(missing)[:5]}")


def _ill(machine: Machine, monitor: Monitor) -> bool:
    second = machine.faults.get(Fault.SECOND_TARGET_BAD)  # of several rows one bad one is bad
    return (
        machine.sick(monitor) or monitor.value != "Healthy" or (second is not None and second.monitor == monitor.name)
    )
