"""Putting back what a ladder changed: each setting in its own step, compare-and-set to the recorded earlier value."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Protocol

from daemon.domain.incidents import Step, StepStatus, UndoItem
from daemon.domain.values import Json
from daemon.domain.verdicts import Hold, Refuse
from daemon.exchange.answers import Activation, DatabaseCopies, PopSettings, ProtocolLogSet
from daemon.exchange.client import Heard, Unheard
from daemon.remediation.actions import activation, protocol_log
from daemon.remediation.actions.contract import Again, Context, Done, Prepared, Unready, Withdrawn, answer_of
from daemon.remediation.actions.preconditions.copies import blocked_here
from statemachines.actions import Effect

#: How long Exchange may go on with a change whose client has died: its session is closed after three idle minutes
#: (IdleTimeout in daemon/exchange/scripts/_prelude.ps1), and what runs in it is stopped; and some more.
FINISHES_WITHIN = timedelta(minutes=5)
#: After so long every server sees a change: twice the default interval of replication between sites, 180 minutes
#: (Microsoft, Active Directory site planning, "Determining the Interval").
REPLICATED_AFTER = timedelta(hours=6)


class Reversal(Protocol):
    """How one kind of change is put back."""

    @property
    def effect(self) -> Effect:
        """What putting it back does to the world."""
        ...

    def by_hand(self, item: UndoItem) -> str:
        """The command with which a human does it."""
        ...

    async def prepare(self, ctx: Context, item: UndoItem) -> Prepared | Refuse | Unready | Done:
        """See `EffectAction.prepare`."""
        ...

    def accept(self, step: Step, result: Json) -> Done | Again:
        """See `EffectAction.accept`."""
        ...

    async def settle(self, ctx: Context, step: Step, item: UndoItem) -> Done | Again | Withdrawn:
        """See `EffectAction.settle`."""
        ...


#: Reads a value, None when the answer does not say, with the answer: from the executor of a step, or from any peer.
Read = Callable[
    [Context, Step | None], Awaitable[tuple[bool | None, Heard[DatabaseCopies] | Heard[PopSettings] | Unheard]]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """A setting with two values, by compare-and-set: one that is no longer ours is left alone."""

    name: str  #: as humans call it
    key: str  #: of the value in `UndoItem.earlier` and `.applied`
    script: str
    answer: type[Activation | ProtocolLogSet]
    command: str
    words: tuple[str, str]  #: for false and true
    read: Read
    effect: Effect = Effect.IDEMPOTENT

    def by_hand(self, item: UndoItem) -> str:
        return self.command.format(server=item.server, value="$true" if item.earlier[self.key] else "$false")

    async def prepare(self, ctx: Context, item: UndoItem) -> Prepared | Refuse | Unready | Done:
        """The command, sent through whoever sees the change. Done if one who would see it says that it is gone."""
        silent = "" if ctx.senders else "nobody is known to have changed it"
        for executor in dict.fromkeys(step.executor for step in ctx.senders):
            sender = next(step for step in ctx.senders if step.executor == executor)
            now, heard = await self.read(ctx, sender)
            if isinstance(heard, Unheard) or now is None:
                silent = self._why(item, heard)
            elif now != item.earlier[self.key]:
                return self._put_back(ctx, item, heard)
        if silent:
            return await self._from_others(ctx, item, silent)
        late = [step for step in ctx.senders if step.status is StepStatus.WITHDRAWN]
        if any(step.ended_at is not None and ctx.now < step.ended_at + FINISHES_WITHIN for step in late):
            return Unready(detail=f"Exchange may still finish the change of {self.name}", if_late="unknown")
        return self._as_it_was(item)

    async def _from_others(self, ctx: Context, item: UndoItem, silent: str) -> Prepared | Unready | Done:
        """The command, or why none is sent, by what others see of a change whose own server cannot be asked."""
        now, heard = await self.read(ctx, None)
        if isinstance(heard, Unheard):
            return Unready(detail=heard.detail, if_late=heard.outcome)
        if now is None:
            return Unready(detail=self._why(item, heard), if_late="unknown")
        if now != item.earlier[self.key]:
            return self._put_back(ctx, item, heard)
        if ctx.senders and ctx.now - ctx.senders[0].started_at > REPLICATED_AFTER:
            return self._as_it_was(item)
        detail = f"{heard.executor} shows {self.name} as it was, but may not see the change yet; {silent}"
        return Unready(detail=detail, if_late="unknown")

    def _why(self, item: UndoItem, heard: Heard[DatabaseCopies] | Heard[PopSettings] | Unheard) -> str:
        if isinstance(heard, Unheard):
            return heard.detail
        return f"the answer of {heard.executor} has no settings of {item.server}"

    def _as_it_was(self, item: UndoItem) -> Done:
        value = self.words[bool(item.earlier[self.key])]
        return Done(outcome="done", detail=f"{self.name} on {item.server} is as it was: {value}")

    def _put_back(self, ctx: Context, item: UndoItem, heard: Heard[DatabaseCopies] | Heard[PopSettings]) -> Prepared:
        return Prepared(
            executor=heard.executor,
            script=self.script,
            args={
                "server": item.server,
                "expected": item.applied[self.key],
                "value": item.earlier[self.key],
                "not_after": ctx.not_after(heard.clock),
            },
            baseline={"setting": item.setting, "earlier": item.earlier[self.key]},
            figures={"now": item.applied[self.key], "earlier": item.earlier[self.key]},
            heard_at=heard.heard_at,
        )

    def accept(self, step: Step, result: Json) -> Done | Again:
        set_ = answer_of(result, self.answer)
        if set_ is None or set_.after != step.baseline["earlier"]:
            return Again(after=5.0, detail=f"the answer does not show {self.name} put back")
        return Done(outcome="done", detail=f"{self.name} on {step.server} is again {self.words[set_.after]}")

    async def settle(self, ctx: Context, step: Step, item: UndoItem) -> Done | Again | Withdrawn:
        """Done if it reads as put back, else withdrawn: an idempotent change may be sent again."""
        now, heard = await self.read(ctx, step)
        if isinstance(heard, Unheard):
            # Idempotent: another server may carry it out, so an executor that is gone does not block the way out.
            return Withdrawn(detail=heard.detail)
        if now == item.earlier[self.key]:
            return Done(outcome="done", detail=f"{self.name} on {item.server} is as it was")
        return Withdrawn(detail=f"{self.name} on {item.server} is not put back yet")


async def _blocked(ctx: Context, step: Step | None) -> tuple[bool | None, Heard[DatabaseCopies] | Unheard]:
    heard = await ctx.of_server(step, "database_copies", DatabaseCopies)
    return (None, heard) if isinstance(heard, Unheard) else (blocked_here(heard.answer), heard)


async def _logged(ctx: Context, step: Step | None) -> tuple[bool | None, Heard[PopSettings] | Unheard]:
    heard = await ctx.of_server(step, "pop_settings", PopSettings)
    return (None, heard) if isinstance(heard, Unheard) else (heard.answer.protocol_log_enabled, heard)


REVERSALS: Mapping[str, Reversal] = MappingProxyType({
    activation.SETTING: _Value(
        name="activation",
        key="blocked",
        script="set_activation",
        answer=Activation,
        command="Set-MailboxServer -Identity {server} -DatabaseCopyActivationDisabledAndMoveNow {value}",
        words=("allowed", "blocked"),
        read=_blocked,
    ),
    protocol_log.SETTING: _Value(
        name="the POP protocol log",
        key="enabled",
        script="set_protocol_log",
        answer=ProtocolLogSet,
        command="Set-PopSettings -Server {server} -ProtocolLogEnabled {value}",
        words=("off", "on"),
        read=_logged,
    ),
    **dict.fromkeys(protocol_log.RESTARTS, protocol_log.RestartAfterwards()),
})  # fmt: skip


def follows(setting: str) -> str:
    """The setting by whose steps a change is judged: a restart follows from the log, anything else from itself."""
    return protocol_log.SETTING if setting in protocol_log.RESTARTS else setting


class Undo:
    """The action `undo`, for one recorded change: `Context.item`."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """The command that puts it back, unless it is no longer ours by then. Done if it is as it was already."""
        item = _item(ctx)
        return await _reversal(item.setting).prepare(ctx, item)

    def accept(self, step: Step, result: Json) -> Done | Again:
        """The outcome that the script's answer tells; Again when it is not understood."""
        return _reversal(str(step.baseline["setting"])).accept(step, result)

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """What became of a step whose answer was lost; Again while nothing proves it."""
        item = _item(ctx)
        return await _reversal(item.setting).settle(ctx, step, item)


