"""A storm of alerts: how many incidents may be opened a minute, and how many joins are worth a line.

Whether there is room for another incident is asked of the store: the count survives a restart.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter

from daemon.config.guardrails import Storms
from daemon.domain.commits import Aside, Deferred, Room
from daemon.domain.inventory import Inventory, Server
from daemon.domain.store import AlertStore

MINUTE = timedelta(minutes=1)


TURNS = timedelta(hours=1)  #: so long an incident counts as a turn that its server has had


EACH = 10  #: so many joins are on record one by one, then every tenfold


def rooms(server: Server, inventory: Inventory, storms: Storms, now: datetime) -> tuple[Room, ...]:
    """The ceilings on a new incident on a server.

    Incidents of the future are not counted: after the clock was set back they would hold up everything for as long.
    """
    scopes = [
        ("in the fleet", storms.fleet, tuple(each.name for each in inventory)),
        (f"in site {server.site}", storms.site, tuple(each.name for each in inventory if each.site == server.site)),
    ]
    if server.dag:
        scopes.append(
            (f"in {server.dag}", storms.dag, tuple(each.name for each in inventory if each.dag == server.dag))
        )
    return tuple(
        Room(what=what, servers=servers, since=now - MINUTE, until=now, most=most) for what, most, servers in scopes
    )


def reached(room: Room, count: int) -> str:
    """Why no incident is opened although so many were; empty when there is room."""
    if count < room.most:
        return ""
    return f"the cap of {room.most} incidents a minute {room.what} is reached: this would be number {count + 1}"


def in_turn(waiting: Iterable[Deferred], had: Mapping[str, int]) -> list[Deferred]:
    """What was set aside, in the order in which it is verified: no server has its second turn before another its first.

    `had`: the turns that servers have had within `TURNS`. Among equals what waits longest comes first.
    """
    turns, ranked = Counter(had), []
    for each in sorted(waiting, key=lambda each: (each.since, str(each.key))):
        ranked.append((turns[each.key.server], each))
        turns[each.key.server] += 1
    return [each for _, each in sorted(ranked, key=itemgetter(0))]


def on_record(number: int) -> bool:
    """Whether the join of that number is worth an audit row: 1 to 10, 100, 1,000, 10,000 ..."""
    return number <= EACH or str(number).rstrip("0") == "1"


MOST = 10_000  #: of what was set aside is looked at
FIRST = 50  #: of it to see whether anything waits for room now: what does is due already
EVER = datetime.max.replace(tzinfo=UTC)


async def no_room(store: AlertStore, rooms: Iterable[Room]) -> str:
    """Why no incident is opened now, with the figure that decided; empty when there is room in all of them."""
    for room in rooms:
        if reason := reached(room, await store.opened(room)):
            return reason
    return ""


async def going_on(store: AlertStore, until: datetime = EVER, most: int = MOST) -> bool:
    """Whether something waits for room already, of so much that is due by then: a human was told of this storm."""
    return any(each.why is Aside.STORM for each in await store.deferred(until, most))


async def turns(store: AlertStore, servers: Iterable[str], now: datetime, within: timedelta = TURNS) -> dict[str, int]:
    """How many incidents were opened on each of the servers within a time."""
    rooms = (Room(what=each, servers=(each,), since=now - within, until=now, most=0) for each in servers)
    return {room.what: await store.opened(room) for room in rooms}
