"""What an action is given, how it asks servers, and what it may answer.

A read polls: each poll is one durable wait apart from the next. An effect has three parts: `prepare` reads the facts
and asks the gates before the intent is committed; `accept` understands the answer; `settle` finds out from evidence
what became of an effect whose answer was lost. None of them raises for what a server does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from daemon.config.guardrails import Timing
from daemon.domain.incidents import Incident, Step, UndoItem
from daemon.domain.inventory import Server
from daemon.domain.ports import Outside
from daemon.domain.values import Json, canonical, timestamp
from daemon.domain.verdicts import Hold, Refuse
from daemon.exchange.client import Asker, Heard, Unheard
from daemon.remediation.actions.preconditions.facts import Dependency
from daemon.remediation.actions.preconditions.other_actors import Foreign

T = TypeVar("T", bound=BaseModel)


RAW_LIMIT = 16 * 1024  #: characters of raw answers kept with a step


@dataclass(frozen=True, slots=True, kw_only=True)
class Sick:
    """A monitor that was found unhealthy."""

    server: str
    health_set: str
    monitor: str

    def __str__(self) -> str:
        return f"{self.monitor} on {self.server}"

    @property
    def told(self) -> Json:
        """The monitor as JSON, as a state produces it."""
        return {"server": self.server, "health_set": self.health_set, "monitor": self.monitor}


class Family(Protocol):
    """Lets other incidents run."""

    async def ensure(self, sick: Sick, opener: Incident, parent: str) -> str | None:
        """The incident of a sick monitor, opened if there is none; None when its server is not in the inventory.

        Empty when no runbook handles it.
        """
        ...

    async def standing(self, incident_id: str) -> Incident | None:
        """The incident as it stands; None when the store does not have it."""
        ...

    async def waits_for(self, incident_id: str) -> tuple[str, ...]:
        """The incidents that this one waits for now; empty when it waits for none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The outcome of a step that is over, and what it produced."""

    outcome: str
    detail: str
    result: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Ask again after `after` seconds; at the deadline the outcome is `if_late`."""

    after: float
    detail: str
    memo: Json = field(default_factory=dict)
    if_late: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """Proven: the effect did not happen and no longer can. The state is entered afresh.

    `may_finish`: it was begun, so Exchange may still finish the change although its client is gone.
    """

    detail: str
    may_finish: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unready:
    """The facts could not be read, so nothing was sent: ask again shortly; at the deadline the outcome is `if_late`."""

    detail: str
    if_late: str


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that an effect changes, and with which values: what is recorded to be put back."""

    setting: str
    earlier: Json
    applied: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Ready to be sent: what to run where, what was read before, and since when the facts are known."""

    executor: str
    script: str
    args: Json
    baseline: Json
    figures: Json
    heard_at: float  #: Clock.monotonic() when the oldest fact was read
    others: tuple[Foreign, ...] = ()  #: moves and reboots that the servers tell of
    changes: tuple[Change, ...] = ()  #: in the order of the changes; put back in reverse


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an action works with. `params` has the `$state.field` references filled in."""

    incident: Incident
    server: Server
    probe: str | None
    step_id: str
    params: Json
    now: datetime
    timing: Timing
    ask: Asker
    family: Family
    item: UndoItem | None = None  #: for `undo`: what to put back
    left: tuple[UndoItem, ...] = ()  #: what other incidents of ours changed on its server and did not put back
    senders: tuple[Step, ...] = ()  #: the steps that changed its setting, or may have; latest first
    put_back_at: datetime | None = None  #: when the setting was put back that its change follows
    front_end: bool = False  #: the incident's monitor probes the front end, which clients reach
    outside: Outside | None = None  #: for servers with a look from outside
    probe_reason: str = ""  #: why the probe failed, as it told the last verification
    dependencies: tuple[Dependency, ...] = ()  #: of the server's monitors; asked before what disrupts

    async def itself(self, script: str, args: Json, model: type[T]) -> Heard[T] | Unheard:
        """What the incident's server says of itself, or why nothing was heard."""
        return await self.ask.ask(self.server.name, script, args, model, self.step_id)

    async def peer(self, script: str, args: Json, model: type[T]) -> Heard[T] | Unheard:
        """What another server says of the incident's server, or why nothing was heard."""
        return await self.ask.about(self.server, script, {"server": self.server.name, **args}, model, self.step_id)

    async def of_server(self, step: Step | None, script: str, model: type[T]) -> Heard[T] | Unheard:
        """What is said of the incident's server by the executor of a sent step, if one is given, else by any peer.

        Another server than the executor may not see its change in Active Directory yet (docs/adr/0008).
        """
        if step is None:
            return await self.peer(script, {}, model)
        args = {"server": self.server.name}
        return await self.ask.ask(step.executor, script, args, model, f"{step.id}.settle")

    def not_after(self, clock: datetime) -> str:
        """The moment, on the executing server's own clock, after which an effect may not begin any more."""
        return timestamp(clock + timedelta(seconds=self.timing.send_window))


class ReadAction(Protocol):
    """An action that only reads."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """The outcome if this look decides it, else Again. `memo` is what the last poll left, empty at first."""
        ...


class EffectAction(Protocol):
    """An action with an effect."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """The command to send, or what the facts and gates say against it. Done: there is nothing to do."""
        ...

    def accept(self, step: Step, result: Json) -> Done | Again:
        """The outcome that the script's answer tells. Again: it is not understood, so evidence settles it."""
        ...

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """What became of a step whose answer was lost, by evidence; Again while nothing proves it."""
        ...


def backoff(memo: Json, first: float = 5.0, most: float = 60.0) -> float:
    """Seconds to the next poll, doubling with each one counted in `memo["polls"]`."""
    return float(min(most, first * 2 ** min(int(memo.get("polls", 0)), 10)))


def polled(memo: Json, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a memo holds any JSON
    """The memo after one more poll, with `changes`."""
    return {**memo, **changes, "polls": int(memo.get("polls", 0)) + 1}


def last_of(transcript: list[Json]) -> list[Json]:
    """The last answers that together stay within `RAW_LIMIT`; empty when the very last goes beyond it."""
    kept: list[Json] = []
    size = 0
    for heard in reversed(transcript):
        size += len(canonical(heard))
        if size > RAW_LIMIT:
            break
        kept.insert(0, heard)
    return kept


def answer_of(result: Mapping[str, Any], model: type[T]) -> T | None:
    """The result of an effect's script in its shape; None when it does not fit."""
    try:
        return model.model_validate(result)
    except ValidationError:
        return None
