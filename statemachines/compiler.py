"""Compiles a runbook to a state machine of `transitions`. This is that library's only importer (docs/adr/0002).

The machine only decides: given a state and an outcome, what is the next state? It has no callbacks, keeps no models
and does no I/O, so one machine per runbook version serves all incidents. `statemachines/table.py` says what follows
what.
"""

from dataclasses import dataclass

from transitions import Machine

from statemachines.model import Definition
from statemachines.table import (
    BROKEN,
    CLOSE,
    CONFIRM,
    FLAPPING,
    HELD,
    RECHECK,
    TAKEN,
    End,
    LadderState,
    ladder_states,
    next_states,
)

__all__ = ["BROKEN", "CLOSE", "CONFIRM", "FLAPPING", "HELD", "RECHECK", "TAKEN", "End", "Ladder", "LadderState"]


@dataclass(slots=True)
class _Position:
    """The light copy a trigger runs on: `transitions` writes the new state into it."""

    state: str


class Ladder:
    """A compiled runbook. Pure: `next` depends on nothing but its arguments."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.start = definition.start
        self.states = ladder_states(definition)
        self._machine = Machine(
            model=None,
            states=[*self.states, *End],
            initial=definition.start,
            auto_transitions=False,
            transitions=[
                {"trigger": outcome, "source": state, "dest": target}
                for (state, outcome), target in next_states(definition, self.states).items()
            ],
        )

    def next(self, state: str, outcome: str) -> str:
        """The state after `outcome` in `state`.

        Raises:
            KeyError: the outcome is none of the action's; a defect of the action, not of the runbook.
        """
        position = _Position(state)
        event = self._machine.events[outcome]
        if state not in event.transitions:
            raise KeyError(f"{self.definition.runbook}: state {state!r} has no outcome {outcome!r}")
        event.trigger(position)
        return str(position.state)
