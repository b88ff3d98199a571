"""The ports of a simulated daemon: each use of each verb may go wrong, or be the last thing the process does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from daemon.domain.audit import AuditRow
from daemon.domain.commits import PageKind
from daemon.domain.errors import BusDown, NotifyFailed, SinkDown, StoreError
from daemon.domain.inventory import Inventory
from daemon.domain.pauses import EVERYTHING, NO_TERMS, Standing, Terms, reason_for
from daemon.domain.ports import Call, Clock, Delivery, Outage, Permit, Reply
from daemon.domain.store import Store
from daemon.simulation.model_shell import ModelShell
from daemon.testing.memory_bus import MemoryBus
from daemon.testing.memory_store import MemoryStore

T = TypeVar("T")


class Use(Protocol):
    """Uses a verb: the place, what to do (told which mishap befalls it), and the error that one may raise."""

    async def __call__(
        self, place: str, work: Callable[[str], Awaitable[T]], error: Callable[[str], Exception], /
    ) -> T:
        """The result, if the process lives on."""
        ...


class Died(BaseException):
    """The process was killed here. Not an Exception: nothing of the daemon may catch it and go on."""


class StorePort:
    """A store whose verbs may fail before or after they took effect. `changed` is called when one has."""

    def __init__(self, store: MemoryStore, use: Use, changed: Callable[[], None]) -> None:
        self._store = store
        self._use = use
        self._changed = changed

    @classmethod
    def of(cls, store: MemoryStore, use: Use, changed: Callable[[], None]) -> Store:
        """As the port that it plays: its verbs are those of the store."""
        return cast("Store", cls(store, use, changed))

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        inner, place = getattr(self._store, verb), f"store.{verb}"

        async def used(*args: object, **named: object) -> Any:  # noqa: ANN401 - whatever the verb returns
            async def work(_mishap: str) -> Any:  # noqa: ANN401 - the same
                result = await inner(*args, **named)
                self._changed()
                return result

            return await self._use(place, work, StoreError)

        self.__dict__[verb] = used  # the next use finds it without asking here
        return used


class ShellPort:
    """A shell as one daemon sees it: it dies with its caller, the servers do not."""

    def __init__(self, shell: ModelShell, use: Use) -> None:
        self._shell = shell
        self._use = use

    async def run(self, call: Call, permit: Permit | None = None) -> Reply:
        """See `ports.Shell.run`."""
        work = partial(self._shell.run, call, permit)
        return await self._use(f"shell.{call.script}", work, RuntimeError)

    async def close(self) -> None:
        """See `ports.Shell.close`."""


class BusPort:
    """A bus as one daemon sees it. `acknowledged` is called after each acknowledgement: was it a pause's?"""

    def __init__(self, bus: MemoryBus, use: Use, acknowledged: Callable[[bool], None]) -> None:
        self._bus = bus
        self._use = use
        self._acknowledged = acknowledged

    @property
    def connected(self) -> bool:
        """See `ports.Bus.connected`."""
        return self._bus.connected

    @property
    def outage(self) -> Outage | None:
        """See `ports.Bus.outage`."""
        return self._bus.outage

    @property
    def takeovers(self) -> int:
        """See `ports.Bus.takeovers`."""
        return self._bus.takeovers

    @property
    def fresh_sessions(self) -> int:
        """See `ports.Bus.fresh_sessions`."""
        return self._bus.fresh_sessions

    def deliveries(self) -> AsyncIterator[Delivery]:
        """See `ports.Bus.deliveries`."""
        return _Acknowledged(self._bus.deliveries(), self._ack, pause=False)

    def pauses(self) -> AsyncIterator[Delivery]:
        """See `ports.Bus.pauses`."""
        return _Acknowledged(self._bus.pauses(), self._ack, pause=True)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """See `ports.Bus.publish`."""
        await self._use("bus.publish", lambda _mishap: self._bus.publish(topic, payload, retain=retain), BusDown)

    def _ack(self, delivery: Delivery, *, pause: bool) -> Callable[[], Awaitable[None]]:
        async def acknowledge(_mishap: str) -> None:
            await delivery.ack()
            self._acknowledged(pause)

        async def ack() -> None:
            await self._use("bus.ack_pause" if pause else "bus.ack", acknowledge, BusDown)

        return ack


