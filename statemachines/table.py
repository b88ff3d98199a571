"""What follows what: a runbook's own states and the engine's around them, as one table from state and outcome to state.

Pure data: the compiler makes a machine of it, and the checker walks it, so that what is proven is what runs.

Beside the runbook's own states there are the engine's:

    S.recheck       in front of each state S with an effect: verify afresh after a hold, before acting at last
    undo.resolved   put back what was changed, then `confirm`, which verifies once more
    undo.escalated  put back what may be put back, then escalate
    undo.cancelled  the same for an incident that an operator closed
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from statemachines.actions import ACTIONS, COMMON_OUTCOMES, ActionSpec, Effect
from statemachines.model import Definition, Literal_

RECHECK = ".recheck"
CONFIRM = "confirm"
#: The engine's own outcomes, which no runbook can name: a gate said "not now, and verify afresh"; an operator closes
#: the incident; somebody has the problem already, so it ends before its next effect; a problem that is gone by itself
#: once too often; a script of ours that cannot do its work.
HELD, CLOSE, TAKEN, FLAPPING, BROKEN = "held", "close", "taken", "flapping", "broken"


class End(StrEnum):
    """The terminal states."""

    RESOLVED = "resolved"
    ESCALATED = "escalated"
    CANCELLED = "cancelled"

    @property
    def undo(self) -> str:
        """The state on the way to this end that puts things back."""
        return f"undo.{self.value}"


_WAYS_OUT = frozenset(end.undo for end in End)


def leaves(state: str) -> bool:
    """Whether a state is one of the engine's that put things back on the way to an end."""
    return state in _WAYS_OUT


@dataclass(frozen=True, slots=True)
class LadderState:
    """What the engine must know of a state to enter it."""

    name: str
    action: ActionSpec
    params: dict[str, Literal_]
    deadline: timedelta


def ladder_states(definition: Definition) -> dict[str, LadderState]:
    """Every state, the engine's included."""
    states = {}
    for name, state in definition.states.items():
        spec = ACTIONS[state.do]
        deadline = spec.deadline if state.within is None else timedelta(seconds=state.within)
        states[name] = LadderState(name, spec, dict(state.params), deadline)
        if spec.effect is not Effect.READ and not spec.puts_back:
            recheck = name + RECHECK
            states[recheck] = LadderState(recheck, ACTIONS["verify"], {}, ACTIONS["verify"].deadline)
    verify, undo = ACTIONS["verify"], ACTIONS["undo"]
    states[CONFIRM] = LadderState(CONFIRM, verify, {}, verify.deadline)
    for end in End:
        states[end.undo] = LadderState(end.undo, undo, {}, undo.deadline)
    return states


def next_states(definition: Definition, states: dict[str, LadderState]) -> dict[tuple[str, str], str]:
    """Every (state, outcome) to its next state: total, so that no outcome can be without one."""
    table: dict[tuple[str, str], str] = {}
    for name, state in states.items():
        for outcome in (*state.action.outcomes, *COMMON_OUTCOMES):
            table[name, outcome] = End.ESCALATED.undo
        if not leaves(name):
            table[name, CLOSE] = End.CANCELLED.undo
            table[name, TAKEN] = End.ESCALATED.undo
    for name, own in definition.states.items():
        for outcome, target in own.then.items():
            table[name, outcome] = End(target).undo if target in tuple(End) else target
        if states[name].action.puts_back:  # in the middle of a ladder, before it parks
            table[name, "more"] = name
            table[name, "nothing"] = own.then.get("nothing", table[name, "done"])
        elif states[name].action.effect is not Effect.READ:
            recheck = name + RECHECK
            table[name, HELD] = recheck
            table[name, BROKEN] = End.ESCALATED.undo
            table[recheck, "healthy"] = End.RESOLVED.undo
            table[recheck, "unhealthy"] = name
    table[CONFIRM, "healthy"] = End.RESOLVED
    _undo_table(table)
    return table


def _undo_table(table: dict[tuple[str, str], str]) -> None:
    for end in End:
        for outcome in (*ACTIONS["undo"].outcomes, *COMMON_OUTCOMES):
            # Whatever was left is on record and in the message; the way out goes on.
            table[end.undo, outcome] = end
        table[end.undo, "more"] = end.undo
    resolved = End.RESOLVED.undo
    table[resolved, FLAPPING] = table[resolved, TAKEN] = End.ESCALATED.undo
    table[End.ESCALATED.undo, TAKEN] = End.ESCALATED
    table[resolved, "done"] = CONFIRM
    for outcome in ("left", *COMMON_OUTCOMES):
        table[resolved, outcome] = End.ESCALATED.undo
