"""A storm of alerts: how many incidents may be opened a minute, and how many joins are worth a line.

Whether there is room for another incident is asked of the store: the count survives a restart.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zlib import crc32

from daemon.config.guardrails import Storms
from daemon.domain.commits import Aside, Room
from daemon.domain.incidents import Key
from daemon.domain.inventory import Inventory, Server
from daemon.domain.store import AlertStore
from daemon.domain.values import timestamp

MINUTE = timedelta(minutes=1)


LATEST = timedelta(minutes=10)  #: what waits for room asks at least this often


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


def asks_again(key: Key, since: datetime, now: datetime) -> datetime:
    """When to look for room for a monitor that was set aside at `since`: in a minute at the earliest.

    What waits is spread over up to `LATEST`: were all of it to ask every minute, asking would be what the disk does,
    and were all of it to ask at once, most of each minute's room would be left unused.
    """
    longest = max(MINUTE, min(LATEST, 2 * (now - since + MINUTE)))
    share = crc32(f"{key} {timestamp(now)}".encode()) / 2**32  # not random: a simulation must repeat itself
    return now + MINUTE + share * (longest - MINUTE)


def on_record(number: int) -> bool:
    """Whether the join of that number is worth an audit row: 1 to 10, 100, 1,000, 10,000 ..."""
    return number <= EACH or str(number).rstrip("0") == "1"


_MOST = 10_000  #: of what was set aside is looked at


async def no_room(store: AlertStore, rooms: Iterable[Room]) -> str:
    """Why no incident is opened now, with the figure that decided; empty when there is room in all of them."""
    for room in rooms:
        if reason := reached(room, await store.opened(room)):
            return reason
    return ""


async def going_on(store: AlertStore) -> bool:
    """Whether something waits for room already: then a human was told of this storm."""
    waiting = await store.deferred(datetime.max.replace(tzinfo=UTC), _MOST)
    return any(each.why is Aside.STORM for each in waiting)
