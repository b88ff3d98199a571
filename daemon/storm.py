"""Whether there is room for another incident, asked of the store: the count survives a restart."""

from collections.abc import Iterable
from datetime import UTC, datetime

from daemon.domain.commits import Room
from daemon.domain.ports import Store
from daemon.gates.storms import of_a_storm, reached

_MOST = 10_000  #: of what was set aside is looked at


async def no_room(store: Store, rooms: Iterable[Room]) -> str:
    """Why no incident is opened now, with the figure that decided; empty when there is room in all of them."""
    for room in rooms:
        if reason := reached(room, await store.opened(room)):
            return reason
    return ""


async def going_on(store: Store) -> bool:
    """Whether something waits for room already: then a human was told of this storm."""
    waiting = await store.deferred(datetime.max.replace(tzinfo=UTC), _MOST)
    return any(of_a_storm(each.reason) for each in waiting)
