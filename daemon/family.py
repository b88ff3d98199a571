"""How one incident lets another run: joined if its key has one, opened if not."""

from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.actions.action import Sick
from daemon.config.guardrails import Storms
from daemon.domain.errors import Conflict
from daemon.domain.incidents import Incident, Key
from daemon.domain.inventory import Inventory
from daemon.domain.ports import Clock, Store
from daemon.domain.windows import Window
from daemon.ladders import Ladders
from daemon.opening import Opening, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Opens and watches incidents on behalf of one that found their monitors sick."""

    store: Store
    clock: Clock
    inventory: Inventory
    ladders: Ladders
    new_id: Callable[[], str]
    prefix: str
    windows: tuple[Window, ...] = ()  #: those of the configuration
    storms: Storms = field(default_factory=Storms)

    async def ensure(self, sick: Sick, opener: Incident, parent: str) -> str | None:
        """The incident of a sick monitor, opened if there is none; None when the server is not in the inventory.

        `parent`: the id of the incident that will wait for it, empty if none does.
        """
        server = self.inventory.find(sick.server)
        if server is None:
            return None
        key = Key.of(server.name, sick.health_set, sick.monitor)
        while True:  # it ends: each round follows another opening of this key, and the next look finds that one
            current = await self.store.current_incident(key)
            if current is not None:
                return current.id
            opening = Opening(
                incident_id=self.new_id(),
                key=key,
                health_set=sick.health_set,
                monitor=sick.monitor,
                ladder=self.ladders.handling(server, sick.health_set, sick.monitor),
                because=f"incident {opener.id}, which found this monitor unhealthy",
                facts={"opener": opener.id},
                parent=parent,
            )
            try:
                await self.store.commit(opened(opening, self.clock.now(), self.prefix))
            except Conflict:
                continue  # an alert opened it first: join that one
            return opening.incident_id

    async def standing(self, incident_id: str) -> Incident | None:
        """How an incident stands."""
        return await self.store.incident(incident_id)