class ProtocolLogOff:
    """The action `protocol_log_off`: the log is put back before the way out. Evidence: as that of any other undo."""

    async def prepare(self, ctx: Context) -> Prepared | Hold | Refuse | Unready | Done:
        """The command that switches it off. Done if this ladder did not switch it on, or it is off already."""
        if ctx.item is None:
            return Done(outcome="done", detail="this ladder has nothing of the protocol log to put back")
        return await _reversal(ctx.item.setting).prepare(ctx, ctx.item)

    def accept(self, step: Step, result: Json) -> Done | Again:
        """The outcome that the script's answer tells; Again when it is not understood."""
        return _reversal(protocol_log.SETTING).accept(step, result)

    async def settle(self, ctx: Context, step: Step) -> Done | Again | Withdrawn:
        """What became of a step whose answer was lost; Again while nothing proves it."""
        return await _reversal(protocol_log.SETTING).settle(ctx, step, _item(ctx))


def by_hand(item: UndoItem) -> str:
    """The command with which a human puts a change back."""
    return _reversal(item.setting).by_hand(item)


def effect_of(setting: str) -> Effect:
    """What putting a setting back does to the world: a restart is disruptive, on the way out too."""
    return _reversal(setting).effect


def _reversal(setting: str) -> Reversal:
    if setting not in REVERSALS:
        raise ValueError(f"no undo is known for {setting}")
    return REVERSALS[setting]


def _item(ctx: Context) -> UndoItem:
    if ctx.item is None:
        raise ValueError("undo needs the recorded change")
    return ctx.item
