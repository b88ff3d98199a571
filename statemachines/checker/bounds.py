"""How much a ladder may do to a server, and how long it may take, at the most."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from statemachines.actions import ACTIONS, Disruption, Effect
from statemachines.checker.facts import CHANGED_BY
from statemachines.checker.findings import spell
from statemachines.checker.walk import walk
from statemachines.model import Definition
from statemachines.table import CONFIRM, End, LadderState, ladder_states

_WORDS = {Disruption.RESTART: "restart", Disruption.MOVE: "move", Disruption.REBOOT: "reboot"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that any path of a ladder comes to, putting back included."""

    disruptions: dict[Disruption, int]
    effects: int  #: states with an effect on any path; each of them may be held by its gates besides
    longest: timedelta  #: every step until its deadline; for an effect once to read its facts, once to prove it

    def __str__(self) -> str:
        """In a line: at most 2 restarts, 1 move, 1 reboot; at most 3 h 20 min at work."""
        counted = [f"{count} {_WORDS[what]}{'s' * (count > 1)}" for what, count in self.disruptions.items() if count]
        disturbs = f"at most {', '.join(counted)}" if counted else "disturbs nothing"
        return f"{disturbs}; at most {spell(self.longest)} at work"


def bounds(definition: Definition) -> Bounds:
    """The bounds of a definition that `prove` has found nothing wrong with."""
    states = ladder_states(definition)
    putting_back = sum(
        (2 * ACTIONS["undo"].deadline * CHANGED_BY[setting].undo_steps for setting in definition.undo), timedelta()
    )

    @cache
    def after(name: str) -> tuple[timedelta, int]:
        if name not in definition.states:
            confirms = name == End.RESOLVED and definition.undo
            return putting_back + (states[CONFIRM].deadline if confirms else timedelta()), 0
        ways = [after(target) for target in {"escalated", *definition.states[name].then.values()}]
        acts = states[name].action.effect is not Effect.READ and not states[name].action.puts_back
        own = putting_back if states[name].action.puts_back else _time(states[name])
        return own + max(time for time, _ in ways), acts + max(count for _, count in ways)

    longest, effects = after(definition.start)
    return Bounds(walk(definition).most, effects, longest)


def _time(state: LadderState) -> timedelta:
    return state.deadline if state.action.effect is Effect.READ else 2 * state.deadline