class _Acknowledged(AsyncIterator[Delivery]):
    """Deliveries whose acknowledgements go through the port."""

    def __init__(
        self, deliveries: AsyncIterator[Delivery], ack: Callable[..., Callable[[], Awaitable[None]]], *, pause: bool
    ) -> None:
        self._deliveries = deliveries
        self._ack = ack
        self._pause = pause

    async def __anext__(self) -> Delivery:
        delivery = await anext(self._deliveries)
        return replace(delivery, ack=self._ack(delivery, pause=self._pause))


class NotifierPort:
    """A channel to humans. `pages` holds what it accepted, over all daemons."""

    def __init__(self, pages: list[tuple[str, str]], away: Callable[[], bool], use: Use) -> None:
        self._pages = pages
        self._away = away
        self._use = use

    async def notify(self, title: str, body: str, kind: PageKind) -> None:
        """See `ports.Notifier.notify`."""
        del kind

        async def accept(_mishap: str) -> None:
            if self._away():
                raise NotifyFailed("the channel is away")
            self._pages.append((title, body))

        await self._use("notifier.notify", accept, NotifyFailed)


class SinkPort:
    """A journal. `rows` holds what it took, over all daemons."""

    def __init__(self, rows: list[AuditRow], away: Callable[[], bool], use: Use) -> None:
        self._rows = rows
        self._away = away
        self._use = use

    async def emit(self, row: AuditRow) -> None:
        """See `ports.AuditSink.emit`."""

        async def take(_mishap: str) -> None:
            if self._away():
                raise SinkDown("the journal is away")
            self._rows.append(row)

        await self._use("journal.emit", take, SinkDown)


class MemorySwitch:
    """A kill switch without a file. The simulation sends within one step of its loop, so nobody is ever waited for."""

    path = Path("pause")

    def __init__(self, inventory: Inventory, engaged: Callable[[str, str], None]) -> None:
        self._inventory = inventory
        self._engaged = engaged  #: told the scope and the reason of each pause that stands
        self._standing: dict[str, str] = {}

    def reason(self, server: str = EVERYTHING) -> str | None:
        """See `ports.KillSwitch.reason`."""
        return reason_for(self._standing, self._inventory, server)

    def standing(self) -> Mapping[str, str]:
        """See `ports.KillSwitch.standing`."""
        return dict(self._standing)

    @contextmanager
    def permit(self, server: str) -> Iterator[bool]:
        """See `ports.KillSwitch.permit`."""
        yield self.reason(server) is None

    def orders(self) -> Sequence[Standing]:
        """See `ports.KillSwitch.orders`: what stands in memory needs nobody to keep it."""
        return [Standing(scope=scope, why=why, entry=scope, kept=True) for scope, why in self._standing.items()]

    async def keep(self, order: Standing) -> None:
        """See `ports.KillSwitch.keep`."""
        self._standing[order.scope] = order.why

    async def drop(self, order: Standing) -> None:
        """See `ports.KillSwitch.drop`."""
        self._standing.pop(order.scope, None)

    async def engage(self, reason: str, scope: str = EVERYTHING, terms: Terms = NO_TERMS) -> None:
        """See `ports.KillSwitch.engage`."""
        del terms
        self._standing[scope] = reason
        self._engaged(scope, reason)

    def resume(self, scope: str = EVERYTHING) -> bool:
        """See `ports.KillSwitch.resume`."""
        return self._standing.pop(scope, None) is not None


class StartClock:
    """The clock of one daemon: virtual time, wrong by as much as the system's clock was when the daemon started."""

    def __init__(self, truth: Clock, wrong_by: float) -> None:
        self._truth = truth
        self._wrong_by = timedelta(seconds=wrong_by)

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        return self._truth.now() + self._wrong_by

    def monotonic(self) -> float:
        """See `ports.Clock.monotonic`."""
        return self._truth.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `ports.Clock.sleep`."""
        await self._truth.sleep(seconds)


class Unsupervised:
    """Nobody who started us and wants to hear."""

    watchdog_interval: float | None = 3600.0

    def ready(self) -> None:
        """See `loops.Service.ready`."""

    def status(self, text: str) -> None:
        """See `loops.Service.status`."""

    def stopping(self) -> None:
        """See `loops.Service.stopping`."""

    def feed_watchdog(self) -> None:
        """See `loops.Service.feed_watchdog`."""
