"""An incident with all that decisions about it need."""

from dataclasses import dataclass
from datetime import datetime

from daemon.domain.audit import AuditEntry, AuditKind
from daemon.domain.incidents import Incident, Step, UndoItem, UndoStatus
from daemon.domain.values import Json
from daemon.domain.windows import Span
from daemon.remediation.actions.undo import effect_of
from statemachines.actions import ACTIONS, Effect, Proof
from statemachines.compiler import Ladder
from statemachines.table import LadderState

#: The actions that look at the incident's own monitor to the end.
VERIFYING = frozenset(spec.name for spec in ACTIONS.values() if spec.of_monitor)


def about(kind: AuditKind, incident: Incident, now: datetime, message: str, fields: Json) -> AuditEntry:
    """An audit entry about an incident."""
    return AuditEntry(
        kind=kind,
        at=now,
        message=message,
        incident_id=incident.id,
        server=incident.server,
        health_set=incident.health_set,
        monitor=incident.monitor,
        fields=fields,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An incident with all that decisions about it need."""

    incident: Incident
    ladder: Ladder
    steps: tuple[Step, ...]
    undo: tuple[UndoItem, ...]
    now: datetime
    closed: tuple[Span, ...] = ()  #: windows since it was opened, in which its state could not act: no time to count
    transients: tuple[Incident, ...] = ()  #: those of the same key in the last day that were gone by themselves
    open_there: tuple[Incident, ...] = ()  #: the others that are open on its server
    outage: Incident | None = None  #: the one of its server that lately escalated after it had acted: it ends with that

    @property
    def state(self) -> LadderState:
        """The state the incident is in."""
        return self.ladder.states[self.incident.state]

    @property
    def pending(self) -> tuple[UndoItem, ...]:
        """What is changed and not put back yet, last change first."""
        return tuple(item for item in reversed(self.undo) if item.status is UndoStatus.PENDING)

    @property
    def verified(self) -> datetime | None:
        """When its monitor was last looked at to the end."""
        last = self._last_verification
        return None if last is None else last.ended_at

    @property
    def sick_is_news(self) -> bool:
        """Whether a look that finds the problem now finds another one: the last found it gone, or none has found it."""
        proofs = [ACTIONS[step.action].proves.get(step.outcome) for step in self.steps]
        found = [proof for proof in proofs if proof in (Proof.SICK, Proof.HEALTHY)]
        return Proof.SICK not in found or found[-1] is Proof.HEALTHY

    @property
    def probe_reason(self) -> str:
        """Why the probe failed, as it told the last verification; empty where it did not say."""
        last = self._last_verification
        return "" if last is None else str(last.result.get("reason", ""))

    @property
    def found(self) -> str:
        """What the last look found, in words; empty before the first came to an end."""
        looks = (step for step in reversed(self.steps) if step.effect is Effect.READ and step.outcome)
        last = next(looks, None)
        return "" if last is None else f"{last.outcome}: {last.detail}"

    @property
    def _last_verification(self) -> Step | None:
        """The last look at its monitor that came to an end; None before the first did."""
        ended = (step for step in reversed(self.steps) if step.action in VERIFYING and step.ended_at is not None)
        return next(ended, None)

    def item(self, params: Json) -> UndoItem | None:
        """The change that an undo step with these parameters puts back; without a step, the next to be put back."""
        state = self.ladder.states.get(self.incident.state)  # one that has ended has none
        only = "" if state is None else state.action.restores
        named = [item for item in self.undo if item.id == params.get("item")]
        return next(iter(named or [item for item in self.pending if only in ("", item.setting)]), None)

    def put_back_at(self, setting: str) -> datetime | None:
        """When a setting was last put back; None when it was not."""
        items = {item.id for item in self.undo if item.setting == setting and item.status is UndoStatus.DONE}
        ended = (
            step.ended_at
            for step in self.steps
            if step.params.get("item") in items or (ACTIONS[step.action].restores == setting and step.outcome == "done")
        )
        return max((at for at in ended if at is not None), default=None)

    def senders(self, setting: str) -> tuple[Step, ...]:
        """The steps that changed a setting, or may have; latest first. Those that were never sent did not."""
        return tuple(
            step
            for step in reversed(self.steps)
            if step.executor and ACTIONS[step.action].changes == setting and step.result.get("may_finish", True)
        )

    def params(self) -> Json:
        """The state's parameters, with `$state.field` replaced by what that state produced."""
        return {name: self._value(given) for name, given in self.state.params.items()}

    def _value(self, given: object) -> object:
        if not isinstance(given, str) or not given.startswith("$"):
            return given
        state, _, name = given[1:].rpartition(".")
        return self.incident.produced[state][name]

    def step(self, executor: str = "", baseline: Json | None = None) -> Step:
        """The next step, of the current state's action."""
        number = len(self.steps) + 1
        undoing = self.state.action.puts_back and self.pending
        return Step(
            id=f"{self.incident.id}-{number:02}",
            incident_id=self.incident.id,
            number=number,
            state=self.incident.state,
            action=self.state.action.name,
            effect=effect_of(self.pending[0].setting) if undoing else self.state.action.effect,
            server=self.incident.server,
            executor=executor,
            params=self.params(),
            baseline=baseline or {},
            started_at=self.now,
            deadline_at=self.now + self.state.deadline,
        )

    def entry(self, kind: AuditKind, message: str, fields: Json) -> AuditEntry:
        """An audit entry about it, with the state it is in."""
        return about(kind, self.incident, self.now, message, {"state": self.incident.state, **fields})
