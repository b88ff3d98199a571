"""Runs a recorded incident through a changed runbook, up to the first point where that would act differently.

Pure: it walks the recorded transitions with the ladder of then and the ladder of now side by side. States are compared
by what they do, not by their names. What was not recorded is not guessed: there the replay says so and stops.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from daemon.domain.audit import AuditKind, AuditRow
from daemon.domain.incidents import Incident, IncidentStatus, Step, UndoItem, UndoStatus
from daemon.domain.values import Json
from daemon.remediation.incidents.ending import WAYS_OUT, not_to_undo, undoes
from daemon.remediation.incidents.snapshot import Case
from statemachines.actions import ACTIONS, Effect
from statemachines.checker.findings import spell
from statemachines.compiler import Ladder
from statemachines.model import Definition
from statemachines.table import BROKEN, TAKEN, End, LadderState

_WAYS = {way: end for end in End for way in (end.value, end.undo)}
_PAST = {
    End.RESOLVED: "ended resolved",
    End.ESCALATED: "escalated",
    End.CANCELLED: "was closed by an operator",
}
_WOULD = {End.RESOLVED: "would end resolved", End.ESCALATED: "would escalate", End.CANCELLED: "would be closed"}
_LATE = frozenset(
    {"unknown", "unreachable", BROKEN}
)  #: what follows when a state could not do anything until its deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An incident as it is on record. `ladder` is the one it was pinned to; None when no runbook handled it."""

    incident: Incident
    steps: tuple[Step, ...]
    undo: tuple[UndoItem, ...]
    audit: tuple[AuditRow, ...]
    ladder: Ladder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a changed runbook would have done, as a phrase; `state` and `at` say where and when it would differ."""

    incident: Incident
    differs: bool
    text: str
    state: str = ""
    at: datetime | None = None


class Hop(NamedTuple):
    """A recorded transition, and the step whose outcome it followed; None when no step was sent for it."""

    source: str
    outcome: str
    target: str
    at: datetime
    step: Step | None
    quarantined: bool


def concerns(definition: Definition, replaces: frozenset[str], incident: Incident) -> bool:
    """Whether an incident is one that this runbook would handle, or one that an earlier form of it did."""
    return incident.runbook in replaces or definition.handled(incident.health_set, incident.monitor) is not None


def replay(recorded: Recorded, ladder: Ladder) -> Replayed:
    """Run an incident through another ladder."""
    found = _handled_otherwise(recorded, ladder)
    if found is not None or recorded.ladder is None:
        return found or Replayed(incident=recorded.incident, differs=False, text="as before, handled by no runbook")
    return _Walk(recorded, recorded.ladder, ladder).walk()


def _handled_otherwise(recorded: Recorded, ladder: Ladder) -> Replayed | None:
    incident = recorded.incident
    now = ladder.definition.handled(incident.health_set, incident.monitor)
    old = recorded.ladder
    then = None if old is None else old.definition.handled(incident.health_set, incident.monitor)
    if now is None:
        text = "would no longer be handled: a human would be paged, and nothing tried"
    elif now.role is not None and (then is None or then.role != now.role):
        text = f"would be handled only if the server has the role {now.role}, which is not on record"
    elif old is None:
        text = f"would {_told(ladder.states[ladder.start], {})} [{ladder.start}], where no runbook handled it then"
    else:
        return None
    return Replayed(incident=incident, differs=True, text=text, state=ladder.start, at=incident.opened_at)


def hops(audit: Sequence[AuditRow], steps: Sequence[Step]) -> Iterator[Hop]:
    """The transitions on record up to the first end, in order."""
    by_id = {step.id: step for step in steps}
    step: Step | None = None
    for number, row in enumerate(audit):
        fields = row.entry.fields
        if row.entry.kind is AuditKind.OUTCOME:
            step = by_id.get(str(fields["step"]))
        if row.entry.kind is not AuditKind.TRANSITION:
            continue
        source, target = str(fields["from_state"]), str(fields["to_state"])
        own = step if step is not None and step.state == source else None
        same_commit = [one for one in audit[number:] if one.entry.at == row.entry.at]
        quarantined = any(one.entry.kind is AuditKind.QUARANTINED for one in same_commit)
        yield Hop(source, str(fields["outcome"]), target, row.entry.at, own, quarantined)
        step = None
        if target in tuple(End):
            return


@dataclass(slots=True)
class _Walk:
    recorded: Recorded
    old: Ladder
    new: Ladder
    produced: dict[str, Json] = field(default_factory=dict)  #: what was found, by the new ladder's states
    ended: list[Step] = field(default_factory=list)

    def walk(self) -> Replayed:
        """Side by side, from the start to the end or to the first difference."""
        new, at = self.new.start, self.recorded.incident.opened_at
        old = self.old.start
        for hop in hops(self.recorded.audit, self.recorded.steps):
            old, at = hop.source, hop.at
            new = self._past_empty_undo(old, new)
            if self._only_old_puts_back(hop, new):
                old = hop.target
                continue
            found = self._differs(old, new, hop.step.started_at if hop.step else at) or self._ends_otherwise(hop, new)
            if found is not None:
                return found
            if hop.step is not None:
                self.ended.append(hop.step)
                self.produced[new] = hop.step.result
            new = self.new.next(new, hop.outcome)
            old = hop.target
            found = self._puts_back_otherwise(hop, new)
            if found is not None:
                return found
        new = self._past_empty_undo(old, new)
        return self._differs(old, new, at) or Replayed(
            incident=self.recorded.incident, differs=False, text=as_before(self.recorded)
        )

    def _past_empty_undo(self, old: str, new: str) -> str:
        """An undo in the middle of a ladder with nothing to put back is passed through without asking anybody."""
        while undoes(self.new, new) and new not in _WAYS and not undoes(self.old, old) and not self._pending():
            new = self.new.next(new, "nothing")
        return new

    def _only_old_puts_back(self, hop: Hop, new: str) -> bool:
        return hop.outcome == "nothing" and hop.source not in _WAYS and not undoes(self.new, new)

    def _differs(self, old: str, new: str, at: datetime) -> Replayed | None:
        """Whether the two do different things in these states."""
        if old in _WAYS or new in _WAYS:
            return None if _WAYS.get(old) == _WAYS.get(new) else self._found(new, at, self._would(new, old))
        then, now = self._doing(self.old, old), self._doing(self.new, new)
        return None if then == now else self._found(new, at, self._would(new, old))

    def _doing(self, ladder: Ladder, name: str) -> tuple[str, Mapping[str, object], str | None]:
        state = ladder.states[name]
        incident = self.recorded.incident
        handled = ladder.definition.handled(incident.health_set, incident.monitor)
        probed = state.action.name in ("verify", "find_backends")
        return state.action.name, self._params(ladder, name), handled.probe if handled and probed else None

    def _params(self, ladder: Ladder, name: str) -> Mapping[str, object]:
        produced = self.recorded.incident.produced if ladder is self.old else self.produced
        return {param: _value(given, produced) for param, given in ladder.states[name].params.items()}

    def _would(self, new: str, old: str) -> str:
        then = _PAST[_WAYS[old]] if old in _WAYS else f"went on to {self._say(self.old, old)}"
        if new in _WAYS:
            return f"{_WOULD[_WAYS[new]]} where the old one {then}"
        asked = ", which was not asked then" if self.new.states[new].action.effect is Effect.READ else ""
        where = f"; the old one {then}" if asked else f" where the old one {then}"
        return f"would {self._say(self.new, new)}{asked}{where}"

    def _say(self, ladder: Ladder, name: str) -> str:
        probe = self._doing(ladder, name)[2]
        told = _told(ladder.states[name], self._params(ladder, name))
        return f"{told}{f' by {probe}' if probe else ''} [{name}]"

    def _ends_otherwise(self, hop: Hop, new: str) -> Replayed | None:
        """Whether another deadline would have ended the state otherwise."""
        then, now = self.old.states[hop.source].deadline, self.new.states[new].deadline
        took = then if hop.step is None or hop.step.ended_at is None else hop.step.ended_at - hop.step.started_at
        if then == now or (hop.step is None and hop.outcome not in _LATE):
            return None
        what = self.new.states[new].action.name
        if now < took:
            text = f"would give up {what} [{new}] after {_span(now)}; it took {_span(took)} then: {hop.outcome}"
        elif took >= then:
            text = f"would go on with {what} [{new}] for {_span(now)}, where the old one gave up after {_span(then)}"
        else:
            return None
        return self._found(new, hop.at, text)

    def _puts_back_otherwise(self, hop: Hop, new: str) -> Replayed | None:
        """Whether another policy would have put back something else on the way out."""
        if hop.target not in WAYS_OUT or new != hop.target:
            return None
        then, now = ({item.id: item for item in self._kept(ladder, hop)} for ladder in (self.old, self.new))
        for item in (*then.values(), *now.values()):
            if item.id in then and item.id not in now:
                return self._found(new, hop.at, f"would put back {item.setting} where the old one left it changed")
            if item.id in now and item.id not in then:
                return self._found(new, hop.at, f"would leave {item.setting} changed where the old one put it back")
        return None

    def _kept(self, ladder: Ladder, hop: Hop) -> tuple[UndoItem, ...]:
        case = Case(
            incident=self.recorded.incident,
            ladder=ladder,
            steps=tuple(self.ended),
            undo=self._pending(),
            now=hop.at,
        )
        return not_to_undo(case, hop.quarantined, hop.outcome if hop.outcome == TAKEN else "")

    def _pending(self) -> tuple[UndoItem, ...]:
        """What was changed by then and not put back yet."""
        last = max((step.number for step in self.ended), default=0)
        begun = {step.id for step in self.recorded.steps if step.number <= last}  # those withdrawn included
        back = {step.params.get("item") for step in self.ended if ACTIONS[step.action].puts_back}
        return tuple(
            replace(item, status=UndoStatus.PENDING)
            for item in self.recorded.undo
            if item.id.partition(".")[0] in begun and item.id not in back and item.reason != "never changed"
        )

    def _found(self, state: str, at: datetime, text: str) -> Replayed:
        last = self.ended[-1] if self.ended else None
        after = f" (after {last.state}: {last.outcome})" if last else ""
        return Replayed(incident=self.recorded.incident, differs=True, text=text + after, state=state, at=at)


def as_before(recorded: Recorded) -> str:
    """How an incident ended, for one that would end so again."""
    incident = recorded.incident
    done = [step.action for step in recorded.steps if step.effect is not Effect.READ and step.executor and step.outcome]
    did = [action for action in dict.fromkeys(done) if not ACTIONS[action].puts_back]
    after = f" after {', '.join(did)}" if did else "; nothing was done to the server"
    if incident.status is IncidentStatus.OPEN:
        return f"as before so far: it is in {incident.state}{after}"
    return f"as before, {incident.status.value}{after}"


def _value(given: object, produced: Mapping[str, Json]) -> object:
    if not isinstance(given, str) or not given.startswith("$"):
        return given
    state, _, name = given[1:].rpartition(".")
    return produced.get(state, {}).get(name)


def _told(state: LadderState, params: Mapping[str, object]) -> str:
    return state.action.summary.format_map({**state.params, **params})


def _span(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    return f"{seconds} s" if seconds < 60 else spell(span)  # noqa: PLR2004 - a minute
