"""A Shell that answers what a test tells it to, with the real one's rules about permits and deadlines."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime

from daemon.domain.ports import Call, Clock, Permit, Reply, ReplyKind
from daemon.domain.values import Json


@dataclass(frozen=True, slots=True)
class Ok:
    """The script did its work. `clock` None: the server's clock is the shell's."""

    result: Json = field(default_factory=dict)
    clock: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The script said no: an error kind of the contract."""

    error: str
    detail: str = "the script said no"


@dataclass(frozen=True, slots=True)
class Lost:
    """The command was sent and its answer was lost."""

    detail: str = "the answer was lost"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The server could not be reached: nothing was sent."""

    detail: str = "the connection was refused"


@dataclass(frozen=True, slots=True)
class Silent:
    """The server accepts connections and never answers. `sent`: it took the command first."""

    sent: bool = False


Answer = Ok | Failed | Lost | Unreachable | Silent
Answerer = Callable[[Call], Answer]


class ScriptedShell:
    """`ports.Shell` with answers by (executor, script); executors are named by FQDN, without regard to case.

    An answer may be a function of the call: it runs at the moment the command is sent, so that it can stand for the
    effect; where nothing would be sent it does not run. What was queued is used up first, one answer a call; then the
    standing answer is given. `calls` records every call, `sent` those whose command went out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queued: dict[tuple[str, str], deque[Answer | Answerer]] = {}
        self._standing: dict[tuple[str, str], Answer | Answerer] = {}
        self._closed = False
        self.calls: list[Call] = []
        self.sent: list[Call] = []

    def queue(self, executor: str, script: str, *answers: Answer | Answerer) -> None:
        """Answer the next calls like this, one each."""
        self._queued.setdefault((executor.lower(), script), deque()).extend(answers)

    def always(self, executor: str, script: str, answer: Answer | Answerer) -> None:
        """Answer like this whenever nothing is queued."""
        self._standing[executor.lower(), script] = answer

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """Answer a call as scripted; see the port. A silent server takes `call.timeout` of the loop's time.

        Raises:
            LookupError: no answer is scripted for it: a mistake of the test.
        """
        self.calls.append(call)
        await asyncio.sleep(0)  # a real call lets other tasks run too
        if self._closed:
            return _reply(call, ReplyKind.UNREACHABLE, "the daemon is stopping")
        answer = self._next(call)
        if isinstance(answer, Unreachable):
            return _reply(call, ReplyKind.UNREACHABLE, answer.detail)
        if isinstance(answer, Silent) and not answer.sent:
            await asyncio.sleep(call.timeout)
            return _reply(call, ReplyKind.UNREACHABLE, f"no end within {call.timeout:g} seconds")
        sent: Answer | None = None
        with nullcontext(True) if permit is None else permit() as allowed:
            if allowed:
                sent = self._begin(call, answer)
        return await self._finish(call, sent) if sent else _reply(call, ReplyKind.WITHHELD, "withheld")

    async def close(self) -> None:
        """Refuse later calls."""
        self._closed = True

    def _next(self, call: Call) -> Answer | Answerer:
        key = (call.executor.lower(), call.script)
        queued = self._queued.get(key)
        if queued:
            return queued.popleft()
        if key not in self._standing:
            raise LookupError(f"no answer is scripted for {call.script} on {call.executor}")
        return self._standing[key]

    def _begin(self, call: Call, answer: Answer | Answerer) -> Answer:
        """The command goes out: from here on only an answer proves anything."""
        self.sent.append(call)
        return answer(call) if callable(answer) else answer

    async def _finish(self, call: Call, answer: Answer) -> Reply:
        match answer:
            case Ok():
                clock = answer.clock or self._clock.now()
                return Reply(kind=ReplyKind.OK, result=answer.result, host=call.executor, clock=clock)
            case Failed():
                return Reply(
                    kind=ReplyKind.FAILED,
                    result={},
                    error=answer.error,
                    detail=answer.detail,
                    host=call.executor,
                    clock=self._clock.now(),
                )
            case Silent():
                await asyncio.sleep(call.timeout)
                return _reply(call, ReplyKind.UNKNOWN, f"no end within {call.timeout:g} seconds")
            case Lost():
                return _reply(call, ReplyKind.UNKNOWN, answer.detail)
            case Unreachable():
                raise LookupError(f"{call.script} on {call.executor} was sent: it cannot be unreachable any more")


def _reply(call: Call, kind: ReplyKind, what: str) -> Reply:
    return Reply(kind=kind, result={}, detail=f"{call.script} on {call.executor}: {what}")
