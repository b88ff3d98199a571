"""What the checker may find: its rules, and a finding with the shortest way to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

#: Every rule by its id, in one sentence. docs/runbooks.md explains them; a test holds the two together.
RULES: Mapping[str, str] = MappingProxyType({
    # What can be seen without walking
    "name": "no state has a name that the engine uses for its own",
    "action": "every state does an action that there is",
    "target": "every next state is a state of the runbook, `resolved` or `escalated`",
    "outcome": "an outcome with a next state is one that the action has",
    "unknown": "`unknown` has no next state: it is settled by evidence, or escalates",
    "parameter": "an action gets the parameters it takes, each of the right kind",
    "monitor": "the monitors, probes and roles are ones that there are, and fit each other",
    "service": "a service is one that exmedic knows, and is there on every kind of server that comes to the state",
    "undo": "what a state changes is named under `undo`, with a policy",
    "cycle": "no state is ever entered twice",
    "unreached": "every state can be reached",
    "for-nothing": "no effect is made from which nothing can lead to `resolved` any more",
    "wait": "every wait is long enough to be of use, and no longer than a day",
    # What is proven by walking every path
    "field": "a field is produced on every path before it is used, and by the last state that produces it",
    "no-monitor": "where an alert names no monitor nothing is done to the server, for nobody could verify it",
    "not-seen-sick": "nothing is done to the server unless the last look, with no cure since, found the problem",
    "after-refusal": "nothing more is done after a refusal, a failure or an answer that decides nothing",
    "move-unasked": "no move before the ladder has asked whether the server may hold copies",
    "active-copy": "no reboot of a server that may hold an active copy: it is moved and verified before",
    "reboot-unwatched": "after a reboot the ladder waits until the server is back, and then verifies",
    "unverified": "`resolved` only when the last look found the monitor healthy and nothing was done since",
    "undo-too-early": "no activation again on a server that was not found healthy after its reboot",
    "parked": "nobody waits for another incident with something changed",
    "left-changed": "what was changed is put back or reported on every way out",
    "too-many": "no path disturbs a server more often than its ceilings allow",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a counterexample."""

    state: str
    event: str  #: what happened there
    then: str  #: what is true after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule that a runbook breaks, and the shortest path on which it does."""

    rule: str
    message: str
    state: str = ""  #: the state that breaks it; empty when the runbook as a whole does
    place: tuple[str | int, ...] = ()  #: keys below the state, or below the file when there is no state
    value: bool = False  #: `place` means the value there, not the key
    server: str = ""  #: the kind of server on which the path is walked; empty when it takes no walk
    path: tuple[Hop, ...] = ()

    def __str__(self) -> str:
        """The finding, and its path with a hop a line."""
        head = f"[{self.rule}] {self.message}"
        if not self.path:
            return head
        steps = [(f"{hop.state}: {hop.event}" if hop.event else hop.state, hop.then) for hop in self.path]
        wide = max(len(step) for step, _ in steps)
        lines = [f"      {step:<{wide}}   {then}".rstrip() for step, then in steps]
        return "\n".join([head, f"    the shortest way there, on {self.server}:", *lines])


def spell(span: timedelta) -> str:
    """A span in hours and minutes."""
    hours, minutes = divmod(round(span.total_seconds() / 60), 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes or not hours else [])])
