"""Asks servers by read-only scripts, and understands the answers."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from daemon.domain.inventory import Inventory, Server
from daemon.domain.ports import LOGON, Call, Clock, Reply, ReplyKind, Shell
from daemon.domain.values import Json
from daemon.exchange.opening import unopened

T = TypeVar("T", bound=BaseModel)


PROBE = "invoke_probe"  #: the script that has a deadline of its own
PEERS_ASKED = 2  #: how many servers one poll asks about another before it gives up until the next poll


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Generic[T]):
    """An understood answer."""

    answer: T
    executor: str
    clock: datetime  #: the executing server's own time
    heard_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheard:
    """No usable answer. `kind` is UNREACHABLE when nothing was sent, FAILED when the script said no, else UNKNOWN."""

    kind: ReplyKind
    detail: str
    refused: bool = False  #: the logon: no other server may be offered the same password instead

    @property
    def outcome(self) -> str:
        """The common outcome that a read ends with if it stays so."""
        return "unreachable" if self.kind is ReplyKind.UNREACHABLE else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Asks servers by read-only scripts, and understands the answers. `probe_timeout` None: a probe has no own."""

    shell: Shell
    clock: Clock
    inventory: Inventory
    timeout: float
    avoid: frozenset[str] = frozenset()  #: servers that are being worked on: asked last about others
    silent: Callable[[], Collection[str]] = frozenset  #: who did not answer lately: asked last as well
    first: str = ""  #: a server that is asked about others before all of them
    transcript: list[Json] = field(default_factory=list)  #: the raw answers of this turn, for the escalation
    probe_timeout: float | None = None

    async def ask(self, executor: str, script: str, args: Json, model: type[T], step_id: str) -> Heard[T] | Unheard:
        """Run a reading script on one server."""
        heard_at = self.clock.monotonic()
        timeout = deadline(script, self.timeout, self.probe_timeout)
        reply = await self.shell.run(
            Call(executor=executor, script=script, args=args, step_id=step_id, timeout=timeout, read_only=True)
        )
        self.transcript.append(raw(script, executor, reply))
        return understand(reply, executor, script, model, heard_at)

    def unreliable(self, server: Server) -> bool:
        """Whether a server may go away any moment, or is away."""
        return server.name in self.avoid or server.name in self.silent()

    async def about(self, server: Server, script: str, args: Json, model: type[T], step_id: str) -> Heard[T] | Unheard:
        """Ask another server about `server`, and a second one when the first says nothing about it."""
        peers = sorted(self.inventory.peers(server), key=lambda peer: (peer.name != self.first, self.unreliable(peer)))
        answer: Heard[T] | Unheard = Unheard(
            kind=ReplyKind.UNREACHABLE, detail=f"the inventory has no other server to ask about {server.name}"
        )
        for peer in peers[:PEERS_ASKED]:
            answer = await self.ask(peer.name, script, args, model, step_id)
            if isinstance(answer, Heard) or answer.kind is ReplyKind.FAILED or answer.refused:
                break
        return answer


def deadline(script: str, usual: float, of_a_probe: float | None) -> float:
    """How long a reading script may take, in real seconds."""
    return usual if of_a_probe is None or script != PROBE else of_a_probe


def raw(script: str, executor: str, reply: Reply) -> Json:
    """A reply as the transcript has it: as it was answered, with what it warned of."""
    said = reply.result if reply.kind is ReplyKind.OK else {reply.error or reply.kind.value: reply.detail}
    warned = {"warnings": list(reply.warnings)} if reply.warnings else {}
    return {"script": script, "executor": executor, "answer": said, **warned}


def understand(reply: Reply, executor: str, script: str, model: type[T], heard_at: float) -> Heard[T] | Unheard:
    """A reply as an answer of the expected shape; what does not fit is not understood."""
    if reply.kind is not ReplyKind.OK:
        told, about = reply.detail or reply.kind.value, f"{script} on {executor}"
        # An error of the script's own, or on the way to Exchange, is no answer about the server: another may give it.
        nothing_said = reply.error == "broken" or unopened(reply.error, reply.detail)
        kind = ReplyKind.UNKNOWN if nothing_said else reply.kind
        # What the shell says names the call itself; what a script says does not.
        detail = told if told.startswith(about) else f"{about}: {told}"
        return Unheard(kind=kind, detail=detail, refused=reply.error == LOGON)
    try:
        answer = model.model_validate(reply.result)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return Unheard(
            kind=ReplyKind.UNKNOWN, detail=f"{script} on {executor}: answer not understood: {place}: {first['msg']}"
        )
    if reply.clock is None:
        return Unheard(kind=ReplyKind.UNKNOWN, detail=f"{script} on {executor}: the answer has no time")
    return Heard(answer=answer, executor=executor, clock=reply.clock, heard_at=heard_at)
